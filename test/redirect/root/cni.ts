/**
 * What a container runtime does for a pod, with the real CNI plugins (Debian: containernetworking-plugins): a network
 * namespace, the plugin run as CNI says (CNI_COMMAND and the rest in its environment, the configuration on its standard
 * input), its result kept as libcni keeps it, and a process in a cgroup that has the name which the kubelet gives it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Netns } from './netns.ts';

const PLUGINS = '/usr/lib/cni';

export interface CniPodOptions {
  /** "namespace/name". */
  readonly name: string;
  readonly uid: string;
}

export interface CniPod extends CniPodOptions {
  readonly netns: Netns;
  readonly containerId: string;
  /** What the plugin answered. */
  readonly result: CniAnswer;
  readonly ips: readonly string[];
  /** The end on the node's side, as the plugin tells it. */
  readonly hostInterface: string;
  /** How long the plugin took. */
  readonly addedMs: number;
}

export interface CniAnswer {
  readonly interfaces: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips: readonly { readonly address: string }[];
}

export interface CniNetworkOptions {
  readonly node: Netns;
  /** A folder of our own: addresses, results. */
  readonly dir: string;
  /** `type`, and what belongs to the plugin. */
  readonly plugin: Readonly<Record<string, unknown>>;
  readonly subnets: readonly string[];
  /** Results are kept where the loader looks. */
  readonly isKept?: boolean;
  /** Pods have a process. */
  readonly hasProcesses?: boolean;
}

let containerCount = 0;

export class CniNetwork {
  readonly resultsFolder: string;
  readonly pods = new Map<string, CniPod>();
  /** Results are written by `keep` only: between the end of the plugin and that, the runtime is at work. */
  isResultLate = false;
  readonly #options: CniNetworkOptions;
  readonly #netnses = new Set<Netns>();
  readonly #processes = new Map<string, PodProcess>();

  constructor(options: CniNetworkOptions) {
    this.#options = options;
    this.resultsFolder = join(options.dir, 'results');
    mkdirSync(this.resultsFolder, { recursive: true, mode: 0o700 });
  }

  /** `onNetns`: called when the namespace is there and the plugin has not been run. */
  add(options: CniPodOptions, onNetns: (netns: Netns) => void = () => {}): CniPod {
    const netns = new Netns(options.name.replaceAll('/', '-'));
    this.#netnses.add(netns);
    onNetns(netns);
    const containerId = `c${process.pid}x${containerCount++}`;
    const beganMs = performance.now();
    const result = JSON.parse(this.#run('ADD', netns, containerId)) as CniAnswer;
    const addedMs = performance.now() - beganMs;
    const hostInterface = result.interfaces.find(
      ({ name, sandbox }) => (sandbox ?? '') === '' && name.startsWith('veth'),
    )?.name;
    const ips = result.ips.map(({ address }) => address.split('/')[0] as string);
    const made = { netns, containerId, result, ips, hostInterface: hostInterface ?? '', addedMs };
    const pod: CniPod = { ...options, ...made };
    this.pods.set(pod.name, pod);
    if (this.#options.isKept === true && !this.isResultLate) this.keep(pod);
    if (this.#options.hasProcesses === true) this.begin(pod);
    return pod;
  }

  remove(name: string): void {
    const pod = this.pods.get(name);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    this.pods.delete(name);
    this.#processes.get(name)?.end();
    this.#processes.delete(name);
    this.#run('DEL', pod.netns, pod.containerId);
    rmSync(this.#resultPath(pod), { force: true });
    this.#netnses.delete(pod.netns);
    pod.netns.dispose();
  }

  /** As libcni does (its "cniCacheV1") after the plugin has ended. */
  keep(pod: CniPod): void {
    const [namespace, name] = pod.name.split('/');
    const value = {
      kind: 'cniCacheV1',
      containerId: pod.containerId,
      config: Buffer.from(this.#config()).toString('base64'),
      ifName: 'eth0',
      networkName: NETWORK,
      cniArgs: [
        ['IgnoreUnknown', '1'],
        ['K8S_POD_NAMESPACE', namespace],
        ['K8S_POD_NAME', name],
        ['K8S_POD_INFRA_CONTAINER_ID', pod.containerId],
        ['K8S_POD_UID', pod.uid],
      ],
      result: pod.result,
    };
    writeFileSync(this.#resultPath(pod), JSON.stringify(value), { mode: 0o600 });
  }

  /** The next pod gets the lowest address that is free, also one that was given back just now. */
  forgetLast(): void {
    const folder = join(this.#options.dir, 'addresses', NETWORK);
    for (const range of [0, 1]) {
      rmSync(join(folder, `last_reserved_ip.${range}`), { force: true });
    }
  }

  begin(pod: CniPod): void {
    this.#processes.set(pod.name, new PodProcess(pod.netns, pod.uid));
  }

  dispose(): void {
    for (const one of this.#processes.values()) one.end();
    for (const netns of this.#netnses) netns.dispose();
  }

  #resultPath({ containerId }: CniPod): string {
    return join(this.resultsFolder, `${NETWORK}-${containerId}-eth0`);
  }

  #config(): string {
    const { plugin, subnets, dir } = this.#options;
    return JSON.stringify({
      cniVersion: '1.0.0',
      name: NETWORK,
      ...plugin,
      ipam: {
        type: 'host-local',
        dataDir: join(dir, 'addresses'),
        ranges: subnets.map((subnet) => [{ subnet }]),
        routes: subnets.map((subnet) => ({ dst: subnet.includes(':') ? '::/0' : '0.0.0.0/0' })),
      },
    });
  }

  #run(command: 'ADD' | 'DEL', netns: Netns, containerId: string): string {
    const { node, plugin } = this.#options;
    const [program = '', ...words] = node.command([join(PLUGINS, String(plugin['type']))]);
    return execFileSync(program, words, {
      input: this.#config(),
      encoding: 'utf8',
      env: {
        ...process.env,
        CNI_COMMAND: command,
        CNI_CONTAINERID: containerId,
        CNI_NETNS: netns.path,
        CNI_IFNAME: 'eth0',
        CNI_PATH: PLUGINS,
      },
    });
  }
}

const NETWORK = 'pods';

/** A process of a pod: in its namespace, and in a cgroup as the kubelet names it. */
class PodProcess {
  readonly #child: ChildProcess;
  readonly #folders: readonly string[];

  constructor(netns: Netns, uid: string) {
    const base = join(cgroupRoot(), `kubepods-sptest${process.pid}`);
    const pod = join(base, `pod${uid}`);
    this.#folders = [join(pod, 'container'), pod, base];
    mkdirSync(this.#folders[0] as string, { recursive: true });
    const [program = '', ...words] = netns.command(['sleep', '600']);
    this.#child = spawn(program, words, { stdio: 'ignore' });
    writeFileSync(join(this.#folders[0] as string, 'cgroup.procs'), String(this.#child.pid));
  }

  end(): void {
    const { pid } = this.#child;
    this.#child.kill('SIGKILL');
    // A cgroup cannot go before its processes have; the kernel needs a moment for that.
    execFileSync('sh', [
      '-c',
      `i=0; while kill -0 ${pid} 2>/dev/null && ! grep -q '^State:.Z' /proc/${pid}/status && [ $i -lt 100 ]; do i=$((i+1)); sleep 0.02; done`,
    ]);
    for (const folder of this.#folders) {
      try {
        rmdirSync(folder);
      } catch {
        // Another pod's process is still there.
      }
    }
  }
}

/** Of a hierarchy in which groups can be made: version 2, or one of version 1. */
function cgroupRoot(): string {
  const roots = ['/sys/fs/cgroup/pids', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'];
  const root = roots.find((one) => existsSync(join(one, 'cgroup.procs')));
  if (root === undefined) throw new Error('no cgroup hierarchy is mounted');
  return root;
}
