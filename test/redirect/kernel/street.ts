/**
 * A client and a server, each in a namespace, and the node between them, which forwards and has the
 * programs attached. A listener of a few lines stands for the proxy.
 *
 *     client eth0 ── lxcC [ node ] lxcS ── eth0 server
 */
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer, type Server, Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { sockmapUpdate } from '../../../src/redirect/kernel/pinned.ts';
import { LISTENER_SLOTS, MARK_PROXY_INGRESS } from '../../../src/redirect/layout.ts';
import { type LocalAddress, Netns } from '../root/netns.ts';
import { insideOf, Lab, type Rule, type Tables } from './lab.ts';
import { bytesOf } from './packets.ts';

export const CLIENT = { endpoint: 21, identity: 5001, ip4: '10.77.1.2', ip6: 'fd77:1::2' };
export const SERVER = { endpoint: 22, identity: 5002, ip4: '10.77.2.2', ip6: 'fd77:2::2' };

const [SOL_IP, SOL_SOCKET, SOL_IPV6] = [0, 1, 41];
const [IP_TRANSPARENT, IPV6_TRANSPARENT, SO_MARK] = [19, 75, 36];

const setOption = koffi
  .load(null)
  .func('int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)');

export function setSocketOption(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  if (setOption(fd, level, name, bytes, 4) !== 0) throw new Error(`setsockopt: ${koffi.errno()}`);
}

export function setMark(fd: number, mark: number): void {
  setSocketOption(fd, SOL_SOCKET, SO_MARK, mark);
}

export function setTransparent(fd: number, family: 4 | 6): void {
  if (family === 4) setSocketOption(fd, SOL_IP, IP_TRANSPARENT, 1);
  else setSocketOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
}

export class Street {
  readonly lab: Lab;
  readonly client: Netns;
  readonly server: Netns;
  readonly clientIfindex: number;
  readonly serverIfindex: number;
  readonly #servers = new Set<Server>();

  constructor(label: string) {
    this.lab = new Lab(label);
    this.client = new Netns(`spA-${label}-client`);
    this.server = new Netns(`spA-${label}-server`);
    this.clientIfindex = this.connect('lxcC', this.client, 1);
    this.serverIfindex = this.connect('lxcS', this.server, 2);
    for (const name of ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'])
      this.lab.node.sysctl(name, 1);
    this.addRules();
  }

  connect(name: string, pod: Netns, net: number): number {
    const ifindex = this.lab.addInterface(name, pod);
    this.lab.node.ip(
      `addr add 10.77.${net}.1/24 dev ${name}`,
      `addr add fd77:${net}::1/64 dev ${name} nodad`,
    );
    pod.ip(
      `addr add 10.77.${net}.2/24 dev eth0`,
      `addr add fd77:${net}::2/64 dev eth0 nodad`,
      `route add default via 10.77.${net}.1`,
      `route add default via fd77:${net}::1`,
    );
    return ifindex;
  }

  /** Delivery of what is marked for the proxy: what `sallyport redirect up` sets up. */
  addRules(): void {
    for (const family of ['-4', '-6']) {
      this.#run(`ip ${family} rule add prio 9 fwmark 0x200/0xf00 lookup 2004`);
      this.#run(`ip ${family} route replace local default dev lo table 2004`);
    }
  }

  removeRules(): void {
    for (const family of ['-4', '-6']) this.#run(`ip ${family} rule del prio 9`);
  }

  #run(command: string): void {
    this.lab.node.run(command.split(' '));
  }

  attach(): void {
    this.lab.inside(() => {
      this.lab.datapath.attachInterface(this.clientIfindex);
      this.lab.datapath.attachInterface(this.serverIfindex);
      this.lab.datapath.attachLookup(this.lab.node.path);
    });
  }

  tables(egress: readonly Rule[], ingress: readonly Rule[], client = CLIENT): Tables {
    return {
      interfaces: new Map([
        [this.clientIfindex, client.endpoint],
        [this.serverIfindex, SERVER.endpoint],
      ]),
      addresses: [
        ['10.77.1.1', 1, 0],
        ['fd77:1::1', 1, 0],
        ['10.77.2.1', 1, 0],
        ['fd77:2::1', 1, 0],
        ...[client, SERVER].flatMap(({ ip4, ip6, identity, endpoint }) => [
          [ip4, identity, endpoint] as const,
          [ip6, identity, endpoint] as const,
        ]),
      ],
      endpoints: new Map([
        [client.endpoint, { identity: client.identity, egress, ingress: [] }],
        [SERVER.endpoint, { identity: SERVER.identity, egress: [], ingress }],
      ]),
    };
  }

  /** A transparent listener that is not in the sockmap yet. */
  async listen(family: 4 | 6, port: number, onSocket: (socket: Socket) => void): Promise<Server> {
    const ip = family === 4 ? '127.0.0.1' : '::1';
    const fd = this.lab.node.socket('tcp', family, { ip, port });
    setTransparent(fd, family);
    setMark(fd, MARK_PROXY_INGRESS);
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      onSocket(socket);
    });
    server.listen({ fd, backlog: 4096 });
    await once(server, 'listening');
    this.#servers.add(server);
    return server;
  }

  register(server: Server, family: 4 | 6, slots = LISTENER_SLOTS): void {
    const fd = (server as unknown as { _handle: { fd: number } })._handle.fd;
    for (let slot = 0; slot < slots; slot++)
      sockmapUpdate(this.listeners, slot + (family === 4 ? 0 : LISTENER_SLOTS), fd);
  }

  get listeners(): string {
    return join(this.lab.datapath.mapsFolder, 'listeners');
  }

  /** A connection of the proxy to the server, from the client's address. */
  upstream(from: string, mark: number): Socket {
    const family = from.includes(':') ? 6 : 4;
    const fd = this.lab.node.socket('tcp', family, null);
    setTransparent(fd, family);
    setMark(fd, mark);
    bindSocket(fd, from);
    const options = { fd, allowHalfOpen: true, manualStart: true };
    return new Socket(options);
  }

  async serve(port: number, answer: (socket: Socket) => void): Promise<void> {
    for (const ip of [SERVER.ip4, SERVER.ip6]) {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => undefined);
        answer(socket);
      });
      await this.server.listen(server, { ip, port });
      this.#servers.add(server);
    }
  }

  dispose(): void {
    for (const server of this.#servers) server.close();
    this.lab.dispose();
    this.client.dispose();
    this.server.dispose();
  }
}

const bindAddress = koffi
  .load(null)
  .func('int bind(int fd, const uint8_t *address, uint32_t length)');

function bindSocket(fd: number, ip: string): void {
  const isIp6 = ip.includes(':');
  const address = Buffer.alloc(isIp6 ? 28 : 16);
  address.writeUInt16LE(isIp6 ? 10 : 2);
  address.set(bytesOf(ip), isIp6 ? 8 : 4);
  if (bindAddress(fd, address, address.length) !== 0) throw new Error(`bind: ${koffi.errno()}`);
}

const libc = koffi.load(null);
const openSocket = libc.func('int socket(int family, int type, int protocol)');
const sendTo = libc.func(
  'long sendto(int fd, const uint8_t *data, size_t size, int flags, const uint8_t *to, uint32_t length)',
);

/** A frame as it stands, out of the interface with this index. */
export function sendRaw(from: Netns, ifindex: number, frame: Buffer): void {
  const [AF_PACKET, SOCK_RAW] = [17, 3];
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(frame.readUInt16BE(12), 2);
  address.writeInt32LE(ifindex, 4);
  const sent = insideOf(from.path, () => {
    const fd = openSocket(AF_PACKET, SOCK_RAW, 0) as number;
    try {
      return Number(sendTo(fd, frame, frame.length, 0, address, address.length));
    } finally {
      closeSync(fd);
    }
  });
  if (sent !== frame.length) throw new Error(`sendto: ${sent}`);
}

/** Everything the other side sends until it ends; rejects with its error. */
export function ask(
  from: Netns,
  to: LocalAddress,
  local: LocalAddress | null = null,
  text = '',
): Promise<string> {
  const socket = from.client(to.ip.includes(':') ? 6 : 4, local);
  return askBy(socket, to, text);
}

export function askBy(socket: Socket, to: LocalAddress, text = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    socket.setEncoding('utf8');
    socket.setTimeout(20_000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (data) => {
      answer += data;
    });
    socket.once('end', () => socket.end());
    socket.once('close', () => resolve(answer));
    socket.once('error', reject);
    socket.connect({ host: to.ip, port: to.port }, () => socket.write(text));
  });
}

/** As `ask`, from a port that was used a moment ago: our end of it may be waiting for its last ACK. */
export async function askAgain(
  from: Netns,
  to: LocalAddress,
  local: LocalAddress,
): Promise<string> {
  for (;;) {
    try {
      return await ask(from, to, local, 'again');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRNOTAVAIL') throw error;
      await sleep(2);
    }
  }
}

/** Who talks to whom, as the socket has it. */
export function describeSocket(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} > ${socket.localAddress} ${socket.localPort}`;
}
