/**
 * A server's answer: whether it is one to the question that went out, and which addresses it gives for the name that was
 * asked. It is passed on as it came; what is read here is what policy learns from it.
 *
 *     www.example.com ──CNAME──► cdn.example.net ──CNAME──► edge.example.org ──A──► 192.0.2.7
 *     └── all addresses along the chain are those of the name that was asked; nothing else in the message teaches anything
 */
import { type IpAddress, ipFromBytes } from '../../model/address.ts';
import type { DnsFault } from './fault.ts';
import {
  AT,
  CLASS,
  FLAG_TRUNCATED,
  flagsOf,
  HEADER_BYTES,
  isResponse,
  OPCODE_QUERY,
  opcodeOf,
  RCODE,
  rcodeOf,
  TYPE,
} from './header.ts';
import { MessageNames } from './message_names.ts';
import { endOfName } from './name.ts';
import type { DnsQuestion } from './query.ts';
import { RecordWalk } from './record.ts';
import { hintsOf } from './service_hints.ts';

export interface DnsAnswer {
  readonly rcode: number;
  readonly isTruncated: boolean;
  /** Of the name that was asked; each once. */
  readonly addresses: readonly IpAddress[];
  /** There were more than could be taken. */
  readonly isCut: boolean;
  /** The least of all records that lead to the addresses; 0 when there are none. */
  readonly ttlSeconds: number;
  /** To which the name that was asked leads, in the order in which they were found. */
  readonly aliases: readonly string[];
}

export type AnswerReading =
  | { readonly kind: 'answer'; readonly answer: DnsAnswer }
  /** Not to the question that went out: as if it had not come. */
  | { readonly kind: 'foreign'; readonly fault: DnsFault }
  /** To the question, but broken. */
  | { readonly kind: 'malformed'; readonly fault: DnsFault };

export interface Asked {
  /** As it went out, its id as well. */
  readonly message: Buffer;
  readonly question: DnsQuestion;
  /** The server gives back the letters of the name as they were (draft-vixie-dnsext-dns0x20): others are a forgery. */
  readonly isCaseKept: boolean;
  /** Of a transfer's later messages (RFC 5936 2.2.1). */
  readonly mayLeaveOutQuestion: boolean;
}

/** Names that one chain may have; resolvers follow 8 to 17 (BIND: 16, Unbound: 11). */
const ALIAS_COUNT_MAX = 16;

export function readAnswer(
  message: Buffer,
  asked: Asked,
  limits: { readonly addressCountMax: number },
): AnswerReading {
  const foreign = strangeness(message, asked);
  if (foreign !== null) return { kind: 'foreign', fault: foreign };
  const records = new AnswerRecords(message, asked.question);
  const fault = records.walk();
  if (fault !== null) return { kind: 'malformed', fault };
  return { kind: 'answer', answer: records.learn(limits.addressCountMax) };
}

/** Why it is not the answer to this question; null when it is. */
function strangeness(
  message: Buffer,
  { message: sent, question, isCaseKept, mayLeaveOutQuestion }: Asked,
): DnsFault | null {
  if (message.length < HEADER_BYTES) return 'short-header';
  if (!isResponse(message) || opcodeOf(message) !== OPCODE_QUERY) return 'not-a-question';
  if (message.readUInt16BE(AT.id) !== sent.readUInt16BE(AT.id)) return 'other-question';
  const count = message.readUInt16BE(AT.questions);
  // A server that could not read the question may leave it out.
  if (count === 0) {
    return mayLeaveOutQuestion || isBareFailure(message) ? null : 'question-count';
  }
  if (count !== 1) return 'question-count';
  if (message.length < question.end) return 'question-cut';
  const { end } = question;
  if (message.compare(sent, HEADER_BYTES, end, HEADER_BYTES, end) === 0) return null;
  const isSame = isSameButCase(message, sent, end - 4) && isSameTail(message, sent, end);
  if (!isSame) return 'other-question';
  return isCaseKept ? 'other-letters' : null;
}

function isBareFailure(message: Buffer): boolean {
  const rcode = rcodeOf(message);
  const isFailure = rcode !== RCODE.NoError && rcode !== RCODE.NXDomain;
  return (
    isFailure && message.readUInt16BE(AT.answers) === 0 && message.readUInt16BE(AT.authority) === 0
  );
}

/** Lengths of labels are below 64, so they are no letters. */
function isSameButCase(message: Buffer, sent: Buffer, end: number): boolean {
  for (let at = HEADER_BYTES; at < end; at++) {
    if (lowered(message[at] as number) !== lowered(sent[at] as number)) return false;
  }
  return true;
}

function lowered(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}

function isSameTail(message: Buffer, sent: Buffer, end: number): boolean {
  return message.compare(sent, end - 4, end, end - 4, end) === 0;
}

/** A record that may teach something. */
interface Teaching {
  readonly ownerAt: number;
  readonly type: number;
  readonly ttlSeconds: number;
  readonly dataAt: number;
  readonly dataEnd: number;
}

class AnswerRecords {
  readonly #message: Buffer;
  readonly #question: DnsQuestion;
  readonly #names: MessageNames;
  readonly #teaching: Teaching[] = [];
  /** Names of the chain, and the TTL of what led to each. */
  readonly #chain = new Map<string, number>();

  constructor(message: Buffer, question: DnsQuestion) {
    this.#message = message;
    this.#question = question;
    this.#names = new MessageNames(message);
  }

  /** Over all records, so that what is passed on can be read to its end. */
  walk(): DnsFault | null {
    const message = this.#message;
    const hasQuestion = message.readUInt16BE(AT.questions) === 1;
    const walk = new RecordWalk(message, hasQuestion ? this.#question.end : HEADER_BYTES);
    const answers = message.readUInt16BE(AT.answers);
    const others = message.readUInt16BE(AT.authority) + message.readUInt16BE(AT.additional);
    for (let i = 0; i < answers + others; i++) {
      const fault = walk.next();
      if (fault !== null) return fault;
      if (i < answers && isTeaching(message, walk)) this.#keep(walk);
    }
    return walk.dataEnd === message.length ? null : 'trailing-bytes';
  }

  learn(addressCountMax: number): DnsAnswer {
    const rcode = rcodeOf(this.#message);
    const isTruncated = (flagsOf(this.#message) & FLAG_TRUNCATED) !== 0;
    const isTaught = rcode === RCODE.NoError && this.#question.class === CLASS.IN;
    if (isTaught) this.#followAliases();
    const found = isTaught ? this.#addresses(addressCountMax) : NOTHING_FOUND;
    return { rcode, isTruncated, ...found, aliases: [...this.#chain.keys()].slice(1) };
  }

  #keep({ ownerAt, type, ttlSeconds, dataAt, dataEnd }: RecordWalk): void {
    this.#teaching.push({ ownerAt, type, ttlSeconds, dataAt, dataEnd });
  }

  /** In whatever order they stand; a loop adds no name, and so ends. */
  #followAliases(): void {
    const aliases = new Map<string, Teaching>();
    for (const record of this.#teaching) {
      if (record.type !== TYPE.CNAME) continue;
      const owner = this.#nameAt(record.ownerAt);
      // Two aliases of one name are no chain (RFC 2181 10.1): the first counts.
      if (owner !== null && !aliases.has(owner)) aliases.set(owner, record);
    }
    let name: string | null = this.#question.name;
    let ttlSeconds = Number.POSITIVE_INFINITY;
    while (name !== null && !this.#chain.has(name) && this.#chain.size <= ALIAS_COUNT_MAX) {
      this.#chain.set(name, ttlSeconds);
      const alias = aliases.get(name);
      if (alias === undefined) return;
      ttlSeconds = Math.min(ttlSeconds, alias.ttlSeconds);
      name = this.#names.at(alias.dataAt);
    }
  }

  #addresses(countMax: number): Found {
    const byText = new Map<string, IpAddress>();
    let ttl = Number.POSITIVE_INFINITY;
    let isCut = false;
    for (const record of this.#teaching) {
      if (record.type === TYPE.CNAME) continue;
      const chainTtl = this.#chain.get(this.#nameAt(record.ownerAt) ?? '');
      if (chainTtl === undefined) continue;
      for (const address of addressesIn(this.#message, record)) {
        if (!byText.has(address.text) && byText.size === countMax) {
          isCut = true;
          continue;
        }
        byText.set(address.text, address);
        ttl = Math.min(ttl, chainTtl, record.ttlSeconds);
      }
    }
    const addresses = [...byText.values()];
    return { addresses, isCut, ttlSeconds: addresses.length === 0 ? 0 : ttl };
  }

  /** Most owners are a pointer to the question. */
  #nameAt(at: number): string | null {
    const isQuestion = this.#message[at] === 0xc0 && this.#message[at + 1] === HEADER_BYTES;
    return isQuestion ? this.#question.name : this.#names.at(at);
  }
}

type Found = Pick<DnsAnswer, 'addresses' | 'isCut' | 'ttlSeconds'>;

const NOTHING_FOUND: Found = { addresses: [], isCut: false, ttlSeconds: 0 };

function isTeaching(message: Buffer, walk: RecordWalk): boolean {
  if (walk.class !== CLASS.IN) return false;
  const byteCount = walk.dataEnd - walk.dataAt;
  switch (walk.type) {
    case TYPE.A:
      return byteCount === 4;
    case TYPE.AAAA:
      return byteCount === 16;
    case TYPE.CNAME:
      return endOfName(message, walk.dataAt) === walk.dataEnd;
    case TYPE.SVCB:
    case TYPE.HTTPS:
      return true;
    default:
      return false;
  }
}

function addressesIn(message: Buffer, { type, dataAt, dataEnd }: Teaching): readonly IpAddress[] {
  if (type === TYPE.SVCB || type === TYPE.HTTPS) return hintsOf(message, dataAt, dataEnd);
  return [ipFromBytes(Uint8Array.from(message.subarray(dataAt, dataEnd)))];
}
