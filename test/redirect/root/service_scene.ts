/**
 * A node with a pod that dials, backends that answer, and the hooks on a cgroup of its own: only what is started by
 * `client` is in it.
 *
 *     pod ── node 10.8.0.1 ── backends 10.9.0.1, 10.9.0.2, ...  each says its own address, by TCP and by UDP
 */
import { execFileSync } from 'node:child_process';
import type { Socket as UdpSocket } from 'node:dgram';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceFrontend } from '../../../src/model/service_frontend.ts';
import { cgroupRoot } from '../../../src/redirect/host/cgroup_root.ts';
import { mountBpffs } from '../../../src/redirect/kernel/bpffs.ts';
import { closeLostSockets } from '../../../src/redirect/services/lost_sockets.ts';
import { ServiceTables } from '../../../src/redirect/services/service_tables.ts';
import { removeSocketHooks, SocketHooks } from '../../../src/redirect/services/socket_hooks.ts';
import { BACKEND_PORT, backendIp, ip } from '../../support/service_frontends.ts';
import { Netns } from './netns.ts';
import { ServiceClient } from './service_client.ts';

export const SERVICES_OBJECT = fileURLToPath(
  new URL('../../../src/redirect/bpf/build/services.bpf.o', import.meta.url),
);

const SOCKETS_OBJECT = SERVICES_OBJECT.replace('services.bpf', 'sockets.bpf');

export const BACKEND_COUNT = 4;
export const VIP = { 4: '10.96.0.1', 6: 'fd96::1' } as const;
export const NODE = { 4: '10.8.0.1', 6: 'fd08::1' } as const;
const GRACE_MS = 200;
const PROXY_GID = 1337;

export class ServiceScene {
  readonly node = new Netns('svc-node');
  readonly pod = new Netns('svc-pod');
  readonly backends = new Netns('svc-backends');
  readonly cgroup: string;
  readonly root: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sallyport-services-'));
  readonly #servers: (Server | UdpSocket)[] = [];
  readonly #clients: ServiceClient[] = [];
  hooks: SocketHooks;
  tables: ServiceTables;

  constructor() {
    const unified = cgroupRoot();
    if (unified === null) throw new Error('cgroup2 is mounted nowhere');
    this.cgroup = join(unified, `sallyport-test-${process.pid}`);
    mkdirSync(this.cgroup);
    const bpffs = join(this.#folder, 'bpf');
    mountBpffs(bpffs);
    this.root = join(bpffs, 'sallyport');
    for (const [netns, subnet] of [
      [this.pod, 1],
      [this.backends, 2],
    ] as const) {
      this.#connect(netns, subnet);
    }
    for (let index = 1; index <= BACKEND_COUNT; index++) {
      this.backends.ip(`addr add ${backendIp(index, 4)}/32 dev lo`);
      this.backends.ip(`addr add ${backendIp(index, 6)}/128 dev lo nodad`);
    }
    this.node.ip(`addr add ${NODE[4]}/32 dev lo`, `addr add ${NODE[6]}/128 dev lo nodad`);
    this.node.sysctl('net.ipv4.ip_forward', 1);
    this.node.sysctl('net.ipv6.conf.all.forwarding', 1);
    [this.hooks, this.tables] = this.#open();
  }

  /** Backends answer, and the hooks are attached. */
  async start(): Promise<void> {
    for (let index = 1; index <= BACKEND_COUNT; index++) {
      for (const family of [4, 6] as const) await this.#serve(backendIp(index, family));
    }
    this.hooks.attach(this.cgroup);
  }

  /** As a loader that is started again: what is pinned is taken up. */
  restart(): void {
    this.hooks.close();
    [this.hooks, this.tables] = this.#open();
    this.hooks.attach(this.cgroup);
  }

  put(frontends: readonly ServiceFrontend[], nodeAddresses: readonly string[] = []) {
    this.tables.sweep();
    return this.tables.apply({ frontends, nodeAddresses: nodeAddresses.map(ip) });
  }

  /** As the node's loader, in its namespace. */
  closeLost(frontends: readonly ServiceFrontend[], nodeAddresses: readonly string[] = []) {
    const inForce = { frontends, nodeAddresses: nodeAddresses.map(ip) };
    const connectedFd = this.hooks.maps.connected.fd;
    return closeLostSockets({ objectPath: SOCKETS_OBJECT, connectedFd }, inForce);
  }

  /** Runs in the cgroup, in one of the namespaces. */
  client(netns: Netns, command: readonly string[]): ServiceClient {
    const join = ['sh', '-c', `echo $$ > ${this.cgroup}/cgroup.procs && exec "$@"`, 'sh'];
    const client = new ServiceClient(netns.command([...join, ...command]));
    this.#clients.push(client);
    return client;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
    for (const server of this.#servers) server.close();
    this.hooks.close();
    removeSocketHooks(this.root);
    for (const netns of [this.pod, this.backends, this.node]) netns.dispose();
    rmdirSync(this.cgroup);
    execFileSync('umount', [join(this.#folder, 'bpf')]);
    rmSync(this.#folder, { recursive: true });
  }

  #open(): [SocketHooks, ServiceTables] {
    const { root } = this;
    const parts = { root, objectPath: SERVICES_OBJECT, proxyGid: PROXY_GID };
    const hooks = this.node.inside(() => new SocketHooks(parts));
    const options = { nowMs: () => performance.now(), graceMs: GRACE_MS };
    return [hooks, new ServiceTables(hooks.maps, options)];
  }

  #connect(netns: Netns, subnet: number): void {
    const host = `svc${subnet}`;
    this.node.ip(`link add ${host} type veth peer name eth0 netns ${netns.name}`);
    this.node.ip(`link set ${host} up`, `addr add 10.8.${subnet}.254/24 dev ${host}`);
    this.node.ip(`addr add fd08:${subnet}::ff/64 dev ${host} nodad`);
    netns.ip('link set eth0 up', `addr add 10.8.${subnet}.253/24 dev eth0`);
    netns.ip(`addr add fd08:${subnet}::fe/64 dev eth0 nodad`);
    netns.ip(`route add default via 10.8.${subnet}.254`);
    netns.ip(`route add default via fd08:${subnet}::ff`);
    this.node.ip(...Array.from({ length: BACKEND_COUNT }, (_, i) => routeTo(i + 1, subnet)).flat());
  }

  async #serve(own: string): Promise<void> {
    const at = { ip: own, port: BACKEND_PORT };
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(own);
    });
    await this.backends.listen(server, at);
    const udp = await this.backends.udp(at);
    udp.on('message', (_, from) => udp.send(own, from.port, from.address));
    this.#servers.push(server, udp);
  }
}

function routeTo(index: number, subnet: number): readonly string[] {
  if (subnet !== 2) return [];
  return [
    `route add ${backendIp(index, 4)}/32 via 10.8.2.253`,
    `route add ${backendIp(index, 6)}/128 via fd08:2::fe`,
  ];
}
