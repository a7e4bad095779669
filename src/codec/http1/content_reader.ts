/**
 * hot path
 *
 * The content of one message, in either direction: tells where it ends and hands on the bytes to be
 * sent. Chunked content keeps the sender's framing, so that many chunks are one slice of what was
 * read; a slice ends only where bytes are left out or rewritten: leading zeros, extensions, trailers.
 * The last chunk is sent when the trailer section has been read and found good, so upstream never
 * takes a message for complete that was not.
 */
import { Cause, causeOf, type Detail } from '../../model/fault_detail.ts';
import type { Limits } from '../../model/limits.ts';
import { RESPONSE_TRAILERS, type TrailerRule } from '../../model/trailer_fields.ts';
import {
  EXTENSION_END,
  EXTENSION_MALFORMED,
  EXTENSION_START,
  extensionAfter,
} from './chunk_extension.ts';
import { CONTENT, FAULT, MESSAGE_END, NEED_MORE, type ParserEvent } from './events.ts';
import { SCAN_DONE, SCAN_MORE } from './head_scanner.ts';
import { ScannerPool } from './scanner_pool.ts';
import { SectionReader } from './section_reader.ts';
import { CR, HEX_VALUE, isBlank, LF, SEMICOLON, ZERO } from './syntax.ts';
import { lastChunk } from './trailers.ts';

export interface ContentOptions {
  readonly limits: Limits;
  readonly areTrailersForwarded: boolean;
}

// Sent as read: up to DATA_LF. Left out: ZEROS to LAST_LF.
const SIZE_START = 0;
const SIZE = 1;
const SIZE_CR = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;
const ZEROS = 7;
const EXTENSION_MARK = 8;
const EXTENSION = 9;
const LAST_EXTENSION = 10;
const SIZE_BLANKS = 11;
const LAST_BLANKS = 12;
const LAST_LF = 13;
const TRAILERS = 14;
const BY_LENGTH = 15;
const UNTIL_CLOSE = 16;
const ENDED = 17;
const FAULTED = 18;

/** 15 hex digits, leading zeros among them; the value must also be a safe integer. */
const SIZE_DIGITS_MAX = 15;
/** Some servers reserve room for the size before they know it. */
const SIZE_BLANKS_MAX = 16;
const NOTHING = Buffer.alloc(0);

export class ContentReader {
  offset = 0;
  content: Buffer = NOTHING;
  /** After FAULT. */
  cause: Cause = causeOf('chunk-size-form');
  /** For the message in hand, until its trailers have been read. */
  trailerRule: TrailerRule = RESPONSE_TRAILERS;
  readonly #options: ContentOptions;
  readonly #isLiberal: boolean;
  /** Made for the first trailer section: most connections never see one. */
  #trailers: SectionReader | null = null;
  #state = ENDED;
  #remaining = 0;
  /** Read of this content so far. */
  #byteCount = 0;
  #detail: Detail = 'chunk-size-form';
  #digits = 0;
  #extension = EXTENSION_START;
  #extensionBytes = 0;
  #extensionTotalBytes = 0;

  /** isLiberal: of responses, blanks behind a chunk size are let pass, as every client does; not sent on. */
  constructor(options: ContentOptions, { isLiberal } = { isLiberal: false }) {
    this.#options = options;
    this.#isLiberal = isLiberal;
  }

  beginLength(length: number): void {
    this.#remaining = length;
    this.#state = length === 0 ? ENDED : BY_LENGTH;
  }

  beginChunked(): void {
    this.#state = SIZE_START;
    this.#byteCount = 0;
    this.#extensionTotalBytes = 0;
    this.#trailers?.reset();
  }

  beginUntilClose(): void {
    this.#state = UNTIL_CLOSE;
  }

  /** Content that only the end of the connection ends. */
  get isUntilClose(): boolean {
    return this.#state === UNTIL_CLOSE;
  }

  get isEnded(): boolean {
    return this.#state === ENDED;
  }

  /** What is here of trailers that are not whole. */
  get heldBytes(): number {
    return this.#trailers === null ? 0 : this.#trailers.heldBytes;
  }

  next(chunk: Buffer, offset: number): ParserEvent {
    const event = this.#next(chunk, offset);
    this.#byteCount += this.offset - offset;
    return event;
  }

  #next(chunk: Buffer, offset: number): ParserEvent {
    let at = offset;
    while (this.#state !== ENDED && this.#state !== FAULTED && at < chunk.length) {
      let stop = at;
      if (this.#state <= DATA_LF) stop = this.#relayChunks(chunk, at);
      else if (this.#state <= LAST_LF) at = stop = this.#leaveOut(chunk, at);
      else if (this.#state === TRAILERS) return this.#readTrailers(chunk, at);
      else stop = this.#relayPlain(chunk, at);
      if (stop > at) return this.#give(sliceOf(chunk, at, stop), stop);
    }
    this.offset = at;
    if (this.#state === ENDED) return MESSAGE_END;
    if (this.#state !== FAULTED) return NEED_MORE;
    this.cause = new Cause(this.#detail, this.#byteCount + at - offset, chunk[at] as number);
    return FAULT;
  }

  /** End of what is content by count or until the close. */
  #relayPlain(chunk: Buffer, at: number): number {
    if (this.#state === UNTIL_CLOSE) return chunk.length;
    const length = Math.min(this.#remaining, chunk.length - at);
    this.#remaining -= length;
    if (this.#remaining === 0) this.#state = ENDED;
    return at + length;
  }

  /** Runs over chunks that go on as they are; stops at the first byte that does not. */
  #relayChunks(chunk: Buffer, from: number): number {
    let i = from;
    while (i < chunk.length) {
      if (this.#state === DATA) {
        const length = Math.min(this.#remaining, chunk.length - i);
        this.#remaining -= length;
        i += length;
        if (this.#remaining === 0) this.#state = DATA_CR;
        continue;
      }
      const byte = chunk[i] as number;
      switch (this.#state) {
        case SIZE_START:
          if (byte === ZERO) return this.#beginZero(chunk, i);
          this.#remaining = 0;
          this.#digits = 0;
          if (!this.#addDigit(byte)) return this.#fail(sizeDetail(byte), i);
          this.#state = SIZE;
          break;
        case SIZE:
          if (byte === CR) {
            this.#state = SIZE_LF;
          } else if (byte === SEMICOLON) {
            this.#state = EXTENSION_MARK;
            return i;
          } else if (isBlank(byte) && this.#isLiberal) {
            this.#state = SIZE_BLANKS;
            return i;
          } else if (!this.#addDigit(byte)) {
            return this.#fail(sizeDetail(byte), i);
          }
          break;
        case SIZE_CR:
          // Seen by #leaveOut already: the CR after an extension.
          this.#state = SIZE_LF;
          break;
        case SIZE_LF:
          if (byte !== LF) return this.#fail('chunk-line-end', i);
          this.#state = DATA;
          break;
        case DATA_CR:
          if (byte !== CR) return this.#fail('chunk-data-end', i);
          this.#state = DATA_LF;
          break;
        default:
          if (byte !== LF) return this.#fail('chunk-data-end', i);
          this.#state = SIZE_START;
      }
      i++;
    }
    return i;
  }

  /** "0" first: the whole last chunk if it is here and plain, else held until what it is, is known. */
  #beginZero(chunk: Buffer, i: number): number {
    const isPlainEnd =
      i + 5 <= chunk.length &&
      chunk[i + 1] === CR &&
      chunk[i + 2] === LF &&
      chunk[i + 3] === CR &&
      chunk[i + 4] === LF;
    this.#remaining = 0;
    this.#digits = 0;
    this.#state = isPlainEnd ? ENDED : ZEROS;
    return isPlainEnd ? i + 5 : i;
  }

  #addDigit(byte: number): boolean {
    const value = HEX_VALUE[byte] as number;
    if (value < 0 || ++this.#digits > SIZE_DIGITS_MAX) return false;
    this.#remaining = this.#remaining * 16 + value;
    return this.#remaining <= Number.MAX_SAFE_INTEGER;
  }

  /** Runs over bytes that are not sent; stops at the first that is. */
  #leaveOut(chunk: Buffer, from: number): number {
    let i = from;
    while (i < chunk.length && this.#state >= ZEROS && this.#state <= LAST_LF) {
      const byte = chunk[i] as number;
      switch (this.#state) {
        case ZEROS:
          if (byte === CR) {
            this.#state = LAST_LF;
          } else if (byte === SEMICOLON) {
            if (!this.#beginExtension()) return this.#fail('chunk-extension-too-long', i);
            this.#state = LAST_EXTENSION;
          } else if (isBlank(byte) && this.#isLiberal) {
            this.#state = LAST_BLANKS;
          } else if (byte !== ZERO) {
            if ((HEX_VALUE[byte] as number) < 0) return this.#fail(sizeDetail(byte), i);
            this.#state = SIZE;
            return i;
          } else if (++this.#digits > SIZE_DIGITS_MAX) {
            return this.#fail('chunk-size-too-large', i);
          }
          break;
        case EXTENSION_MARK:
          if (!this.#beginExtension()) return this.#fail('chunk-extension-too-long', i);
          this.#state = EXTENSION;
          break;
        case SIZE_BLANKS:
        case LAST_BLANKS:
          if (!this.#leaveBlank(byte)) return this.#fail(sizeDetail(byte), i);
          if (byte !== CR) break;
          if (this.#state === SIZE_BLANKS) {
            this.#state = SIZE_CR;
            return i;
          }
          this.#state = LAST_LF;
          break;
        case LAST_LF:
          if (byte !== LF) return this.#fail('chunk-line-end', i);
          this.#state = TRAILERS;
          break;
        default:
          if (!this.#addExtensionByte(byte)) return this.#fail(this.#extensionDetail(), i);
          if (this.#extension !== EXTENSION_END) break;
          if (this.#state === EXTENSION) {
            this.#state = SIZE_CR;
            return i;
          }
          this.#state = LAST_LF;
      }
      i++;
    }
    return i;
  }

  #leaveBlank(byte: number): boolean {
    return byte === CR || (isBlank(byte) && ++this.#digits <= SIZE_DIGITS_MAX + SIZE_BLANKS_MAX);
  }

  #beginExtension(): boolean {
    this.#extension = EXTENSION_START;
    this.#extensionBytes = 0;
    return this.#countExtensionByte();
  }

  #addExtensionByte(byte: number): boolean {
    this.#extension = extensionAfter(this.#extension, byte);
    if (this.#extension === EXTENSION_END) return true;
    return this.#extension !== EXTENSION_MALFORMED && this.#countExtensionByte();
  }

  #extensionDetail(): Detail {
    const isMalformed = this.#extension === EXTENSION_MALFORMED;
    return isMalformed ? 'chunk-extension-form' : 'chunk-extension-too-long';
  }

  #countExtensionByte(): boolean {
    const { chunkExtensionBytesMax, chunkExtensionTotalBytesMax } = this.#options.limits;
    this.#extensionBytes++;
    this.#extensionTotalBytes++;
    return (
      this.#extensionBytes <= chunkExtensionBytesMax &&
      this.#extensionTotalBytes <= chunkExtensionTotalBytesMax
    );
  }

  #readTrailers(chunk: Buffer, at: number): ParserEvent {
    this.#trailers ??= trailerReader(this.#options);
    const trailers = this.#trailers;
    const outcome = trailers.read(chunk, at);
    this.offset = trailers.offset;
    if (outcome === SCAN_MORE) return NEED_MORE;
    if (outcome === SCAN_DONE) {
      const { areTrailersForwarded } = this.#options;
      const last = lastChunk(trailers.raw, areTrailersForwarded, this.trailerRule);
      trailers.reset();
      this.#state = ENDED;
      if (last !== null) return this.#give(last, this.offset);
      this.cause = causeOf('trailer-forbidden');
    } else {
      this.cause = trailers.cause;
    }
    this.#state = FAULTED;
    return FAULT;
  }

  #give(content: Buffer, offset: number): ParserEvent {
    this.content = content;
    this.offset = offset;
    return CONTENT;
  }

  #fail(detail: Detail, i: number): number {
    this.#detail = detail;
    this.#state = FAULTED;
    return i;
  }
}

/** A digit that is one too many, or a byte that is none. */
function sizeDetail(byte: number): Detail {
  if ((HEX_VALUE[byte] as number) >= 0) return 'chunk-size-too-large';
  return byte === LF ? 'chunk-line-end' : 'chunk-size-form';
}

function trailerReader({ limits }: ContentOptions): SectionReader {
  return new SectionReader(
    new ScannerPool({
      section: 'trailers',
      fieldCountMax: limits.trailerFieldCountMax,
      methodBytesMax: 0,
      targetBytesMax: 0,
      isHttp10Enabled: false,
    }),
    // The CRLF that ends the section is no trailer.
    limits.trailerBytesMax + 2,
  );
}

function sliceOf(chunk: Buffer, start: number, end: number): Buffer {
  return start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
}
