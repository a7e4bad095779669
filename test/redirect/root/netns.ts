/**
 * Network namespaces for tests, and sockets inside of them. A socket stays in the namespace in which it
 * was made, so one process can be every pod: it enters the namespace for the length of one call.
 *
 * Needs root. Names begin with "sp" and this process's number; `dispose` removes all that were made.
 */
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { closeSync, openSync } from 'node:fs';
import { type Server, Socket } from 'node:net';
import koffi from 'koffi';
import { parseIp } from '../../../src/model/address.ts';

const CLONE_NEWNET = 0x4000_0000;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_FLAGS = 0o2004000; // SOCK_CLOEXEC | SOCK_NONBLOCK
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

const libc = koffi.load('libc.so.6');
const setns = libc.func('int setns(int fd, int type)');
const openSocket = libc.func('int socket(int family, int type, int protocol)');
const bindSocket = libc.func('int bind(int fd, const uint8_t *address, uint32_t length)');
const setOption = libc.func(
  'int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)',
);

let count = 0;

export class Netns {
  readonly name: string;
  readonly path: string;

  /** `label` is for people: it ends up in the name. */
  constructor(label: string) {
    this.name = `sp${process.pid}-${count++}-${label}`.slice(0, 60);
    this.path = `/run/netns/${this.name}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.ip('link set lo up');
  }

  /** Lines of `ip -batch`, run inside. */
  ip(...lines: readonly string[]): void {
    execFileSync('ip', ['-n', this.name, '-force', '-batch', '-'], {
      input: `${lines.join('\n')}\n`,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  /** Runs a command inside; mounts stay those of the caller, unlike with `ip netns exec`. */
  run(command: readonly string[]): string {
    const [program = '', ...rest] = this.command(command);
    return execFileSync(program, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** As `run`, with what the command reads. */
  feed(command: readonly string[], input: string): string {
    const [program = '', ...rest] = this.command(command);
    return execFileSync(program, rest, { encoding: 'utf8', input, stdio: 'pipe' });
  }

  /** The words that run `command` inside. */
  command(command: readonly string[]): readonly string[] {
    return ['nsenter', `--net=${this.path}`, '--', ...command];
  }

  sysctl(name: string, value: number): void {
    this.run(['sysctl', '-q', '-w', `${name}=${value}`]);
  }

  /** A file descriptor of a socket of this namespace, bound when `local` says so. */
  socket(kind: 'tcp' | 'udp', family: 4 | 6, local: LocalAddress | null): number {
    return this.inside(() => {
      const type = (kind === 'tcp' ? SOCK_STREAM : SOCK_DGRAM) | SOCK_FLAGS;
      const fd = openSocket(family === 4 ? AF_INET : AF_INET6, type, 0) as number;
      if (fd < 0) throw new Error(`socket: errno ${koffi.errno()}`);
      const one = Buffer.from([1, 0, 0, 0]);
      setOption(fd, SOL_SOCKET, SO_REUSEADDR, one, 4);
      if (family === 6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, one, 4);
      if (local !== null) {
        const address = sockaddr(local);
        if (bindSocket(fd, address, address.length) !== 0) {
          const code = koffi.errno();
          closeSync(fd);
          throw new Error(`bind ${local.ip} ${local.port}: errno ${code}`);
        }
      }
      return fd;
    });
  }

  /** A TCP socket that is not connected yet; `connect({ host, port })` does it. */
  client(family: 4 | 6, local: LocalAddress | null = null): Socket {
    const fd = this.socket('tcp', family, local);
    // `manualStart` keeps Node from reading a socket that is not connected.
    const options = { fd, allowHalfOpen: true, manualStart: true };
    return new Socket(options);
  }

  /** Resolves when `server` listens at the address, inside. */
  listen(server: Server, local: LocalAddress): Promise<void> {
    const family = local.ip.includes(':') ? 6 : 4;
    const fd = this.socket('tcp', family, local);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ fd }, () => resolve());
    });
  }

  /** A UDP socket; bound to `local`, or to whatever the kernel picks at the first datagram. */
  udp(local: LocalAddress): Promise<UdpSocket> {
    const family = local.ip.includes(':') ? 6 : 4;
    const fd = this.socket('udp', family, local);
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ fd }, () => resolve(socket));
    });
  }

  dispose(): void {
    execFileSync('ip', ['netns', 'del', this.name]);
  }

  /** Runs `task`, which may not wait for anything, in this namespace. */
  inside<T>(task: () => T): T {
    const own = openSync('/proc/thread-self/ns/net', 'r');
    const other = openSync(this.path, 'r');
    try {
      if (setns(other, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
      try {
        return task();
      } finally {
        // To go on in the wrong namespace would be worse than to end.
        if (setns(own, CLONE_NEWNET) !== 0) process.abort();
      }
    } finally {
      closeSync(other);
      closeSync(own);
    }
  }
}

export interface LocalAddress {
  readonly ip: string;
  readonly port: number;
}

function sockaddr({ ip, port }: LocalAddress): Buffer {
  const address = parseIp(ip);
  if (address === null) throw new Error(`"${ip}" is no address`);
  const bytes = Buffer.alloc(address.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(address.family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.bytes, address.family === 4 ? 4 : 8);
  return bytes;
}
