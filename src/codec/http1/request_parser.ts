/**
 * hot path
 *
 * Requests from bytes, HTTP/1.1 with every tolerance off (RFC 9112, RFC 9110): what is accepted has
 * one reading. Sans-I/O: `next` looks at a chunk from an offset on and returns after one event.
 *
 *     head ──► content* ──► end ──► head ...          fault: from anywhere, for good
 *
 * It never decides, replies or sends; it holds no more than one unfinished head.
 */
import { NO_FIELDS } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import { Cause, causeOf } from '../../model/fault_detail.ts';
import type { UnderscoreAction } from '../../model/field_alias.ts';
import type { Limits } from '../../model/limits.ts';
import { NOTHING_SEEN, type PartialRequest } from '../../model/partial_request.ts';
import type { PathParameterAction } from '../../model/path_parameters.ts';
import { requestTrailers, type TrailerRule } from '../../model/trailer_fields.ts';
import { ContentReader } from './content_reader.ts';
import { CONTENT, FAULT, HEAD, MESSAGE_END, NEED_MORE, type ParserEvent } from './events.ts';
import { SCAN_DONE, SCAN_MORE } from './head_scanner.ts';
import { partialRequestOf } from './partial_request.ts';
import type { Http1RequestHead } from './request_head.ts';
import { readRequestHead } from './request_rules.ts';
import { PoolsByOptions } from './scanner_pool.ts';
import { SectionReader } from './section_reader.ts';
import { CR, LF } from './syntax.ts';

export interface RequestParserOptions {
  readonly limits: Limits;
  readonly isHttp10Enabled: boolean;
  readonly areTrailersForwarded: boolean;
  readonly isPathNormalised: boolean;
  /** By default allow. */
  readonly pathParameters?: PathParameterAction;
  readonly underscores?: UnderscoreAction;
  /** Protocols that may become tunnels, lower case; by default WebSocket only. */
  readonly upgrades?: readonly string[];
}

const IDLE = 0;
/** One CRLF before a request line is let pass (RFC 9112 2.2); not a second one. */
const IDLE_CR = 1;
const IDLE_CRLF = 2;
const IN_HEAD = 3;
const IN_CONTENT = 4;
/** After a request that was the last one: what follows is read by nobody (RFC 9112 9.6). */
const CLOSED = 5;
const DEAD = 6;

const NOTHING = Buffer.alloc(0);

const SCANNERS = new PoolsByOptions<RequestParserOptions>(({ limits, isHttp10Enabled }) => ({
  section: 'request',
  fieldCountMax: limits.headFieldCountMax,
  methodBytesMax: limits.methodBytesMax,
  targetBytesMax: limits.targetBytesMax,
  isHttp10Enabled,
}));

export class RequestParser {
  /** Where to go on in the chunk after an event. */
  offset = 0;
  /** After CONTENT: bytes to send as they are, chunk framing included. */
  content: Buffer = NOTHING;
  /** After FAULT. */
  fault: Fault = 'internal-error';
  /** Which rule was broken. */
  cause: Cause = causeOf('head-bytes');
  /** What was seen of the request whose head is at fault. */
  partial: PartialRequest = NOTHING_SEEN;
  readonly #options: RequestParserOptions;
  readonly #section: SectionReader;
  readonly #reader: ContentReader;
  /** Of requests in whose heads no rule looked at a field. */
  readonly #plainTrailers: TrailerRule;
  #head: Http1RequestHead | null = null;
  #phase = IDLE;

  constructor(options: RequestParserOptions) {
    this.#options = options;
    this.#section = new SectionReader(SCANNERS.of(options), options.limits.headBytesMax);
    this.#reader = new ContentReader(options);
    this.#plainTrailers = requestTrailers(NO_FIELDS, options.underscores ?? 'allow');
  }

  /** The head of the message that is being read; only to be asked for from HEAD to before MESSAGE_END. */
  get head(): Http1RequestHead {
    if (this.#head === null) throw new Error('no head has been read');
    return this.#head;
  }

  /** Between messages, not one byte of a next head seen. */
  get isIdle(): boolean {
    return this.#phase < IN_HEAD || this.#phase === CLOSED;
  }

  /** Some bytes of a head are here, not all. */
  get isInHead(): boolean {
    return this.#phase === IN_HEAD;
  }

  /** What is here of a head, or of trailers, that are not whole. */
  get heldBytes(): number {
    return this.#section.heldBytes + this.#reader.heldBytes;
  }

  /** After a HEAD: `fields`, which rules looked at or changed in it, go on as no trailers either. */
  judged(fields: readonly string[]): void {
    const { underscores } = this.#plainTrailers;
    this.#reader.trailerRule =
      fields.length === 0 ? this.#plainTrailers : requestTrailers(fields, underscores);
  }

  /**
   * One event. NEED_MORE means that the chunk is used up (`offset` is its length) and may be
   * dropped, but for slices of it that were handed out. After a request that does not persist
   * (`connection: close`) all further bytes are used up unread: no request follows it.
   */
  next(chunk: Buffer, offset: number): ParserEvent {
    if (this.#phase === IN_CONTENT) return this.#nextContent(chunk, offset);
    if (this.#phase === DEAD) return FAULT;
    if (this.#phase === CLOSED) {
      this.offset = chunk.length;
      return NEED_MORE;
    }
    let from = offset;
    if (this.#phase !== IN_HEAD) {
      from = this.#skipIdle(chunk, offset);
      if (this.#phase === DEAD) return FAULT;
      if (this.#phase !== IN_HEAD) {
        this.offset = from;
        return NEED_MORE;
      }
    }
    return this.#nextHead(chunk, from);
  }

  /** Leaves the phase at IN_HEAD when there is a byte of a head at the offset returned. */
  #skipIdle(chunk: Buffer, offset: number): number {
    let i = offset;
    for (; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (this.#phase === IDLE && byte === CR) {
        this.#phase = IDLE_CR;
      } else if (this.#phase === IDLE_CR) {
        if (byte !== LF) {
          this.#fail(new Cause('start-line-bare-cr', 1, byte));
          return i;
        }
        this.#phase = IDLE_CRLF;
      } else {
        this.#phase = IN_HEAD;
        return i;
      }
    }
    return i;
  }

  #nextHead(chunk: Buffer, from: number): ParserEvent {
    const section = this.#section;
    const outcome = section.read(chunk, from);
    this.offset = section.offset;
    if (outcome === SCAN_MORE) return NEED_MORE;
    if (outcome !== SCAN_DONE) return this.#failInHead(section.cause, chunk, from);
    const head = readRequestHead(section.raw, section.scanner, this.#options);
    if (head instanceof Cause) return this.#failInHead(head, chunk, from);
    section.reset();
    this.#head = head;
    this.#reader.trailerRule = this.#plainTrailers;
    if (head.framing === 'chunked') this.#reader.beginChunked();
    else this.#reader.beginLength(head.framing === 'length' ? head.contentLength : 0);
    this.#phase = IN_CONTENT;
    return HEAD;
  }

  #nextContent(chunk: Buffer, offset: number): ParserEvent {
    const event = this.#reader.next(chunk, offset);
    this.offset = this.#reader.offset;
    if (event === CONTENT) this.content = this.#reader.content;
    else if (event === MESSAGE_END) this.#endMessage();
    else if (event === FAULT) return this.#fail(this.#reader.cause);
    return event;
  }

  /** Lets go of the chunks: an idle connection must not hold what has passed through it. */
  #endMessage(): void {
    this.#phase = this.head.isPersistent ? IDLE : CLOSED;
    this.#head = null;
    this.content = NOTHING;
    this.#reader.content = NOTHING;
  }

  #failInHead(cause: Cause, chunk: Buffer, from: number): ParserEvent {
    this.partial = partialRequestOf(this.#section.bytesSoFar(chunk, from));
    return this.#fail(cause);
  }

  #fail(cause: Cause): ParserEvent {
    this.cause = cause;
    this.fault = cause.fault;
    this.#phase = DEAD;
    return FAULT;
  }
}
