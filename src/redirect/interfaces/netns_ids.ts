/**
 * The number that our network namespace has for that of a process (RTM_GETNSID): the same that `ip link` prints for
 * the other end of a veth. Asking takes no capability, and nobody enters the other namespace.
 */
import {
  attributeOf,
  HEADER_BYTES,
  NETLINK_ROUTE,
  Netlink,
  netlinkAttribute,
  netlinkMessage,
} from '../kernel/netlink.ts';

export interface NetnsIds {
  /** Null: the process has gone, or no link of ours leads there. */
  ofProcess(pid: number): number | null;
  close(): void;
}

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
const NETNSA_NSID = 1;
const NETNSA_PID = 2;
/** struct rtgenmsg, padded. */
const GENERIC_BYTES = 4;

export function openNetnsIds(): NetnsIds {
  const netlink = new Netlink(NETLINK_ROUTE);
  let sequence = 0;
  return {
    ofProcess: (pid) => {
      sequence += 1;
      if (!netlink.send(question(pid, sequence))) return null;
      const answer = netlink.receive();
      return answer === null ? null : answeredId(answer, sequence);
    },
    close: () => netlink.close(),
  };
}

function question(pid: number, sequence: number): Buffer {
  const value = Buffer.alloc(4);
  value.writeUInt32LE(pid);
  const body = Buffer.concat([Buffer.alloc(GENERIC_BYTES), netlinkAttribute(NETNSA_PID, value)]);
  return netlinkMessage({ type: RTM_GETNSID, flags: 0, sequence }, body);
}

/** Null: an error, another question's answer, or -1 (no number is assigned). */
export function answeredId(bytes: Buffer, sequence: number): number | null {
  if (bytes.length < HEADER_BYTES + GENERIC_BYTES || bytes.readUInt16LE(4) !== RTM_NEWNSID)
    return null;
  if (bytes.readUInt32LE(8) !== sequence) return null;
  const end = Math.min(bytes.length, bytes.readUInt32LE(0));
  const value = attributeOf(bytes.subarray(HEADER_BYTES + GENERIC_BYTES, end), NETNSA_NSID);
  if (value?.length !== 4) return null;
  const id = value.readInt32LE();
  return id < 0 ? null : id;
}
