/**
 * The system calls on sockets that Node has none of its own for: an option before bind, a bind without
 * listen. One file, so that it is plain what the process asks of the kernel beside Node.
 */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { ipFromBytes, parseIp, type SocketAddress } from '../model/address.ts';
import { parsePort } from '../model/identity.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_TYPES = { stream: 1, datagram: 2, raw: 3 } as const;
const PROTOCOL_UDP = 17;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const SO_NETNS_COOKIE = 71;
const BPF_RETURN_CONSTANT = 6;
const FILTER_AT = 16;

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
  receiveBuffer: [1, 8],
  /** Each datagram tells to which address of this machine it came. */
  tellAddress4: [0, 8],
  tellAddress6: [41, 49],
  /** Each datagram tells where it was going, whatever took it here. */
  tellDestination4: [0, 20],
  tellDestination6: [41, 74],
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
const connectCall = libc.func('int connect(int fd, const uint8_t *address, uint32_t length)');
const nameCall = libc.func(
  'int getsockname(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)',
);

/** raw: UDP whose header we write ourselves. */
export type SocketType = keyof typeof SOCK_TYPES;

/** A socket that does not block and does not outlive an exec. */
export function openSocket(family: 4 | 6, type: SocketType): number {
  const flags = SOCK_TYPES[type] | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const protocol = type === 'raw' ? PROTOCOL_UDP : 0;
  const fd = socketCall(family === 4 ? AF_INET : AF_INET6, flags, protocol) as number;
  return fd < 0 ? failCall('socket') : fd;
}

export function openTcpSocket(family: 4 | 6): number {
  return openSocket(family, 'stream');
}

export function setSocketOption(fd: number, option: SocketOption, value: number): void {
  const [level, name] = SOCKET_OPTIONS[option];
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  if (setOptionCall(fd, level, name, bytes, bytes.length) !== 0) failCall('setsockopt', option);
}

export function socketOption(fd: number, option: SocketOption): number {
  const [level, name] = SOCKET_OPTIONS[option];
  const bytes = Buffer.alloc(4);
  if (getOptionCall(fd, level, name, bytes, [bytes.length]) !== 0) failCall('getsockopt', option);
  return bytes.readUInt32LE();
}

/** SO_NETNS_COOKIE (Linux 5.14). */
export function netnsCookieOf(fd: number): bigint {
  const bytes = Buffer.alloc(8);
  if (getOptionCall(fd, SOL_SOCKET, SO_NETNS_COOKIE, bytes, [bytes.length]) !== 0)
    failCall('getsockopt', 'netns cookie');
  return bytes.readBigUInt64LE();
}

/** Whatever the kernel would queue at the socket is dropped before (SO_ATTACH_FILTER of one "return 0"). */
export function hearNothing(fd: number): void {
  // struct sock_fprog, and behind it, where it lives as long, the one instruction that it points to.
  const program = Buffer.alloc(FILTER_AT + 8);
  program.writeUInt16LE(1);
  program.writeBigUInt64LE(BigInt(koffi.address(program)) + BigInt(FILTER_AT), 8);
  program.writeUInt16LE(BPF_RETURN_CONSTANT, FILTER_AT);
  if (setOptionCall(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, FILTER_AT) !== 0)
    failCall('setsockopt', 'filter');
}

export function bindSocket(fd: number, address: SocketAddress): void {
  const bytes = socketAddressBytes(address);
  if (bindCall(fd, bytes, bytes.length) !== 0) {
    failCall('bind', '', { address: address.ip, port: address.port });
  }
}

/** Of datagrams: done at once. */
export function connectSocket(fd: number, address: SocketAddress): void {
  const bytes = socketAddressBytes(address);
  if (connectCall(fd, bytes, bytes.length) !== 0) {
    failCall('connect', '', { address: address.ip, port: address.port });
  }
}

export function boundAddress(fd: number): SocketAddress {
  const bytes = Buffer.alloc(ADDRESS_BYTES_MAX);
  if (nameCall(fd, bytes, [bytes.length]) !== 0) failCall('getsockname');
  const family = bytes.readUInt16LE(0) === AF_INET ? 4 : 6;
  const ip = ipFromBytes(
    new Uint8Array(family === 4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24)),
  );
  const port = parsePort(bytes.readUInt16BE(2));
  if (port === null) throw new Error('the bound address cannot be read');
  return { ip: ip.text, family: ip.family, port };
}

/** The end of what is no stream of Node's. */
export function closeDescriptor(fd: number): void {
  closeSync(fd);
}

/** Runs `task` with a new socket; closes it when that throws. */
export function withTcpSocket<T>(family: 4 | 6, task: (fd: number) => T): T {
  return withSocket(family, 'stream', task);
}

export function withSocket<T>(family: 4 | 6, type: SocketType, task: (fd: number) => T): T {
  const fd = openSocket(family, type);
  try {
    return task(fd);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export const ADDRESS_BYTES_MAX = 28;

/** struct sockaddr_in, sockaddr_in6. */
export function socketAddressBytes({ ip, family, port }: SocketAddress): Buffer {
  const address = parseIp(ip);
  if (address === null) throw new TypeError(`"${ip}" is no IP address`);
  const bytes = Buffer.alloc(family === 4 ? 16 : 28);
  bytes.writeUInt16LE(family === 4 ? AF_INET : AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address.bytes, family === 4 ? 4 : 8);
  return bytes;
}

/** Throws as Node's own errors of the system: `code` is the name of errno. Only right after a call that failed. */
export function failCall(call: string, option = '', place: object = {}): never {
  const errno = koffi.errno();
  const code = getSystemErrorName(-errno);
  const what = option === '' ? call : `${call} ${option}`;
  const facts = { code, errno: -errno, syscall: call, ...place };
  throw Object.assign(new Error(`${what}: ${code}`), facts);
}
