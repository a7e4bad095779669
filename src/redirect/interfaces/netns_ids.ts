/**
 * The number that our network namespace has for that of a process (RTM_GETNSID): the same that `ip link` prints for
 * the other end of a veth. Asking takes no capability, and nobody enters the other namespace.
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';

export interface NetnsIds {
  /** Null: the process has gone, or no link of ours leads there. */
  ofProcess(pid: number): number | null;
  close(): void;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const MSG_DONTWAIT = 0x40;
const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const NLM_F_REQUEST = 1;
const NETNSA_NSID = 1;
const NETNSA_PID = 2;
const ADDRESS_BYTES = 12;
const HEADER_BYTES = 16;
/** struct rtgenmsg, padded. */
const GENERIC_BYTES = 4;
const ATTRIBUTE_BYTES = 8;
const ANSWER_BYTES_MAX = 4096;

const libc = koffi.load('libc.so.6');
const socketCall = libc.func('int socket(int family, int type, int protocol)');
const sendCall = libc.func(
  'int64_t sendto(int fd, const uint8_t *bytes, size_t length, int flags, const uint8_t *to, uint32_t size)',
);
const receiveCall = libc.func(
  'int64_t recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)',
);

export function openNetnsIds(): NetnsIds {
  const fd = socketCall(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) as number;
  if (fd < 0) throw new Error(`netlink socket: errno ${koffi.errno()}`);
  const kernel = Buffer.alloc(ADDRESS_BYTES);
  kernel.writeUInt16LE(AF_NETLINK, 0);
  const answer = Buffer.alloc(ANSWER_BYTES_MAX);
  let sequence = 0;
  return {
    ofProcess: (pid) => {
      sequence += 1;
      const asked = question(pid, sequence);
      if (Number(sendCall(fd, asked, asked.length, 0, kernel, kernel.length)) < 0) return null;
      // The kernel answers within the call; what it has not said then it does not say.
      const length = Number(receiveCall(fd, answer, answer.length, MSG_DONTWAIT));
      return length < 0 ? null : answeredId(answer.subarray(0, length), sequence);
    },
    close: () => closeSync(fd),
  };
}

function question(pid: number, sequence: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + GENERIC_BYTES + ATTRIBUTE_BYTES);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(RTM_GETNSID, 4);
  bytes.writeUInt16LE(NLM_F_REQUEST, 6);
  bytes.writeUInt32LE(sequence, 8);
  const attribute = HEADER_BYTES + GENERIC_BYTES;
  bytes.writeUInt16LE(ATTRIBUTE_BYTES, attribute);
  bytes.writeUInt16LE(NETNSA_PID, attribute + 2);
  bytes.writeUInt32LE(pid, attribute + 4);
  return bytes;
}

/** Null: an error, another question's answer, or -1 (no number is assigned). */
export function answeredId(bytes: Buffer, sequence: number): number | null {
  if (bytes.length < HEADER_BYTES + GENERIC_BYTES || bytes.readUInt16LE(4) !== RTM_NEWNSID)
    return null;
  if (bytes.readUInt32LE(8) !== sequence) return null;
  const end = Math.min(bytes.length, bytes.readUInt32LE(0));
  let at = HEADER_BYTES + GENERIC_BYTES;
  while (at + ATTRIBUTE_BYTES <= end) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) return null;
    if (bytes.readUInt16LE(at + 2) === NETNSA_NSID && length === ATTRIBUTE_BYTES) {
      const id = bytes.readInt32LE(at + 4);
      return id < 0 ? null : id;
    }
    at += (length + 3) & ~3;
  }
  return null;
}
