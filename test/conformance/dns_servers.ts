/**
 * node test/conformance/dns_servers.ts [SERVER...]: real clients (dig, drill, kdig) ask real servers (BIND, Unbound,
 * dnsmasq) directly and through the real command. Policy allows example.net. Asked is of each server that
 *   - what is allowed is answered as it is directly: code, flags, records, EDNS;
 *   - what is denied is REFUSED, and its server has heard of none of it;
 *   - each question has one record in the access log.
 *
 * Fails when a server cannot be started. The last line is the sum: "N passed, N failed".
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Line, Scratch } from '../workers/running.ts';
import { dig, textOf } from './servers/dig.ts';
import { REAL_DNS_SERVERS, type RealDnsServer } from './servers/real_dns_servers.ts';

const ENDPOINTS = `
endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
  - { name: kube-system/dns, ip: 10.96.0.10, labels: { app: dns } }
`;

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { "k8s:io.kubernetes.pod.namespace": kube-system, app: dns } }]
      toPorts:
        - ports: [{ port: "53", protocol: ANY }]
          rules: { dns: [{ matchName: example.net }, { matchPattern: "**.example.net" }] }
`;

/** Of dig: names in example.net, and how it asks. */
const ALLOWED: readonly string[] = [
  'www.example.net A',
  'www.example.net AAAA',
  'wWw.ExAmPlE.nEt A',
  'alias.example.net A',
  'www.example.net TXT',
  'www.example.net MX',
  'www.example.net HTTPS',
  'www.example.net TYPE65280',
  'www.example.net ANY +tcp',
  'nobody.example.net A',
  'www.example.net A +noedns',
  'www.example.net A +dnssec',
  'www.example.net A +bufsize=512 +norecurse',
  'www.example.net A +edns=0 +nsid +subnet=192.0.2.0/24',
  'www.example.net A +ednsflags=0x40 +cd +ad',
  'www.example.net A +edns=1 +noednsnegotiation',
  'www.example.net A +tcp',
  // More than a datagram may have: cut, and by TCP whole.
  'long.example.net TXT +ignore +bufsize=512',
  'long.example.net TXT +bufsize=512',
  'huge.example.net TXT +tcp',
];

const DENIED: readonly string[] = [
  'www.example.org A',
  'example.net.evil.org A +tcp',
  'version.bind CH TXT',
  'www\\.example.net A',
];

/** Drill and kdig ask for a name of their own, and on a busy machine more than once. */
const OTHER = 'other.example.net';

let passed = 0;
let failed = 0;
try {
  for (const [name, start] of Object.entries(REAL_DNS_SERVERS)) {
    const names = process.argv.slice(2);
    if (names.length === 0 || names.includes(name)) await checkServer(name, start);
  }
} catch (error) {
  failed += 1;
  console.error('dns servers:', error);
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function checkServer(
  name: string,
  start: (dir: string) => Promise<RealDnsServer>,
): Promise<void> {
  const scratch = new Scratch();
  const dir = join(scratch.dir, 'server');
  mkdirSync(dir);
  const server = await start(dir);
  try {
    scratch.write('endpoints.yaml', ENDPOINTS);
    scratch.write('policies/api.yaml', POLICY);
    const config = join(scratch.dir, 'dns.yaml');
    writeFileSync(config, configOf(server.port));
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    let count = 0;
    await checkZone(name, server);
    for (const asked of ALLOWED) {
      const direct = await dig(server.port, asked);
      check(`${name}: ${asked}`, inSmall(await dig(port, asked)), inSmall(direct));
      count += isCutFirst(asked) ? 2 : 1;
    }
    for (const asked of server.transfers) {
      check(`${name}: ${asked}`, await dig(port, asked), await dig(server.port, asked));
      count += 1;
    }
    for (const asked of DENIED) {
      const answer = await dig(port, asked);
      check(`${name}: ${asked} is refused`, /status: REFUSED/.test(answer), true);
      count += 1;
    }
    for (const [client, args] of Object.entries(otherClients())) {
      const through = await textOf(client.split(' ')[0] as string, args(port));
      check(`${name}: ${client}`, through.includes('192.0.2.10') || through, true);
    }
    proxy.signal('SIGTERM');
    const code = await proxy.ended;
    check(`${name}: the proxy ends well`, `${code} ${proxy.stderr}`, '0 ');
    const records = proxy.lines().filter((line) => line['msg'] === 'question' && !isOther(line));
    check(`${name}: one record for each question`, records.length, count);
  } finally {
    await server.stop();
    await scratch.dispose();
  }
}

/** Two failures alike would prove nothing. */
async function checkZone(name: string, { port, transfers }: RealDnsServer): Promise<void> {
  const www = await dig(port, 'www.example.net A');
  check(`${name}: directly there is an address`, /192\.0\.2\.10$/m.test(www), true);
  const huge = await dig(port, 'huge.example.net TXT +tcp');
  check(`${name}: directly there is a long answer`, huge.length > 60_000, true);
  for (const asked of transfers.filter((one) => one.includes('AXFR'))) {
    const whole = await dig(port, asked);
    check(`${name}: directly there is a transfer`, whole.includes('host-1999'), true);
  }
}

function configOf(upstreamPort: number): string {
  return `
workers: 1
limits: { dnsAnswerTimeoutMs: 60s }
policies: [policies]
endpoints: endpoints.yaml
listeners:
  - name: dns
    protocol: dns
    address: 127.0.0.1:0
    direction: egress
    destination: 10.96.0.10:53
    upstream: 127.0.0.1:${upstreamPort}
`;
}

function otherClients(): Readonly<Record<string, (port: number) => readonly string[]>> {
  const at = (port: number): readonly string[] => ['-p', String(port), OTHER, 'A', '@127.0.0.1'];
  return {
    drill: (port) => at(port),
    'drill by TCP': (port) => ['-t', ...at(port)],
    kdig: (port) => at(port),
    'kdig by TCP': (port) => ['+tcp', ...at(port)],
  };
}

function isOther(line: Line): boolean {
  return (line['dns'] as { readonly query?: string }).query === `${OTHER}.`;
}

/** A server shortens a name to what the question has in the same letters, and those are others each time. */
function inSmall(text: string): string {
  return text.toLowerCase();
}

/** dig asks again by TCP. */
function isCutFirst(asked: string): boolean {
  return asked.startsWith('long.') && !asked.includes('+ignore');
}

function check(about: string, found: unknown, expected: unknown): void {
  if (found === expected) {
    passed += 1;
    return;
  }
  failed += 1;
  console.error(`not ok: ${about}\n--- found\n${found}\n--- expected\n${expected}`);
}
