/**
 * The system calls on sockets that Node has none of its own for: an option before bind, a bind without
 * listen. One file, so that it is plain what the process asks of the kernel beside Node.
 */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { parseIp, type SocketAddress } from '../model/address.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

/** [level, name] of setsockopt; linux/in.h, linux/in6.h, asm-generic/socket.h. */
export const SOCKET_OPTIONS = {
  reuseAddress: [1, 2],
  reusePort: [1, 15],
  mark: [1, 36],
  transparent4: [0, 19],
  transparent6: [41, 75],
  only6: [41, 26],
  /** Of both families: no port is taken before connect knows the destination. */
  bindWithoutPort: [0, 24],
  keepAlive: [1, 9],
  isListening: [1, 30],
  noDelay: [6, 1],
  /** Seconds. */
  keepAliveIdle: [6, 4],
} as const satisfies Record<string, readonly [number, number]>;

export type SocketOption = keyof typeof SOCKET_OPTIONS;

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int family, int type, int protocol)');
const setOptionCall = libc.func(
  'int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)',
);
const getOptionCall = libc.func(
  'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
);
const bindCall = libc.func('int bind(int fd, const uint8_t *address, uint32_t length)');

/** A TCP socket that does not block and does not outlive an exec. */
export function openTcpSocket(family: 4 | 6): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = socketCall(family === 4 ? AF_INET : AF_INET6, type, 0) as number;
  return fd < 0 ? fail('socket') : fd;
}

export function setSocketOption(fd: number, option: SocketOption, value: number): void {
  const [level, name] = SOCKET_OPTIONS[option];
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  if (setOptionCall(fd, level, name, bytes, bytes.length) !== 0) fail('setsockopt', option);
}

export function socketOption(fd: number, option: SocketOption): number {
  const [level, name] = SOCKET_OPTIONS[option];
  const bytes = Buffer.alloc(4);
  if (getOptionCall(fd, level, name, bytes, [bytes.length]) !== 0) fail('getsockopt', option);
  return bytes.readUInt32LE();
}

/** SO_NETNS_COOKIE (Linux 5.14). */
export function netnsCookieOf(fd: number): bigint {
  const bytes = Buffer.alloc(8);
  if (getOptionCall(fd, SOL_SOCKET, SO_NETNS_COOKIE, bytes, [bytes.length]) !== 0)
    fail('getsockopt', 'netns cookie');
  return bytes.readBigUInt64LE();
}

export function bindSocket(fd: number, address: SocketAddress): void {
  const bytes = socketAddressBytes(address);
  if (bindCall(fd, bytes, bytes.length) !== 0) {
    fail('bind', '', { address: address.ip, port: address.port });
  }
}

/** Runs `task` with a new socket; closes it when that throws. */
export function withTcpSocket<T>(family: 4 | 6, task: (fd: number) => T): T {
  const fd = openTcpSocket(family);
  try {
    return task(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** struct sockaddr_in, sockaddr_in6. */
function socketAddressBytes({ ip, family, port }: SocketAddress): Buffer {
  const address = parseIp(ip);
  if (address === null) throw new TypeError(`"${ip}" is no IP address`);
  const bytes = Buffer.alloc(family === 4 ? 16 : 28);
  bytes.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.bytes, family === 4 ? 4 : 8);
  return bytes;
}

/** As Node's own errors of the system: `code` is the name of errno. */
function fail(call: string, option = '', place: object = {}): never {
  const errno = koffi.errno();
  const code = getSystemErrorName(-errno);
  const what = option === '' ? call : `${call} ${option}`;
  const facts = { code, errno: -errno, syscall: call, ...place };
  throw Object.assign(new Error(`${what}: ${code}`), facts);
}
