/**
 * The DNS proxy of Cilium's own agent and ours, side by side: the same policies, the same questions of dig by UDP and TCP,
 * one server (BIND) behind both. What one refuses the other refuses, and what is answered is answered the same.
 *
 *     node test/conformance/dns_proxy.ts [QUESTIONS] [SEED...]
 *
 * Builds `test/peers/agent` with Go ($GO, or `go`; $AGENT: one that is built already). Needs root, as the agent's sockets
 * are transparent.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Scratch } from '../workers/running.ts';
import { AGENT_FOLDER, compare, count, goPeer, scratch, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';
import { dig } from './servers/dig.ts';
import { freePort, PeerProcess } from './servers/peer_process.ts';
import { zone } from './servers/real_dns_servers.ts';

const QUESTIONS_OF_POLICY = 20;

/** What a rule may say of names, from nothing to all. */
const RULES = [
  '{ matchName: www.example.net }',
  '{ matchName: WWW.Example.Net. }',
  '{ matchName: example.net }',
  '{ matchPattern: "*.example.net" }',
  '{ matchPattern: "**.example.net" }',
  '{ matchPattern: "host-1*.example.net" }',
  '{ matchPattern: "*.*.net" }',
  '{ matchPattern: "*e*.example.net" }',
  '{ matchPattern: "*" }',
  '{ matchPattern: "**" }',
  '{ matchName: x_y.a.example.net }',
] as const;
const NAMES = [
  ...['www.example.net', 'wWw.eXample.nET', 'example.net', 'alias.example.net', 'ns.example.net'],
  ...['host-1.example.net', 'host-17.example.net', 'host-2.example.net', 'x_y.a.example.net'],
  ...[
    'a.b.example.net',
    'nobody.example.net',
    'www.example.org',
    'example.net.evil.org',
    'net',
    '.',
  ],
  ...['www\\.example.net', 'www.example.ne', 'wwwxexample.net', '1.2.0.192.in-addr.arpa'],
] as const;
const HOW = [
  ...['A', 'A', 'AAAA', 'TXT', 'MX', 'HTTPS', 'TYPE65280', 'NS', 'SOA', 'ANY +tcp', 'A +tcp'],
  ...['A +noedns', 'A +dnssec', 'A +bufsize=512 +norecurse', 'TXT +nsid', 'A +cd +ad'],
] as const;
/** Long answers, cut by UDP and whole by TCP. */
const LONG = [
  'long.example.net TXT +ignore +bufsize=512',
  'long.example.net TXT +bufsize=512',
  'huge.example.net TXT +tcp',
] as const;

const SCENE = `identities:
  - { id: 10001, labels: ["k8s:app=client", "k8s:io.kubernetes.pod.namespace=default"], ips: [] }
  - { id: 10053, labels: ["k8s:app=dns", "k8s:io.kubernetes.pod.namespace=default"], ips: ["127.0.0.1/32"] }
endpoints:
  - { id: 41, identity: 10001, ipv4: 127.0.0.1 }
`;
const ENDPOINTS = `endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
  - { name: default/dns, ip: 127.0.20.1, labels: { app: dns } }
`;

const tally = { refused: 0, answered: 0 };

await compare(main);

async function main(): Promise<void> {
  const serverPort = await freePort();
  const server = await startServer(serverPort);
  const binary = goPeer(AGENT_FOLDER, '.', 'AGENT');
  const scene = scratch.write('scene.yml', SCENE);
  const agent = new JsonLines(
    spawn(binary, [
      ...['--run-dir', join(scratch.dir, 'run'), '--scene', scene, '--patience', '1ms'],
      ...['--dns-server', `127.0.0.1:${serverPort}`],
    ]),
  );
  try {
    const { address } = await agent.until(({ event }) => event === 'names');
    await agent.until(({ event }) => event === 'wait');
    const agentPort = Number(String(address).split(':')[1]);
    for (const { count: questions, random } of seeds(120, 'questions')) {
      for (let asked = 0; asked < questions; asked += QUESTIONS_OF_POLICY) {
        await comparePolicy({ agent, agentPort, serverPort, random });
      }
    }
    // Two that refuse everything would agree.
    count(tally.refused > 0 && tally.answered > 0, () => ['refused and answered', tally]);
  } finally {
    agent.end();
    await server.stop();
  }
}

interface Sides {
  readonly agent: JsonLines;
  readonly agentPort: number;
  readonly serverPort: number;
  readonly random: PolicySeed;
}

async function comparePolicy({ agent, agentPort, serverPort, random }: Sides): Promise<void> {
  const rules = Array.from({ length: 1 + random.below(3) }, () => random.oneOf(RULES));
  const policy = policyOf(serverPort, rules);
  agent.send(`apply ${scratch.write('policy.yaml', policy)}`);
  await agent.until(({ event }) => event === 'wait');
  const own = new Scratch();
  try {
    own.write('policies/api.yaml', policy);
    own.write('endpoints.yaml', ENDPOINTS);
    const proxy = own.run(['run', '-c', own.write('dns.yaml', configOf(serverPort))]);
    const ownPort = await proxy.port();
    const generated = Array.from(
      { length: QUESTIONS_OF_POLICY - LONG.length },
      () => `${random.oneOf(NAMES)} ${random.oneOf(HOW)}`,
    );
    for (const asked of [...generated, ...LONG]) {
      const [theirs, ours] = await Promise.all([dig(agentPort, asked), dig(ownPort, asked)]);
      tally[isRefused(ours) ? 'refused' : 'answered'] += 1;
      const isSame = isRefused(ours) ? isRefused(theirs) : inSmall(ours) === inSmall(theirs);
      count(isSame, () => [`--- ${asked}, allowed: ${rules.join(', ')}`, theirs, '--- ours', ours]);
    }
    proxy.signal('SIGTERM');
    await proxy.ended;
  } finally {
    await own.dispose();
  }
}

/** A server shortens a name to what the question has in the same letters, and ours are others each time. */
function inSmall(text: string): string {
  return text.toLowerCase();
}

/** What we say beside it (RFC 8914) the agent does not; the server refuses nothing. */
function isRefused(answer: string): boolean {
  return answer.includes('status: REFUSED');
}

function policyOf(port: number, rules: readonly string[]): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { app: dns } }]
      toPorts:
        - ports: [{ port: "${port}", protocol: ANY }]
          rules: { dns: [${rules.join(', ')}] }
`;
}

function configOf(serverPort: number): string {
  return `workers: 1
limits: { dnsAnswerTimeoutMs: 60s }
policies: [policies]
endpoints: endpoints.yaml
listeners:
  - name: dns
    protocol: dns
    address: 127.0.0.1:0
    direction: egress
    destination: 127.0.20.1:${serverPort}
    upstream: 127.0.0.1:${serverPort}
`;
}

/** BIND with one zone, and the root: it has an answer to everything. */
async function startServer(port: number): Promise<PeerProcess> {
  writeFileSync(join(scratch.dir, 'zone'), zone());
  writeFileSync(
    join(scratch.dir, 'root'),
    '$TTL 60\n. IN SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 60\n. IN NS ns.example.net.\n',
  );
  const config = scratch.write(
    'named.conf',
    `options {
       directory "${scratch.dir}"; pid-file none; session-keyfile none; listen-on-v6 { none; };
       listen-on port ${port} { 127.0.0.1; }; recursion no; dnssec-validation no;
       rrset-order { order none; }; max-records-per-type 0;
     };
     controls { };
     zone "example.net" { type primary; file "zone"; };
     zone "." { type primary; file "root"; };\n`,
  );
  return PeerProcess.start({ command: 'named', args: ['-f', '-c', config, '-n', '1'], port });
}
