/**
 * A node with pods in network namespaces, the kernel's redirect and the real commands: what the
 * end-to-end suite and the demo run on.
 *
 *     pod eth0 ── lxc0 ┐                       ┌ uplink ── outside: any address that is no pod's
 *     pod eth0 ── lxc1 ┤ node: forwards, runs  │
 *     pod eth0 ── lxc2 ┘ `run` and `redirect`  ┘
 *
 * Pods are sockets in this process (netns.ts); node and outside are namespaces, too. Nothing here
 * reaches a network outside of the machine: no interface leads there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Netns } from './netns.ts';

const ROOT = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const BIN = join(ROOT, 'bin/sallyport');
const READY_TIMEOUT_MS = 150_000;

/** Link-local gateway of every pod, as Cilium has it: pods need no subnet in common with the node. */
const GATEWAY4 = '169.254.1.1';
const GATEWAY6 = 'fe80::1';
/** The node's own addresses, from which it talks to its pods. */
const NODE4 = '100.64.0.1';
const NODE6 = 'fd00:64::1';

export interface Pod {
  readonly name: string;
  readonly ips: readonly string[];
  readonly labels: unknown;
  readonly interface: string;
  readonly netns: Netns;
}

export interface RigOptions {
  readonly pods: readonly {
    readonly name: string;
    readonly ips: readonly string[];
    readonly labels: unknown;
    /** Further fields of the endpoints file. */
    readonly more?: Readonly<Record<string, unknown>>;
  }[];
  /** Endpoints of other nodes: in the endpoints file only. */
  readonly others?: readonly unknown[];
  /** Addresses that the outside host answers at. */
  readonly outside?: readonly string[];
  /** Texts of policy documents (YAML or JSON). */
  readonly policies: readonly string[];
  /** Other keys of the endpoints file, such as cidrs. */
  readonly inventory?: Readonly<Record<string, unknown>>;
  /** `enableNodeSelectorLabels`. */
  readonly hasNodeLabels?: boolean;
  readonly workers?: number;
  readonly host?: 'always' | 'policy';
  /** More fields of `redirect`. */
  readonly redirect?: Readonly<Record<string, unknown>>;
  readonly clientAddress?: 'always' | 'endpoints';
  readonly uid?: number;
  /** The proxy keeps its state over a restart. */
  readonly hasState?: boolean;
  /** Of the configuration, beside those that every rig has. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Listeners beside the two that take all that is redirected, each a line of YAML. */
  readonly listeners?: readonly string[];
  /** Pods are ports of one bridge, in one subnet of each family with these gateways. */
  readonly bridge?: readonly [gateway4: string, gateway6: string];
}

export class RedirectRig {
  readonly dir = mkdtempSync(join(tmpdir(), 'sallyport-redirect-'));
  readonly node: Netns;
  readonly outside: Netns;
  readonly pods = new Map<string, Pod>();
  readonly #options: RigOptions;
  readonly #children = new Set<Command>();
  #interfaceCount = 0;

  constructor(options: RigOptions) {
    this.#options = options;
    execFileSync('chmod', ['755', this.dir]);
    mkdirSync(join(this.dir, 'bpf'));
    mkdirSync(join(this.dir, 'policies'));
    execFileSync('mount', ['-t', 'bpf', 'bpf', join(this.dir, 'bpf')]);
    this.node = new Netns('node');
    this.outside = new Netns('outside');
    this.#connectOutside(options.outside ?? []);
    this.#makeBridge();
    for (const { name, ips, labels } of options.pods) this.addPod(name, ips, labels);
    this.writePolicies(options.policies);
    this.writeEndpoints();
    this.writeConfig();
  }

  pod(name: string): Pod {
    const pod = this.pods.get(name);
    if (pod === undefined) throw new Error(`no pod ${name}`);
    return pod;
  }

  /** A namespace with its veth pair; in the endpoints file after `writeEndpoints`. */
  addPod(name: string, ips: readonly string[], labels: unknown): Pod {
    const netns = new Netns(name.replaceAll('/', '-'));
    const host = `lxc${this.#interfaceCount++}`;
    this.node.ip(`link add ${host} type veth peer name eth0 netns ${netns.name}`);
    netns.ip('link set eth0 up');
    const pod = { name, ips, labels, interface: host, netns };
    this.pods.set(name, pod);
    if (this.#options.bridge !== undefined) {
      this.#connectToBridge(pod, this.#options.bridge);
      return pod;
    }
    this.node.ip(`link set ${host} up`, `addr add ${GATEWAY4}/32 dev ${host}`);
    this.node.ip(`addr add ${GATEWAY6}/64 dev ${host} nodad`);
    for (const ip of ips) {
      const is6 = ip.includes(':');
      netns.ip(`addr add ${ip}/${is6 ? 128 : 32} dev eth0 ${is6 ? 'nodad' : ''}`);
      const source = is6 ? NODE6 : NODE4;
      this.node.ip(`route add ${ip}/${is6 ? 128 : 32} dev ${host} src ${source}`);
    }
    netns.ip(`route add ${GATEWAY4}/32 dev eth0`, `route add default via ${GATEWAY4}`);
    netns.ip(`route add default via ${GATEWAY6} dev eth0`);
    return pod;
  }

  /** Takes interface, namespace and addresses away. */
  removePod(name: string): void {
    const pod = this.pod(name);
    this.pods.delete(name);
    this.node.ip(`link del ${pod.interface}`);
    pod.netns.dispose();
  }

  writePolicies(texts: readonly string[]): void {
    // One write of one file: a set is taken as a whole.
    writeFileSync(join(this.dir, 'policies/all.yaml'), texts.join('\n---\n'));
  }

  writeEndpoints(): void {
    const more = new Map(this.#options.pods.map((pod) => [pod.name, pod.more ?? {}]));
    const endpoints = [...this.pods.values()].map((pod) => ({
      ...more.get(pod.name),
      name: pod.name,
      ips: pod.ips,
      labels: pod.labels,
      interface: pod.interface,
    }));
    const all = [...endpoints, ...(this.#options.others ?? [])];
    const text = JSON.stringify({ ...this.#options.inventory, endpoints: all }, null, 1);
    writeFileSync(join(this.dir, 'endpoints.json'), text);
  }

  writeConfig(): void {
    writeFileSync(join(this.dir, 'config.yaml'), this.#config());
  }

  get pinRoot(): string {
    return join(this.dir, 'bpf/sallyport');
  }

  /** `redirect up --follow`, ready. */
  async follow(): Promise<Command> {
    const loader = this.#spawn(['redirect', 'up', '--follow', '-c', this.#configPath]);
    await loader.until((line) => line['msg'] === 'following' || line['msg'] === 'ready');
    return loader;
  }

  /** Runs `redirect VERB` to its end. */
  async redirect(...args: readonly string[]): Promise<{ code: number; output: string }> {
    const command = this.#spawn(['redirect', ...args, '-c', this.#configPath]);
    const code = await command.ended;
    return { code, output: command.output };
  }

  /** A proxy that is ready; several may run beside each other. */
  async proxy(configPath = this.#configPath): Promise<Command> {
    const proxy = this.#spawn(['run', '-c', configPath]);
    await proxy.until((line) => line['msg'] === 'ready');
    return proxy;
  }

  async dispose(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.all([...this.#children].map(({ ended }) => ended));
    for (const { netns } of this.pods.values()) netns.dispose();
    this.node.dispose();
    this.outside.dispose();
    execFileSync('umount', [join(this.dir, 'bpf')]);
    rmSync(this.dir, { recursive: true, force: true });
  }

  get #configPath(): string {
    return join(this.dir, 'config.yaml');
  }

  #spawn(args: readonly string[]): Command {
    const command = new Command(this.node.command([BIN, ...args]));
    this.#children.add(command);
    void command.ended.then(() => this.#children.delete(command));
    return command;
  }

  #connectOutside(ips: readonly string[]): void {
    this.node.ip(`link add uplink type veth peer name eth0 netns ${this.outside.name}`);
    this.node.ip('link set uplink up', `addr add ${NODE4}/30 dev uplink`);
    this.node.ip(`addr add ${NODE6}/64 dev uplink nodad`);
    this.outside.ip('link set eth0 up', 'addr add 100.64.0.2/30 dev eth0');
    this.outside.ip('addr add fd00:64::2/64 dev eth0 nodad');
    for (const ip of ips) {
      const is6 = ip.includes(':');
      this.outside.ip(`addr add ${ip}/${is6 ? 128 : 32} dev lo ${is6 ? 'nodad' : ''}`);
    }
    this.node.ip('route add default via 100.64.0.2', 'route add default via fd00:64::2');
    this.outside.ip('route add default via 100.64.0.1', 'route add default via fd00:64::1');
    this.node.sysctl('net.ipv4.ip_forward', 1);
    this.node.sysctl('net.ipv6.conf.all.forwarding', 1);
  }

  #makeBridge(): void {
    const { bridge } = this.#options;
    if (bridge === undefined) return;
    this.node.ip('link add cni0 type bridge', 'link set cni0 up');
    this.node.ip(`addr add ${bridge[0]}/24 dev cni0`, `addr add ${bridge[1]}/64 dev cni0 nodad`);
  }

  #connectToBridge({ ips, netns, interface: host }: Pod, gateways: readonly string[]): void {
    this.node.ip(`link set ${host} master cni0 up`);
    for (const ip of ips) {
      netns.ip(`addr add ${ip}/${ip.includes(':') ? '64' : '24'} dev eth0 nodad`);
    }
    for (const gateway of gateways) netns.ip(`route add default via ${gateway}`);
  }

  #listener(name: string, address: string): string {
    return `  - name: ${name}
    address: "${address}"
    direction: by-record
    destination: local-address
    upstream: original-destination
    identity: [redirect-record]
    clientAddress: ${this.#options.clientAddress ?? 'always'}
`;
  }

  #moreOfRedirect(): string {
    const fields = Object.entries(this.#options.redirect ?? {});
    return fields.map(([name, value]) => `  ${name}: ${JSON.stringify(value)}\n`).join('');
  }

  #config(): string {
    return `policies: [policies/]
endpoints: endpoints.json
enableNodeSelectorLabels: ${this.#options.hasNodeLabels ?? false}
workers: ${this.#options.workers ?? 1}
${this.#options.hasState === true ? `stateDir: ${join(this.dir, 'state')}\n` : ''}limits: ${JSON.stringify({ reloadDelayMs: 10, drainTimeoutMs: 5000, ...this.#options.limits })}
redirect:
  root: ${this.pinRoot}
  uplinks: [uplink]
  host: ${this.#options.host ?? 'always'}
  settleMs: 100
${this.#moreOfRedirect()}listeners:
${this.#listener('redirected-4', '127.0.0.1:15001')}${this.#listener('redirected-6', '[::1]:15001')}${(this.#options.listeners ?? []).map((line) => `  - ${line}\n`).join('')}`;
  }
}

/** A child whose output lines are kept, and its end. */
export class Command {
  readonly ended: Promise<number>;
  output = '';
  readonly #child: ChildProcess;
  #waiting: (() => void)[] = [];
  #isEnded = false;

  constructor([program = '', ...args]: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
        this.#wake();
      });
    }
    this.ended = once(this.#child, 'close').then(([code]) => {
      this.#isEnded = true;
      this.#wake();
      return (code as number | null) ?? -1;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Output lines that are JSON objects. */
  lines(): readonly Readonly<Record<string, unknown>>[] {
    return (
      this.output
        .split('\n')
        // The last one may not be whole, and end with a brace all the same.
        .slice(0, -1)
        .filter((line) => line.startsWith('{') && line.endsWith('}'))
        .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    );
  }

  /** The first line that `accept` takes; an error that holds the output when none comes. */
  async until(
    accept: (line: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<Readonly<Record<string, unknown>>> {
    const lastMs = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      const found = this.lines().find(accept);
      if (found !== undefined) return found;
      const isLate = performance.now() > lastMs;
      if (this.#isEnded || isLate) {
        throw new Error(`${isLate ? 'too late' : 'ended'}:\n${this.output}`);
      }
      await Promise.race([sleep(200), new Promise<void>((wake) => this.#waiting.push(wake))]);
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
