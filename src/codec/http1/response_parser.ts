/**
 * hot path
 *
 * Responses from bytes. An upstream is no more trusted than a client, but it is read as liberally as is safe:
 * what has one reading that every client shares goes on in its canonical form. The parser is told of each request first (`begin`), as the request says how its response ends; bytes when no
 * response is awaited are a fault, never the start of a later one.
 *
 *     begin ──► informational head* ──► head ──► content* ──► end ──► idle
 *                                       └─ 101: tunnel, not for this parser
 */
import type { Fault } from '../../model/fault.ts';
import { Cause, causeOf, upstreamFaultOf } from '../../model/fault_detail.ts';
import { type ContentOptions, ContentReader } from './content_reader.ts';
import { CONTENT, FAULT, HEAD, MESSAGE_END, NEED_MORE, type ParserEvent } from './events.ts';
import { SCAN_DONE, SCAN_MORE } from './head_scanner.ts';
import type { Http1ResponseHead } from './response_head.ts';
import { repairedHead } from './response_repair.ts';
import { type AnsweredRequest, readResponseHead } from './response_rules.ts';
import { PoolsByOptions } from './scanner_pool.ts';
import { SectionReader } from './section_reader.ts';

const IDLE = 0;
const AWAITED = 1;
const IN_HEAD = 2;
const IN_CONTENT = 3;
const TUNNEL = 4;
const DEAD = 5;

const NOTHING = Buffer.alloc(0);

const SCANNERS = new PoolsByOptions<ContentOptions>(({ limits }) => ({
  section: 'response',
  fieldCountMax: limits.responseFieldCountMax,
  methodBytesMax: 0,
  targetBytesMax: 0,
  isHttp10Enabled: true,
}));

export class ResponseParser {
  /** Where to go on in the chunk after an event. */
  offset = 0;
  /** After CONTENT: bytes to send as they are, chunk framing included. */
  content: Buffer = NOTHING;
  /** After FAULT; always one of the upstream's. */
  fault: Fault = 'internal-error';
  /** Which rule was broken; null where the fault says it. */
  cause: Cause | null = null;
  readonly #options: ContentOptions;
  readonly #section: SectionReader;
  readonly #reader: ContentReader;
  #head: Http1ResponseHead | null = null;
  #phase = IDLE;
  #method = '';
  #isUpgradeAsked = false;
  #informationalCount = 0;
  /** A response said that it was the last: none follows it (RFC 9112 9.6). */
  #isClosing = false;

  constructor(options: ContentOptions) {
    this.#options = options;
    this.#section = new SectionReader(SCANNERS.of(options), options.limits.responseHeadBytesMax);
    this.#reader = new ContentReader(options, { isLiberal: true });
  }

  /** The head of the message that is being read; only to be asked for from HEAD to before MESSAGE_END. */
  get head(): Http1ResponseHead {
    if (this.#head === null) throw new Error('no head has been read');
    return this.#head;
  }

  /** No response is awaited. */
  get isIdle(): boolean {
    return this.#phase === IDLE;
  }

  /** What is here of a head, or of trailers, that are not whole. */
  get heldBytes(): number {
    return this.#section.heldBytes + this.#reader.heldBytes;
  }

  /**
   * The next bytes answer a request of this method; only when idle. After a response that does not
   * persist none is accepted any more: the caller connects anew.
   */
  begin(requestMethod: string, isUpgradeAsked: boolean): void {
    if (this.#phase === DEAD) return;
    if (this.#phase !== IDLE) throw new Error('the response before this one is not complete');
    this.#phase = AWAITED;
    this.#method = requestMethod;
    this.#isUpgradeAsked = isUpgradeAsked;
    this.#informationalCount = 0;
  }

  /** One event; as RequestParser.next. A 1xx head is followed by another HEAD, not by an end. */
  next(chunk: Buffer, offset: number): ParserEvent {
    if (this.#phase === IN_CONTENT) return this.#nextContent(chunk, offset);
    if (this.#phase === DEAD) return FAULT;
    this.offset = offset;
    if (offset >= chunk.length) return NEED_MORE;
    const isAwaited = this.#phase === AWAITED || this.#phase === IN_HEAD;
    if (!isAwaited || this.#isClosing) return this.#failBy(causeOf('response-unasked'));
    this.#phase = IN_HEAD;
    return this.#nextHead(chunk, offset);
  }

  /** The upstream will send no more: what that means for the response in hand. */
  finish(): ParserEvent {
    switch (this.#phase) {
      case IDLE:
      case TUNNEL:
        return NEED_MORE;
      case AWAITED:
      case IN_HEAD:
        return this.#fail('upstream-closed');
      case IN_CONTENT:
        if (!this.#reader.isUntilClose && !this.#reader.isEnded) {
          return this.#fail('upstream-truncated');
        }
        this.#endMessage();
        return MESSAGE_END;
      default:
        return FAULT;
    }
  }

  #nextHead(chunk: Buffer, from: number): ParserEvent {
    const section = this.#section;
    const outcome = section.read(chunk, from);
    this.offset = section.offset;
    if (outcome === SCAN_MORE) return NEED_MORE;
    if (outcome !== SCAN_DONE) return this.#failBy(section.cause);
    const head = section.scanner.isSloppy
      ? this.#repaired(section.raw)
      : readResponseHead(section.raw, section.scanner, this.#asked(false));
    if (head instanceof Cause) return this.#failBy(head);
    section.reset();
    this.#head = head;
    return this.#endHead(head);
  }

  /** Scanned again, as the one that it ought to have been. */
  #repaired(sloppy: Buffer): Http1ResponseHead | Cause {
    const raw = repairedHead(sloppy);
    const scanner = SCANNERS.of(this.#options).take();
    const outcome = scanner.scan(raw, 0, raw.length);
    const isSound = outcome === SCAN_DONE && !scanner.isSloppy && scanner.byteLength === raw.length;
    if (!isSound) throw new Error('a repaired head is malformed');
    const head = readResponseHead(raw, scanner, this.#asked(true));
    SCANNERS.of(this.#options).giveBack(scanner);
    return head;
  }

  #asked(isRepaired: boolean): AnsweredRequest {
    return {
      method: this.#method,
      isUpgradeAsked: this.#isUpgradeAsked,
      areTrailersForwarded: this.#options.areTrailersForwarded,
      isRepaired,
    };
  }

  #endHead(head: Http1ResponseHead): ParserEvent {
    if (head.isInformational) {
      const max = this.#options.limits.informationalResponseCountMax;
      if (++this.#informationalCount > max) return this.#failBy(causeOf('informational-count'));
      this.#phase = AWAITED;
      return HEAD;
    }
    if (head.status === 101) {
      this.#phase = TUNNEL;
      return HEAD;
    }
    if (head.framing === 'chunked') this.#reader.beginChunked();
    else if (head.framing === 'close') this.#reader.beginUntilClose();
    else this.#reader.beginLength(head.framing === 'length' ? head.contentLength : 0);
    this.#isClosing = !head.isPersistent;
    this.#phase = IN_CONTENT;
    return HEAD;
  }

  #nextContent(chunk: Buffer, offset: number): ParserEvent {
    const event = this.#reader.next(chunk, offset);
    this.offset = this.#reader.offset;
    if (event === CONTENT) this.content = this.#reader.content;
    else if (event === MESSAGE_END) this.#endMessage();
    else if (event === FAULT) return this.#failBy(this.#reader.cause);
    return event;
  }

  /** Lets go of the chunks: an idle connection must not hold what has passed through it. */
  #endMessage(): void {
    this.#phase = IDLE;
    this.#head = null;
    this.content = NOTHING;
    this.#reader.content = NOTHING;
  }

  #failBy(cause: Cause): ParserEvent {
    this.cause = cause;
    return this.#fail(upstreamFaultOf(cause));
  }

  #fail(fault: Fault): ParserEvent {
    this.fault = fault;
    this.#phase = DEAD;
    return FAULT;
  }
}
