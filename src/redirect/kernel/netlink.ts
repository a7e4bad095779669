/** A socket of netlink. It belongs for ever to the network namespace in which it was made. */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { KernelError } from './kernel_error.ts';

/** linux/netlink.h */
export const NETLINK_ROUTE = 0;
export const NETLINK_SOCK_DIAG = 4;
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const HEADER_BYTES = 16;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const ADDRESS_BYTES = 12;
/** A part of a long answer is 32 KiB at most. */
const ANSWER_BYTES_MAX = 65_536;

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int family, int type, int protocol)');
const sendCall = libc.func(
  'int64_t sendto(int fd, const uint8_t *bytes, size_t length, int flags, const uint8_t *to, uint32_t size)',
);
const receiveCall = libc.func(
  'int64_t recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)',
);

export class Netlink {
  readonly #fd: number;
  readonly #kernel = Buffer.alloc(ADDRESS_BYTES);
  readonly #answer = Buffer.alloc(ANSWER_BYTES_MAX);

  constructor(protocol: number) {
    this.#fd = socketCall(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol) as number;
    if (this.#fd < 0) throw new KernelError('netlink socket', koffi.errno());
    this.#kernel.writeUInt16LE(AF_NETLINK, 0);
  }

  /** False: the kernel does not take it. */
  send(message: Buffer): boolean {
    const { length } = this.#kernel;
    return Number(sendCall(this.#fd, message, message.length, 0, this.#kernel, length)) >= 0;
  }

  /**
   * What is there, until the next call. The kernel answers within the call that asks; what it has not said then it does
   * not say: null.
   */
  receive(): Buffer | null {
    const answer = this.#answer;
    const length = Number(receiveCall(this.#fd, answer, answer.length, MSG_DONTWAIT));
    return length < 0 ? null : answer.subarray(0, length);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** struct nlmsghdr, and `body` behind it. */
export function netlinkMessage(
  { type, flags, sequence }: Record<'type' | 'flags' | 'sequence', number>,
  body: Buffer,
): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(HEADER_BYTES + body.length, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt16LE(NLM_F_REQUEST | flags, 6);
  header.writeUInt32LE(sequence, 8);
  return Buffer.concat([header, body]);
}

/** struct nlattr, and its value; padded. */
export function netlinkAttribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}

/** Value of the first attribute of that type; null: there is none. */
export function attributeOf(bytes: Buffer, type: number): Buffer | null {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) return null;
    if ((bytes.readUInt16LE(at + 2) & TYPE_MASK) === type)
      return bytes.subarray(at + 4, at + length);
    at += (length + 3) & ~3;
  }
  return null;
}

/** Without NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const TYPE_MASK = 0x3fff;
