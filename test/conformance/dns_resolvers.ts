/**
 * node test/conformance/dns_resolvers.ts: the resolvers of glibc and musl, and a validating one (delv), through the real
 * command, as a pod of Kubernetes has them: one server on port 53, a search list, ndots:5. Behind it BIND, with a zone
 * that BIND's own tools have signed.
 *
 * They ask where /etc/resolv.conf says, so all of it runs in namespaces of its own. Needs root. The last line is the sum:
 * "N passed, N failed".
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Scratch } from '../workers/running.ts';
import { PeerProcess } from './servers/peer_process.ts';

const SERVER_PORT = 5301;
const MANY = Array.from({ length: 100 }, (_, i) => `192.0.2.${100 + i}`);
const WWW = ['192.0.2.10', '2001:db8::10'];

const ZONE = `$TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
www IN A 192.0.2.10
www IN AAAA 2001:db8::10
alias IN CNAME www
v4 IN A 192.0.2.11
secret IN A 192.0.2.66
${MANY.map((ip) => `many IN A ${ip}`).join('\n')}
`;
const RESOLV_CONF = `nameserver 127.0.0.1
search default.svc.cluster.test svc.cluster.test cluster.test example.net
`;
const PATIENT = 'options ndots:5 timeout:30 attempts:2\n';
/** For what is not found anyway: musl takes REFUSED for no answer at all, and waits for another. */
const IMPATIENT = 'options ndots:5 timeout:1 attempts:1\n';
const ENDPOINTS = `endpoints:
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
  - { name: kube-system/dns, ip: 10.96.0.10, labels: { app: dns } }
`;
/** Names of the cluster are not among what it allows, as in a policy that a user writes by hand. */
const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { "k8s:io.kubernetes.pod.namespace": kube-system, app: dns } }]
      toPorts:
        - ports: [{ port: "53", protocol: ANY }]
          rules:
            dns:
              - matchName: example.net
              - matchPattern: "w*.example.net"
              - matchPattern: "a*.example.net"
              - matchPattern: "v*.example.net"
              - matchPattern: "many.example.net"
              - matchPattern: "nobody*.example.net"
`;

let passed = 0;
let failed = 0;

const INSIDE = '--inside';
if (process.argv[2] === INSIDE) await inside();
else process.exitCode = outside();

/** The same program, where the name server of the machine is ours. */
function outside(): number {
  const scratch = new Scratch();
  try {
    const [resolv, nsswitch] = [join(scratch.dir, 'resolv.conf'), join(scratch.dir, 'nsswitch')];
    writeFileSync(resolv, RESOLV_CONF + PATIENT);
    writeFileSync(nsswitch, 'hosts: dns\n');
    const script = [
      'ip link set lo up',
      'mount --bind "$1" /etc/resolv.conf',
      'mount --bind "$2" /etc/nsswitch.conf',
      'shift 2',
      'exec "$@"',
    ].join(' && ');
    const self = [process.execPath, fileURLToPath(import.meta.url), INSIDE];
    const { status, error } = spawnSync(
      'unshare',
      ['--net', '--mount', 'sh', '-c', script, 'sh', resolv, nsswitch, ...self],
      { stdio: 'inherit' },
    );
    if (error !== undefined) throw error;
    return status ?? 1;
  } finally {
    void scratch.dispose();
  }
}

async function inside(): Promise<void> {
  const scratch = new Scratch();
  let server: PeerProcess | null = null;
  try {
    const anchor = signZone(scratch.dir);
    server = await startServer(scratch.dir);
    scratch.write('endpoints.yaml', ENDPOINTS);
    scratch.write('policies/api.yaml', POLICY);
    const programs = {
      glibc: compiled('gcc', [], scratch.dir),
      musl: compiled('musl-gcc', ['-static'], scratch.dir),
    };
    for (const refusal of ['refused', 'nxdomain'] as const) {
      const proxy = scratch.run(['run', '-c', scratch.write('dns.yaml', configOf(refusal))]);
      await proxy.port();
      for (const [libc, program] of Object.entries(programs)) {
        await checkResolver(`${libc}, ${refusal}`, program, refusal);
      }
      if (refusal === 'refused') await checkValidation(anchor);
      proxy.signal('SIGTERM');
      const code = await proxy.ended;
      check('the proxy ends well', `${code} ${proxy.stderr}`, '0 ');
    }
  } catch (error) {
    failed += 1;
    console.error('dns resolvers:', error);
  } finally {
    await server?.stop();
    await scratch.dispose();
  }
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
  console.log(`${passed} passed, ${failed} failed`);
}

async function checkResolver(
  who: string,
  program: string,
  refusal: 'refused' | 'nxdomain',
): Promise<void> {
  const resolved = async (name: string): Promise<readonly string[]> => {
    const { stdout } = await promisify(execFile)(program, [name], { timeout: 120_000 });
    return stdout.trim().split('\n').sort();
  };
  const expectAll = async (name: string, expected: readonly string[]): Promise<void> =>
    check(`${who}: ${name}`, (await resolved(name)).join(' '), expected.join(' '));
  // Of both families at once, from one port.
  await expectAll('www.example.net.', WWW);
  await expectAll('alias.example.net.', WWW);
  await expectAll('v4.example.net.', ['192.0.2.11']);
  await expectAll('WWW.Example.NET.', WWW);
  await expectAll('nobody.example.net.', ['no such name']);
  // More than a datagram has: what comes first is cut, and by TCP all of it comes. musl asks by TCP since 1.2.4.
  const many = await resolved('many.example.net.');
  const isWhole = many.join(' ') === [...MANY].sort().join(' ');
  const isPart = who.startsWith('musl') && many.every((ip) => MANY.includes(ip));
  check(`${who}: many addresses`, isWhole || isPart || many.join(' '), true);
  if (refusal === 'nxdomain') {
    // Three names of the cluster are denied before the one that is there.
    await expectAll('www', WWW);
    await expectAll('www.example.net', WWW);
    await expectAll('secret.example.net.', ['no such name']);
  } else {
    writeFileSync('/etc/resolv.conf', RESOLV_CONF + IMPATIENT);
    // REFUSED ends the search: this is what dns.refusal is for.
    const found = await resolved('www');
    check(`${who}: a refusal ends the search list`, found.includes('192.0.2.10'), false);
    const secret = await resolved('secret.example.net.');
    check(`${who}: what is denied is not found`, secret.includes('192.0.2.66'), false);
    writeFileSync('/etc/resolv.conf', RESOLV_CONF + PATIENT);
  }
}

/** Signatures pass unchanged: whoever checks them for himself finds them right. */
async function checkValidation(anchor: string): Promise<void> {
  for (const asked of ['www.example.net A', 'alias.example.net AAAA', 'many.example.net A']) {
    const told = await delv(anchor, asked);
    check(`delv: ${asked}`, told.includes('; fully validated') || told, true);
  }
  // That there is no such name is signed as well.
  const none = await delv(anchor, 'nobody.example.net A');
  check(
    'delv: a name that is not there',
    /negative response, fully validated/.test(none) || none,
    true,
  );
}

async function delv(anchor: string, asked: string): Promise<string> {
  const args = ['-a', anchor, '+root=example.net', '@127.0.0.1', ...asked.split(' ')];
  const { stdout, stderr } = await promisify(execFile)('delv', args, { timeout: 120_000 });
  return stdout + stderr;
}

/** Into `signed`; the path of a trust anchor. */
function signZone(dir: string): string {
  writeFileSync(join(dir, 'zone'), ZONE);
  const run = (command: string, ...args: readonly string[]): void => {
    execFileSync(command, args, { cwd: dir, stdio: 'pipe' });
  };
  run('dnssec-keygen', '-a', 'ECDSAP256SHA256', '-f', 'KSK', 'example.net');
  run('dnssec-keygen', '-a', 'ECDSAP256SHA256', 'example.net');
  run('dnssec-signzone', '-S', '-o', 'example.net', '-f', 'signed', 'zone');
  const keys = readdirSync(dir).filter((name) => /^Kexample\.net\..*\.key$/.test(name));
  const texts = keys.map((name) => readFileSync(join(dir, name), 'utf8'));
  const ksk = /^example\.net\. .*DNSKEY (257 3 13) (.*)$/m.exec(texts.join('\n'));
  if (ksk === null) throw new Error('no key of the zone');
  const anchor = join(dir, 'anchor');
  const key = (ksk[2] ?? '').replaceAll(' ', '');
  writeFileSync(anchor, `trust-anchors { "example.net" static-key ${ksk[1]} "${key}"; };\n`);
  return anchor;
}

function startServer(dir: string): Promise<PeerProcess> {
  const config = join(dir, 'named.conf');
  writeFileSync(
    config,
    `options {
       directory "${dir}"; pid-file none; session-keyfile none; listen-on-v6 { none; };
       listen-on port ${SERVER_PORT} { 127.0.0.1; }; recursion no; dnssec-validation no;
     };
     controls { };
     zone "example.net" { type primary; file "signed"; };\n`,
  );
  return PeerProcess.start({
    command: 'named',
    args: ['-f', '-c', config, '-n', '1'],
    port: SERVER_PORT,
  });
}

function compiled(compiler: string, flags: readonly string[], dir: string): string {
  const source = fileURLToPath(new URL('clients/resolve.c', import.meta.url));
  const out = join(dir, `resolve-${compiler}`);
  execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', ...flags, source, '-o', out]);
  return out;
}

function configOf(refusal: string): string {
  return `workers: 1
limits: { dnsAnswerTimeoutMs: 60s }
dns: { refusal: ${refusal} }
policies: [policies]
endpoints: endpoints.yaml
listeners:
  - name: dns
    protocol: dns
    address: 127.0.0.1:53
    direction: egress
    destination: 10.96.0.10:53
    upstream: 127.0.0.1:${SERVER_PORT}
`;
}

function check(about: string, found: unknown, expected: unknown): void {
  if (found === expected) {
    passed += 1;
    return;
  }
  failed += 1;
  console.error(`not ok: ${about}\n--- found\n${found}\n--- expected\n${expected}`);
}
