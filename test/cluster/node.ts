/** The node: containerd with runc and CNI plugins, a kubelet, and beside it what a control plane needs to run pods. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must, run } from '../deploy/tools.ts';
import { ControlPlane } from '../kube/real/parts/control_plane.ts';
import { Part } from '../kube/real/parts/part.ts';
import { programPath } from '../peers/kube/build.ts';
import { until } from '../support/until.ts';
import { API_ADDRESSES, NODE_IP } from './machine.ts';

export const NODE_NAME = 'node-1';
/** Everything here is slow on a machine that has other work. */
const PATIENCE_MS = 180_000;
const CONTAINERD = '/run/containerd/containerd.sock';

export interface ClusterOptions {
  readonly folder: string;
  readonly cgroup: string;
  readonly cni: CniPlugin;
  /** The API server has its Service, whose address somebody translates. */
  readonly hasServices: boolean;
  /** Null: there is no kube-proxy. */
  readonly kubeProxy: KubeProxyMode | null;
  readonly pauseImage: string;
  /** Archives. */
  readonly images: readonly string[];
}

export class Cluster {
  readonly plane: ControlPlane;
  readonly #parts: ReadonlyMap<string, Part>;

  private constructor(plane: ControlPlane, parts: ReadonlyMap<string, Part>) {
    this.plane = plane;
    this.#parts = parts;
  }

  /** With its node Ready. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const { folder } = options;
    const part = (name: string, command: readonly [string, ...string[]]): Part => {
      const made = new Part(command, join(folder, `${name}.log`));
      made.start();
      parts.set(name, made);
      return made;
    };
    const parts = new Map<string, Part>();
    writeFileSync(join(folder, 'containerd.toml'), containerdConfig(options));
    mkdirSync(join(folder, 'cni'));
    writeFileSync(join(folder, 'cni/10-pods.conflist'), cniConfig(options.cni));
    const containerd = part('containerd', ['containerd', '-c', join(folder, 'containerd.toml')]);
    await until(() => {
      if (!containerd.isRunning) throw new Error(`containerd ended:\n${containerd.log}`);
      return run(['ctr', '-a', CONTAINERD, 'version']).code === 0;
    }, PATIENCE_MS);
    for (const image of options.images)
      must(['ctr', '-a', CONTAINERD, '-n', 'k8s.io', 'images', 'import', image]);
    const plane = await ControlPlane.start({
      store: 'kine',
      hasControllers: true,
      moreControllers: ['daemonset-controller', 'node-lifecycle-controller'],
      address: API_ADDRESSES[options.hasServices ? 'translated' : 'untranslated'],
      // Names of nodes are in no DNS.
      flags: [
        ...['--kubelet-preferred-address-types', 'InternalIP'],
        ...(options.hasServices ? ['--endpoint-reconciler-type', 'master-count'] : []),
      ],
    });
    part('scheduler', [
      programPath('kube-scheduler'),
      ...['--kubeconfig', plane.kubeconfig, '--secure-port', '0', '--leader-elect=false'],
    ]);
    const certificate = plane.authority.issue(`system:node:${NODE_NAME}`, ['system:nodes']);
    writeFileSync(join(folder, 'kubelet.json'), kubeletConfig(options));
    const kubelet = part('kubelet', [
      programPath('kubelet'),
      ...['--config', join(folder, 'kubelet.json'), '--hostname-override', NODE_NAME],
      ...['--kubeconfig', plane.kubeconfigFor({ kind: 'certificate', certificate })],
      ...['--node-ip', NODE_IP],
    ]);
    if (options.kubeProxy !== null) part('kube-proxy', kubeProxyCommand(plane, options.kubeProxy));
    const cluster = new Cluster(plane, parts);
    await until(async () => {
      if (!kubelet.isRunning) throw new Error(`the kubelet ended:\n${kubelet.log}`);
      const path = '{.items[*].status.conditions[?(@.type=="Ready")].status}';
      return (await plane.kubectl(['get', 'nodes', '-o', `jsonpath=${path}`])) === 'True';
    }, PATIENCE_MS);
    return cluster;
  }

  /** What a program of the node wrote last. */
  log(name: string): string {
    return this.#parts.get(name)?.log ?? '';
  }

  /** Waits until `kubectl wait` is content. */
  async wait(namespace: string, what: string, condition: string): Promise<void> {
    const seconds = `${PATIENCE_MS / 1000}s`;
    await this.plane.kubectl([
      ...['-n', namespace, 'wait', what, '--for', condition, '--timeout', seconds],
    ]);
  }

  /** What a program in a container of a pod prints. */
  async exec(pod: string, command: readonly string[], container = ''): Promise<string> {
    const [namespace = '', name = ''] = pod.split('/');
    const chosen = container === '' ? [] : ['-c', container];
    return await this.plane.kubectl(['-n', namespace, 'exec', name, ...chosen, '--', ...command]);
  }

  async stop(): Promise<void> {
    for (const name of ['kubelet', 'scheduler', 'kube-proxy']) await this.#parts.get(name)?.end();
    await this.plane.stop();
    await this.#parts.get('containerd')?.end('SIGTERM');
  }
}

/** Pods with a route of their own on the node, and pods that a bridge connects past its routing. */
export type CniPlugin = 'ptp' | 'bridge';

export type KubeProxyMode = 'iptables' | 'nftables';

/** With the rights that the API server gives to every kube-proxy. Limits of conntrack are the whole kernel's. */
function kubeProxyCommand(plane: ControlPlane, mode: KubeProxyMode): [string, ...string[]] {
  const certificate = plane.authority.issue('system:kube-proxy', []);
  return [
    programPath('kube-proxy'),
    ...['--hostname-override', NODE_NAME, '--proxy-mode', mode, '--cluster-cidr', '10.77.0.0/24'],
    ...['--kubeconfig', plane.kubeconfigFor({ kind: 'certificate', certificate })],
    ...['--conntrack-max-per-core=0', '--conntrack-min=0'],
    ...['--conntrack-tcp-timeout-established=0', '--conntrack-tcp-timeout-close-wait=0'],
  ];
}

function cniConfig(type: CniPlugin): string {
  const ipam = {
    type: 'host-local',
    ranges: [[{ subnet: '10.77.0.0/24' }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  // As flannel has it.
  const bridge = type === 'bridge' ? { bridge: 'cni0', isGateway: true, hairpinMode: true } : {};
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [{ type, ...bridge, ipam }],
  });
}

function containerdConfig({ folder, pauseImage }: ClusterOptions): string {
  return `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # Where CAP_SYS_RESOURCE is missing nobody may lower it.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${join(folder, 'cni')}"
`;
}

function kubeletConfig({ folder, cgroup }: ClusterOptions): string {
  const resolvConf = join(folder, 'resolv.conf');
  writeFileSync(resolvConf, 'nameserver 10.96.0.10\n');
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${CONTAINERD}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}`,
    failCgroupV1: false,
    failSwapOn: false,
    oomScoreAdj: 0,
    makeIPTablesUtilChains: false,
    resolvConf,
    // Nothing of it leaves the machine's namespaces.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    // Images cannot be pulled again.
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '0%',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
  });
}
