/**
 * Records the rules that the real kube-proxy makes, beside a real API server, for the scenes of services_beside.test.ts
 * (root; programs: `node test/peers/kube/build.ts kube-apiserver kubectl kube-proxy`, etcd). By hand, when kube-proxy changes:
 *
 *     unshare --net sh -c 'ip link set lo up && node test/redirect/root/kube_proxy/record.ts'
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ControlPlane } from '../../../kube/real/parts/control_plane.ts';
import { programPath } from '../../../peers/kube/build.ts';
import { until } from '../../../support/until.ts';

const HERE = import.meta.dirname;
const NODE_IPS = ['10.8.0.1', 'fd08::1'];

const service = (name: string, more: object): object => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' } },
  spec: { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'], ...more },
});
const ports = (nodePort: number) => [
  { name: 'tcp', protocol: 'TCP', port: 80, targetPort: 8080, nodePort },
  { name: 'udp', protocol: 'UDP', port: 80, targetPort: 8080, nodePort },
];
const slice = (family: 'IPv4' | 'IPv6', addresses: readonly string[]): object => ({
  ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: family },
  metadata: {
    ...{ name: `web-${family.toLowerCase()}`, namespace: 'default' },
    labels: { 'kubernetes.io/service-name': 'web' },
  },
  endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  ports: [
    { name: 'tcp', protocol: 'TCP', port: 8080 },
    { name: 'udp', protocol: 'UDP', port: 8080 },
  ],
});

const OBJECTS = [
  { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node' } },
  service('web', {
    ...{ type: 'NodePort', clusterIP: '10.96.0.11', clusterIPs: ['10.96.0.11', 'fd96::11'] },
    ports: ports(30_080),
  }),
  service('empty', {
    ...{ type: 'NodePort', clusterIP: '10.96.0.12', clusterIPs: ['10.96.0.12', 'fd96::12'] },
    ports: ports(30_081),
  }),
  slice('IPv4', ['10.9.0.1', '10.9.0.2']),
  slice('IPv6', ['fd09::1', 'fd09::2']),
];

const MODES = {
  iptables: () => ({
    'iptables.rules': run('iptables-save'),
    'ip6tables.rules': run('ip6tables-save'),
  }),
  // Tables of iptables-nft may lie beside its own.
  nftables: () => ({
    'nftables.rules': ['ip', 'ip6'].map((family) => tableOf(family)).join(''),
  }),
} as const;

await main();

async function main(): Promise<void> {
  for (const ip of NODE_IPS) run('ip', 'address', 'add', ip, 'dev', 'lo');
  const flags = ['--service-cluster-ip-range=10.96.0.0/16,fd96::/112'];
  const cluster = await ControlPlane.start({ store: 'etcd', flags });
  try {
    await cluster.apply(OBJECTS.map((one) => JSON.stringify(one)).join('\n---\n'));
    const status = JSON.stringify({
      status: { addresses: NODE_IPS.map((address) => ({ type: 'InternalIP', address })) },
    });
    const patch = ['patch', 'node', 'node', '--subresource=status', '-p', status];
    run(programPath('kubectl'), '--kubeconfig', cluster.kubeconfig, ...patch);
    for (const [mode, save] of Object.entries(MODES)) await record(mode, save, cluster.kubeconfig);
  } finally {
    await cluster.stop();
  }
}

async function record(
  mode: string,
  save: () => Readonly<Record<string, string>>,
  kubeconfig: string,
): Promise<void> {
  const own = ['--hostname-override=node', `--proxy-mode=${mode}`, `--kubeconfig=${kubeconfig}`];
  const cidrs = ['--cluster-cidr=10.8.0.0/15,fd08::/15', '--conntrack-max-per-core=0'];
  const proxy = spawn(programPath('kube-proxy'), [...own, ...cidrs], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await until(() => isWhole(save()));
    for (const [name, rules] of Object.entries(save())) writeFileSync(join(HERE, name), rules);
  } finally {
    await ended(proxy);
  }
  run(programPath('kube-proxy'), '--cleanup');
}

/** Empty: it is not there yet. */
function tableOf(family: string): string {
  try {
    return run('nft', 'list', 'table', family, 'kube-proxy');
  } catch {
    return '';
  }
}

/** Each address of a Service and of a backend is in them. */
function isWhole(saved: Readonly<Record<string, string>>): boolean {
  const text = Object.values(saved).join('\n');
  const ipv6 = ['fd96::11', 'fd96::12', 'fd09::1', 'fd09::2'];
  return ['10.96.0.11', '10.96.0.12', '10.9.0.1', '10.9.0.2', ...ipv6].every((ip) =>
    text.includes(ip),
  );
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.kill();
  });
}

function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
