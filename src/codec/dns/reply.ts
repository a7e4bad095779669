/** What we answer ourselves: a question that is refused, that could not be put to its server, or whose answer is too long. */
import {
  AT,
  FLAG_CHECKING_DISABLED,
  FLAG_RECURSION_AVAILABLE,
  FLAG_RECURSION_DESIRED,
  FLAG_RESPONSE,
  FLAG_TRUNCATED,
  flagsOf,
  HEADER_BYTES,
  TYPE,
} from './header.ts';
import type { Edns } from './query.ts';

/** RFC 8914 4.19: an operator's policy forbids it. Says nothing of rules. */
export const EXTENDED_ERROR_PROHIBITED = 18;

/** What we take by UDP (DNS flag day 2020). */
const OWN_UDP_BYTES = 1232;
const OPTION_EXTENDED_ERROR = 15;
const KEPT_FLAGS = 0x7800 | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED;
const OPT_BYTES = 11;
const EXTENDED_ERROR_BYTES = 6;

export interface Reply {
  /** Of ours, or the server's. */
  readonly rcode: number;
  /** Where the question of `message` ends; the end of the header: it is left out. */
  readonly questionEnd: number;
  /** Of the question. Null: the client knows no EDNS, so it gets no OPT (RFC 6891 7). */
  readonly edns: Edns | null;
  /** RFC 8914; null: none. */
  readonly extendedError: number | null;
  /** TC: the answer is to be had by TCP. */
  readonly isTruncated?: boolean;
}

/** An answer without records to the question `message`, with its id. */
export function writeReply(
  message: Buffer,
  { rcode, questionEnd, edns, extendedError, isTruncated = false }: Reply,
): Buffer {
  const optBytes =
    edns === null ? 0 : OPT_BYTES + (extendedError === null ? 0 : EXTENDED_ERROR_BYTES);
  const reply = Buffer.alloc(questionEnd + optBytes);
  message.copy(reply, 0, 0, questionEnd);
  const flags = (flagsOf(message) & KEPT_FLAGS) | FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | rcode;
  reply.writeUInt16BE(isTruncated ? flags | FLAG_TRUNCATED : flags, AT.flags);
  reply.writeUInt16BE(questionEnd > HEADER_BYTES ? 1 : 0, AT.questions);
  reply.writeUInt16BE(0, AT.answers);
  reply.writeUInt16BE(0, AT.authority);
  reply.writeUInt16BE(edns === null ? 0 : 1, AT.additional);
  if (edns !== null) writeOpt(reply, questionEnd, edns, extendedError);
  return reply;
}

/** The root as owner, then type, size, upper bits of the rcode and version, flags, length. */
function writeOpt(reply: Buffer, at: number, edns: Edns, extendedError: number | null): void {
  reply.writeUInt16BE(TYPE.OPT, at + 1);
  reply.writeUInt16BE(OWN_UDP_BYTES, at + 3);
  if (edns.isDnssecWanted) reply.writeUInt16BE(0x8000, at + 7);
  if (extendedError === null) return;
  reply.writeUInt16BE(EXTENDED_ERROR_BYTES, at + 9);
  reply.writeUInt16BE(OPTION_EXTENDED_ERROR, at + OPT_BYTES);
  reply.writeUInt16BE(2, at + OPT_BYTES + 2);
  reply.writeUInt16BE(extendedError, at + OPT_BYTES + 4);
}
