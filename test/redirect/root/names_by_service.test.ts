/**
 * Names as users of Cilium write them: pods ask the Service of kube-dns, policy selects the pods behind it and the names that
 * may be asked, and `toFQDNs` says who may be reached by them. All by the resolvers of C libraries, with Services at the socket.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cgroupRoot } from '../../../src/redirect/host/cgroup_root.ts';
import { TestAuthority } from '../../support/test_certificates.ts';
import { until } from '../../support/until.ts';
import { seeingOrigin } from './exchange.ts';
import { NameServer } from './name_server.ts';
import { type Command, RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const VIP = { 4: '10.96.0.10', 6: 'fd96::a' } as const;
const SERVERS = {
  'kube-system/coredns-1': ['10.8.0.53', 'fd08::53'],
  'kube-system/coredns-2': ['10.8.0.54', 'fd08::54'],
} as const;
/** Every name has an address of its own here. */
const WORLD = '203.0.113.0/24';
const [STRIPE, GITHUB, UNNAMED] = ['203.0.113.1', '203.0.113.2', '203.0.113.254'];
const BUCKET_COUNT = 40;
const SEARCH = 'search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n';

const run = promisify(execFile);

const cnp = (namespace: string, name: string, spec: object): string =>
  JSON.stringify({
    ...{ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy' },
    ...{ metadata: { name, namespace }, spec },
  });

const NAMES = [
  { matchName: 'api.stripe.com' },
  { matchName: 'api.github.com' },
  { matchPattern: '*.amazonaws.com' },
];

const POLICIES = [
  cnp('shop', 'web', {
    endpointSelector: { matchLabels: { app: 'web' } },
    egress: [
      {
        toEndpoints: [
          {
            matchLabels: {
              'k8s:io.kubernetes.pod.namespace': 'kube-system',
              'k8s-app': 'kube-dns',
            },
          },
        ],
        toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: NAMES } }],
      },
      {
        toFQDNs: NAMES,
        toPorts: [
          { ports: [{ port: '443', protocol: 'TCP' }] },
          { ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '/v1/.*' }] } },
        ],
      },
    ],
  }),
  cnp('kube-system', 'dns', {
    endpointSelector: { matchLabels: { 'k8s-app': 'kube-dns' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'shop', app: 'web' } }],
        toPorts: [{ ports: [{ port: '53', protocol: 'ANY' }] }],
      },
    ],
  }),
];

let rig: RedirectRig;
let cgroup = '';
let proxy: Command;
const programs: Record<string, string> = {};
const servers = Object.keys(SERVERS).map(() => new NameServer(addressOf));

function addressOf(name: string): string {
  const index = /^(?:fresh|glibc|musl|tcp)-(\d+)\./.exec(name)?.[1];
  if (index !== undefined) return `203.0.113.${index}`;
  return name === 'api.github.com' ? GITHUB : STRIPE;
}

beforeAll(async () => {
  cgroup = join(cgroupRoot() ?? '', `sallyport-names-${process.pid}`);
  mkdirSync(cgroup);
  rig = new RedirectRig({
    pods: [
      { name: 'shop/web', ips: ['10.8.0.2', 'fd08::2'], labels: { app: 'web' } },
      { name: 'shop/job', ips: ['10.8.0.3', 'fd08::3'], labels: { app: 'job' } },
      ...Object.entries(SERVERS).map(([name, ips]) => ({
        ...{ name, ips, labels: { 'k8s-app': 'kube-dns' } },
      })),
    ],
    policies: POLICIES,
    workers: 2,
    hasState: true,
    inventory: {
      services: [
        {
          ...{ name: 'kube-system/kube-dns', clusterIPs: Object.values(VIP) },
          endpoints: { matchLabels: { 'k8s-app': 'kube-dns' } },
          ports: [
            { name: 'dns', port: 53, protocol: 'UDP' },
            { name: 'dns-tcp', port: 53, protocol: 'TCP' },
          ],
        },
      ],
    },
    redirect: { services: 'socket', cgroupRoot: cgroup },
  });
  // Who is not translated is told so at once.
  rig.node.ip(`route add unreachable ${VIP[4]}/32`, `route add unreachable ${VIP[6]}/128`);
  rig.outside.ip(`route add local ${WORLD} dev lo`);
  await rig.outside.listen(seeingOrigin('world'), { ip: '0.0.0.0', port: 80 });
  const pair = new TestAuthority('world').issue('world', ['DNS:api.stripe.com']);
  const tls = createTlsServer(pair, (_, reply) => reply.end());
  await rig.outside.listen(tls, { ip: '0.0.0.0', port: 443 });
  for (const [index, [name, ips]] of Object.entries(SERVERS).entries())
    for (const ip of ips) await servers[index]?.listen(rig.pod(name).netns, ip);
  for (const [library, ...flags] of [['gcc'], ['musl-gcc', '-static']]) {
    const program = join(rig.dir, `${library}-connect`);
    const source = join(import.meta.dirname, 'name_clients/connect.c');
    execFileSync(library ?? '', ['-O2', '-Wall', '-Wextra', ...flags, source, '-o', program]);
    programs[library === 'gcc' ? 'glibc' : 'musl'] = program;
  }
  await rig.follow();
  proxy = await rig.proxy();
}, TIMEOUT_MS);

beforeEach(() => {
  for (const server of servers) server.heard.length = 0;
});

afterAll(async () => {
  for (const server of servers) server.close();
  await rig?.dispose();
  rmdirSync(cgroup);
}, TIMEOUT_MS);

/** What a command says that runs in a pod, in the cgroup of pods, with the servers of kube-dns in its resolv.conf. */
async function inPod(pod: string, command: readonly string[], options = ''): Promise<string> {
  const file = join(rig.dir, 'resolv.conf');
  const nameservers = Object.values(VIP)
    .map((ip) => `nameserver ${ip}\n`)
    .join('');
  writeFileSync(file, `${nameservers}options attempts:5 timeout:10\n${options}`);
  const enter = `echo $$ > ${cgroup}/cgroup.procs && mount --bind ${file} /etc/resolv.conf && exec "$@"`;
  const [program = '', ...args] = rig
    .pod(pod)
    .netns.command(['unshare', '-m', 'sh', '-c', enter, 'sh', ...command]);
  const { stdout } = await run(program, args).catch((error: { stdout: string }) => error);
  return stdout.trim();
}

const visit = (library: string, path: string, names: readonly string[], options = '') =>
  inPod('shop/web', [programs[library] ?? '', path, ...names], options);

async function dig(name: string, ...flags: readonly string[]): Promise<string> {
  const options = ['+tries=5', '+time=10', '+nocookie', ...flags];
  const said = await inPod('shop/web', ['dig', `@${VIP[4]}`, ...options, name, 'A']);
  expect(said).not.toContain('unexpected source');
  const addresses = [...said.matchAll(/\sIN\sA\s([0-9.]+)/g)].map(([, address]) => address);
  return [/status: ([A-Z]+)/.exec(said)?.[1] ?? said, ...addresses].join(' ');
}

/** By an address, without a question. */
const dial = (ip: string, path = '/v1/x') => visit('glibc', path, [ip]);

const heard = () => servers.flatMap((server) => server.heard.map(({ name }) => name));

describe('a pod that asks the ClusterIP of kube-dns', () => {
  it('reaches nobody before it has asked', async () => {
    expect(await dial(STRIPE)).toMatch(/^203.0.113.1 lost/);
  });

  it.each(['+notcp', '+tcp'])(
    'is answered what the rules name, and refused all else: %s',
    async (flag) => {
      expect(await dig('api.github.com', flag)).toBe(`NOERROR ${GITHUB}`);
      expect(await dig('s3.amazonaws.com', flag)).toBe(`NOERROR ${STRIPE}`);
      for (const name of [
        'github.com',
        'a.s3.amazonaws.com',
        'amazonaws.com',
        'api.stripe.com.evil.example',
      ])
        expect(await dig(name, flag)).toBe('REFUSED');
      expect(heard().sort()).toEqual(['api.github.com', 's3.amazonaws.com']);
    },
  );

  it.each([
    ['glibc', 'glibc', 10, ''],
    ['musl', 'musl', 60, ''],
    ['glibc', 'tcp', 110, 'options use-vc\n'],
  ])('reaches each name by its first connection: %s, %s', async (library, label, from, options) => {
    const names = Array.from(
      { length: BUCKET_COUNT },
      (_, i) => `${label}-${from + i}.amazonaws.com`,
    );
    const said = (await visit(library, '/v1/x', names, options)).split('\n');
    expect(said).toEqual(names.map((name) => `${name} 200`));
  });

  it('is bound by the HTTP rules of the name, and by its ports', async () => {
    expect(await visit('musl', '/v1/charges', ['api.stripe.com'])).toBe('api.stripe.com 200');
    expect(await visit('musl', '/v2', ['api.stripe.com', 'api.github.com'])).toBe(
      'api.stripe.com 403\napi.github.com 403',
    );
    const curl = ['curl', '-sk', '-o', '/dev/null', '-m', '60', '-w', '%{http_code}'];
    expect(await inPod('shop/web', [...curl, 'https://api.stripe.com/anything'])).toBe('200');
    expect(await inPod('shop/web', [...curl, 'http://api.stripe.com:8080/v1/x'])).toBe('000');
    expect(await inPod('shop/web', [...curl, `https://${UNNAMED}/`])).toBe('000');
  });

  it('reaches no address that no name has, and no name that is not asked for', async () => {
    expect(await dial(UNNAMED)).toMatch(/lost/);
    expect(await visit('glibc', '/v1/x', ['example.com'])).toBe('example.com unresolved');
  });

  it('finds a name past the search list of Kubernetes', async () => {
    expect(await visit('glibc', '/v1/x', ['api.github.com'], SEARCH)).toBe('api.github.com 200');
  });

  it('is let in by the policy of kube-dns’ own pods, others are not', async () => {
    const asked = ['dig', '+short', '+tries=1', '+time=1', `@${VIP[4]}`, 'api.stripe.com', 'A'];
    expect(await inPod('shop/job', asked)).not.toContain(STRIPE);
    expect(heard()).toEqual([]);
  });
});

describe('a proxy that starts again', () => {
  it('still knows the names that others have asked for', async () => {
    expect(await dig('api.github.com')).toBe(`NOERROR ${GITHUB}`);
    proxy.kill('SIGKILL');
    await proxy.ended;
    proxy = await rig.proxy();
    expect(await dial(GITHUB)).toBe(`${GITHUB} 200`);
    expect(await dial(GITHUB, '/v2')).toBe(`${GITHUB} 403`);
    expect(await dial(UNNAMED)).toMatch(/lost/);
    expect(await dig('api.github.com')).toBe(`NOERROR ${GITHUB}`);
    await until(() => heard().length > 0);
  });
});
