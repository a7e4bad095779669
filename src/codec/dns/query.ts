/**
 * A question as a client sends it. Strict: one question, of an operation and a class that are known, with no more
 * records than a question has. Whatever could be read in two ways is refused, and reaches no server.
 */
import type { DnsFault } from './fault.ts';
import {
  AT,
  CLASS,
  HEADER_BYTES,
  isResponse,
  OPCODE_QUERY,
  opcodeOf,
  RCODE,
  type Rcode,
  TYPE,
} from './header.ts';
import { canonicalNameAt, endOfWholeName } from './name.ts';
import { RecordWalk } from './record.ts';

export interface DnsQuestion {
  /** In lower case, with a dot at its end. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** In the message, where the question begins behind the header. */
  readonly end: number;
}

export interface DnsQuery {
  readonly id: number;
  readonly question: DnsQuestion;
  /** Of the OPT record; null: it has none (RFC 6891). */
  readonly edns: Edns | null;
  /** By TSIG or SIG(0), over all of it but the id. */
  readonly isSigned: boolean;
}

export interface Edns {
  /** Of an answer by UDP; at least 512. */
  readonly udpBytesMax: number;
  /** DO: the client asks for signatures (RFC 3225). */
  readonly isDnssecWanted: boolean;
}

export type QueryReading =
  | { readonly kind: 'query'; readonly query: DnsQuery }
  /** `questionEnd`: up to where the message can be sent back; the end of the header when its question cannot be read. */
  | {
      readonly kind: 'refused';
      readonly fault: DnsFault;
      readonly rcode: Rcode;
      readonly questionEnd: number;
    }
  /** To be answered by nobody: an answer to it could be taken for a question, and so on for ever. */
  | { readonly kind: 'ignored'; readonly fault: DnsFault };

export const UDP_BYTES_DEFAULT = 512;

export function readQuery(message: Buffer): QueryReading {
  if (message.length < HEADER_BYTES) return { kind: 'ignored', fault: 'short-header' };
  if (isResponse(message)) return { kind: 'ignored', fault: 'not-a-question' };
  if (opcodeOf(message) !== OPCODE_QUERY) {
    return refused('unknown-opcode', HEADER_BYTES, RCODE.NotImp);
  }
  if (message.readUInt16BE(AT.questions) !== 1) return refused('question-count');
  const question = readQuestion(message);
  if (typeof question === 'string') return refused(question);
  if (!isKnownClass(question.class)) return refused('unknown-class', question.end, RCODE.NotImp);
  const extras = readRecords(message, question);
  if (typeof extras === 'string') return refused(extras, question.end);
  return { kind: 'query', query: { id: message.readUInt16BE(AT.id), question, ...extras } };
}

function refused(
  fault: DnsFault,
  questionEnd: number = HEADER_BYTES,
  rcode: Rcode = RCODE.FormErr,
): QueryReading {
  return { kind: 'refused', fault, rcode, questionEnd };
}

/** The one behind the header. */
function readQuestion(message: Buffer): DnsQuestion | DnsFault {
  if (message.length === HEADER_BYTES) return 'question-cut';
  const at = endOfWholeName(message, HEADER_BYTES);
  if (at < 0) return 'question-name';
  const end = at + 4;
  if (end > message.length) return 'question-cut';
  const name = canonicalNameAt(message, HEADER_BYTES);
  if (name === null) return 'question-name';
  const type = message.readUInt16BE(at);
  if (type === 0 || type === TYPE.OPT) return 'question-type';
  return { name, type, class: message.readUInt16BE(at + 2), end };
}

function isKnownClass(number: number): boolean {
  return number === CLASS.IN || number === CLASS.CH || number === CLASS.HS || number === CLASS.ANY;
}

type Extras = Pick<DnsQuery, 'edns' | 'isSigned'>;

/** Behind the question: what an incremental transfer has already (RFC 1995 3), EDNS, a signature. */
function readRecords(message: Buffer, question: DnsQuestion): Extras | DnsFault {
  const authority = message.readUInt16BE(AT.authority);
  const isTransfer = question.type === TYPE.IXFR && authority === 1;
  if (message.readUInt16BE(AT.answers) !== 0) return 'record-kind';
  if (authority !== 0 && !isTransfer) return 'record-kind';
  const walk = new RecordWalk(message, question.end);
  if (isTransfer) {
    const fault = walk.next();
    if (fault !== null) return fault;
    if (walk.type !== TYPE.SOA) return 'record-kind';
  }
  return readAdditional(message, walk);
}

function readAdditional(message: Buffer, walk: RecordWalk): Extras | DnsFault {
  let edns: Edns | null = null;
  let isSigned = false;
  for (let left = message.readUInt16BE(AT.additional); left > 0; left--) {
    const fault = walk.next();
    if (fault !== null) return fault;
    if (walk.type === TYPE.OPT) {
      if (edns !== null || !isEdns(message, walk)) return 'edns-form';
      edns = ednsOf(message, walk);
    } else if (walk.type !== TYPE.TSIG && walk.type !== TYPE.SIG) {
      return 'record-kind';
    } else if (left > 1) {
      // Both stand at the very end (RFC 8945 5.1, RFC 2931 3.1).
      return 'record-kind';
    } else {
      isSigned = true;
    }
  }
  return walk.dataEnd === message.length ? { edns, isSigned } : 'trailing-bytes';
}

/** RFC 6891 6.1.2: the owner is the root, options are code, length and value. */
export function isEdns(message: Buffer, { ownerAt, dataAt, dataEnd }: RecordWalk): boolean {
  if (message[ownerAt] !== 0) return false;
  let at = dataAt;
  while (at < dataEnd) {
    if (dataEnd - at < 4) return false;
    at += 4 + message.readUInt16BE(at + 2);
  }
  return at === dataEnd;
}

function ednsOf(message: Buffer, { class: bytesMax, dataAt }: RecordWalk): Edns {
  const flags = message.readUInt16BE(dataAt - 4);
  return {
    udpBytesMax: Math.max(bytesMax, UDP_BYTES_DEFAULT),
    isDnssecWanted: (flags & 0x8000) !== 0,
  };
}
