/**
 * hot path
 *
 * One pass over the bytes of a request head, a response head or a trailer section (RFC 9112 3-5,
 * 7.1.2): finds where each part lies and refuses the first byte that breaks the grammar. It keeps
 * offsets only, relative to the start of the section, and can stop and go on at any byte. What the
 * parts mean together (framing, host, connection) is judged afterwards by others.
 *
 * Responses are read more liberally, as every client reads them: what is not as it ought to be is let pass and
 * told (`isSloppy`), so that the head can be written anew (response_repair.ts).
 *
 * No string, object or closure is made here.
 */
import { Cause, type Detail } from '../../model/fault_detail.ts';
import {
  CONTENT_LENGTH,
  FIELD_KIND_COUNT,
  fieldKindOf,
  OTHER,
  TRANSFER_ENCODING,
} from './field_kind.ts';
import {
  COLON,
  CR,
  equalsText,
  FIELD_VALUE,
  HTAB,
  isBlank,
  LF,
  NINE,
  SP,
  TARGET,
  TOKEN,
  ZERO,
} from './syntax.ts';

export const SCAN_MORE = 0;
export const SCAN_DONE = 1;
export const SCAN_FAULT = 2;
export type ScanOutcome = typeof SCAN_MORE | typeof SCAN_DONE | typeof SCAN_FAULT;

export type Section = 'request' | 'response' | 'trailers';

export interface ScannerOptions {
  readonly section: Section;
  readonly fieldCountMax: number;
  readonly methodBytesMax: number;
  readonly targetBytesMax: number;
  readonly isHttp10Enabled: boolean;
}

const METHOD = 0;
const REQUEST_TARGET = 1;
const REQUEST_VERSION = 2;
const RESPONSE_VERSION = 3;
const STATUS = 4;
const REASON = 5;
const START_LINE_LF = 6;
const FIELD_START = 7;
const NAME = 8;
const BLANKS = 9;
const VALUE = 10;
const FIELD_LF = 11;
const NAME_BLANKS = 12;
const END_LF = 13;
const DONE = 14;
const FAULTED = 15;

const VERSION_TEXT = 'HTTP/';
const VERSION_LENGTH = 8;
const MAJOR_AT = 5;
const MINOR_AT = 7;
const ONE = ZERO + 1;
const STATUS_LENGTH = 3;

export class HeadScanner {
  /** After SCAN_FAULT. */
  cause: Cause | null = null;
  readonly fieldCountMax: number;
  /** Length of the section, its last CRLF included; valid when done. */
  byteLength = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  isHttp10 = false;
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  /** Where the field lines begin. */
  fieldsStart = 0;
  fieldCount = 0;
  /** Every line is `name: value` with one space before the value and none after it. */
  isLayoutCanonical = true;
  /** Of a response: read liberally. Of the offsets only `byteLength` is to be believed. */
  isSloppy = false;
  /** A tab stands around the value of a framing field. */
  hasFramingTab = false;
  /** By field kind: how many lines, and where the value of the first one lies. */
  readonly counts = new Int32Array(FIELD_KIND_COUNT);
  readonly valueStarts = new Int32Array(FIELD_KIND_COUNT);
  readonly valueEnds = new Int32Array(FIELD_KIND_COUNT);

  readonly #options: ScannerOptions;
  readonly #firstState: number;
  readonly #isLiberal: boolean;
  #state: number;
  #at = 0;
  #partStart = 0;
  #nameEnd = 0;
  #valueStart = 0;
  #kind = OTHER;
  /** Of the byte at which it stopped. */
  #detail: Detail = 'method-character';

  constructor(options: ScannerOptions) {
    this.#options = options;
    this.fieldCountMax = options.fieldCountMax;
    this.#firstState = firstStateOf(options.section);
    this.#isLiberal = options.section === 'response';
    this.#state = this.#firstState;
  }

  /** Ready for the next section. */
  reset(): void {
    this.#state = this.#firstState;
    this.#at = 0;
    this.#partStart = 0;
    this.fieldsStart = 0;
    this.fieldCount = 0;
    this.isHttp10 = false;
    this.isLayoutCanonical = true;
    this.isSloppy = false;
    this.hasFramingTab = false;
    // Faster than fill() at this length.
    for (let kind = 0; kind < FIELD_KIND_COUNT; kind++) this.counts[kind] = 0;
  }

  /**
   * Goes on from where the last call stopped. The section begins at `start`; `bytes` may be
   * another buffer than last time as long as it holds the same bytes from its `start`.
   */
  scan(bytes: Buffer, start: number, end: number): ScanOutcome {
    let i = start + this.#at;
    while (i < end) {
      i = this.#state < FIELD_START ? this.#scanStartLine(bytes, start, i, end) : i;
      if (this.#state >= FIELD_START && this.#state < DONE) {
        i = this.#scanFields(bytes, start, i, end);
      }
      if (this.#state >= DONE) break;
    }
    this.#at = i - start;
    if (this.#state === FAULTED) {
      this.cause = new Cause(this.#detail, i - start, bytes[i] as number);
      return SCAN_FAULT;
    }
    if (this.#state !== DONE) return SCAN_MORE;
    this.byteLength = i - start;
    return SCAN_DONE;
  }

  #scanStartLine(bytes: Buffer, start: number, from: number, end: number): number {
    switch (this.#state) {
      case METHOD:
        return this.#scanMethod(bytes, start, from, end);
      case REQUEST_TARGET:
        return this.#scanTarget(bytes, start, from, end);
      case REQUEST_VERSION:
      case RESPONSE_VERSION:
        return this.#scanVersion(bytes, start, from, end);
      case STATUS:
        return this.#scanStatus(bytes, start, from, end);
      case REASON:
        return this.#scanReason(bytes, start, from, end);
      default:
        return this.#scanStartLineEnd(bytes, start, from);
    }
  }

  #scanMethod(bytes: Buffer, start: number, from: number, end: number): number {
    const stop = Math.min(end, start + this.#options.methodBytesMax);
    let i = from;
    while (i < stop && TOKEN[bytes[i] as number] === 1) i++;
    if (i === end) return i;
    const byte = bytes[i] as number;
    if (byte !== SP || i === start) {
      return this.#fail(TOKEN[byte] === 1 ? 'method-too-long' : 'method-character', i);
    }
    this.methodEnd = i - start;
    this.targetStart = i - start + 1;
    this.#state = REQUEST_TARGET;
    return i + 1;
  }

  #scanTarget(bytes: Buffer, start: number, from: number, end: number): number {
    const bound = start + this.targetStart + this.#options.targetBytesMax;
    const stop = Math.min(end, bound);
    let i = from;
    while (i < stop && TARGET[bytes[i] as number] === 1) i++;
    if (i === end) return i;
    const byte = bytes[i] as number;
    if (byte !== SP) {
      if (i === bound && TARGET[byte] === 1) return this.#fail('target-too-long', i);
      // No version follows: HTTP/0.9, or a line ended by a bare LF (RFC 9112 2.2, 3).
      const isLineEnd = byte === CR || byte === LF;
      return this.#fail(isLineEnd ? 'version-missing' : 'target-character', i);
    }
    if (i - start === this.targetStart) return this.#fail('target-missing', i);
    this.targetEnd = i - start;
    this.#partStart = i - start + 1;
    this.#state = REQUEST_VERSION;
    return i + 1;
  }

  /** `HTTP/d.d` and the byte after it: CR in a request, SP in a response (RFC 9112 2.3). */
  #scanVersion(bytes: Buffer, start: number, from: number, end: number): number {
    const versionStart = start + this.#partStart;
    let i = from;
    for (; i < end; i++) {
      const byte = bytes[i] as number;
      const at = i - versionStart;
      if (at === VERSION_LENGTH) {
        const isRequest = this.#state === REQUEST_VERSION;
        if (byte !== (isRequest ? CR : SP)) {
          return this.#fail(byte === LF ? 'start-line-bare-lf' : 'version-form', i);
        }
        return this.#endVersion(bytes, versionStart, i, isRequest);
      }
      if (!isVersionByte(byte, at)) return this.#fail('version-form', i);
    }
    return i;
  }

  #endVersion(bytes: Buffer, versionStart: number, i: number, isRequest: boolean): number {
    // The form is checked: only the two digits are left to look at.
    const isMajor1 = bytes[versionStart + MAJOR_AT] === ONE;
    const minor = bytes[versionStart + MINOR_AT];
    if (!isMajor1 || (minor !== ZERO && minor !== ONE)) return this.#fail('version-unknown', i);
    this.isHttp10 = minor === ZERO;
    if (isRequest && this.isHttp10 && !this.#options.isHttp10Enabled) {
      return this.#fail('version-http10', i);
    }
    this.#partStart += VERSION_LENGTH + 1;
    this.#state = isRequest ? START_LINE_LF : STATUS;
    return i + 1;
  }

  /** Three digits and SP; the SP may be missing with the reason, which leaves one reading. */
  #scanStatus(bytes: Buffer, start: number, from: number, end: number): number {
    const statusStart = start + this.#partStart;
    let i = from;
    for (; i < end; i++) {
      const byte = bytes[i] as number;
      if (i - statusStart === STATUS_LENGTH) {
        if (byte !== SP && byte !== CR && !this.#endsLine(byte)) {
          return this.#fail(byte === LF ? 'start-line-bare-lf' : 'status-form', i);
        }
        this.status = statusOf(bytes, statusStart);
        this.reasonStart = i - start + (byte === SP ? 1 : 0);
        this.reasonEnd = this.reasonStart;
        if (this.status < 100) return this.#fail('status-range', i);
        if (byte !== SP) this.isLayoutCanonical = false;
        this.#state = byte === SP ? REASON : START_LINE_LF;
        return this.#endsLine(byte) ? i : i + 1;
      }
      if (byte === SP && i === statusStart) {
        // More than one before the status: it begins one byte later.
        this.isSloppy = true;
        this.#partStart++;
        return i + 1;
      }
      if (byte < ZERO || byte > NINE) return this.#fail('status-form', i);
    }
    return i;
  }

  #scanReason(bytes: Buffer, start: number, from: number, end: number): number {
    let i = from;
    while (i < end && FIELD_VALUE[bytes[i] as number] === 1) i++;
    if (i === end) return i;
    const byte = bytes[i] as number;
    const isLineEnd = this.#endsLine(byte);
    if (byte !== CR && !isLineEnd) return this.#fail('reason-character', i);
    this.reasonEnd = i - start;
    this.#state = START_LINE_LF;
    return isLineEnd ? i : i + 1;
  }

  /** LF without a CR, in a response. */
  #endsLine(byte: number): boolean {
    if (byte !== LF || !this.#isLiberal) return false;
    this.isSloppy = true;
    return true;
  }

  #scanStartLineEnd(bytes: Buffer, start: number, i: number): number {
    if (bytes[i] !== LF) return this.#fail('start-line-bare-cr', i);
    const isRequest = this.#options.section === 'request';
    // Refused by its request line alone: its target is an authority, there is no path to judge.
    if (isRequest && equalsText(bytes, start, start + this.methodEnd, 'CONNECT')) {
      return this.#fail('method-connect', i);
    }
    this.fieldsStart = i - start + 1;
    this.#state = FIELD_START;
    return i + 1;
  }

  #scanFields(bytes: Buffer, start: number, from: number, end: number): number {
    let i = from;
    let state = this.#state;
    scan: while (i < end) {
      switch (state) {
        case FIELD_START: {
          const byte = bytes[i] as number;
          if (byte === CR) {
            state = END_LF;
            break;
          }
          if (TOKEN[byte] !== 1 && this.#isLiberal) {
            state = this.#liberalFieldStart(byte);
            if (state !== FAULTED) continue;
          }
          // SP or HTAB here is obs-fold (RFC 9112 5.2); ":" an empty name.
          if (TOKEN[byte] !== 1) return this.#fail(lineStartDetail(byte), i);
          if (this.fieldCount === this.fieldCountMax) return this.#fail('field-count', i);
          this.fieldCount++;
          this.#partStart = i - start;
          state = NAME;
          break;
        }
        case NAME:
          while (i < end && TOKEN[bytes[i] as number] === 1) i++;
          if (i === end) break scan;
          if (bytes[i] !== COLON) {
            if (!this.#isLiberal || !isBlank(bytes[i] as number)) {
              return this.#fail(nameEndDetail(bytes[i] as number), i);
            }
            this.isSloppy = true;
            state = NAME_BLANKS;
            continue;
          }
          this.#nameEnd = i - start;
          this.#kind = fieldKindOf(bytes, start + this.#partStart, i);
          state = BLANKS;
          break;
        case BLANKS:
          while (i < end && (bytes[i] === SP || bytes[i] === HTAB)) i++;
          if (i === end) break scan;
          this.#valueStart = i - start;
          state = VALUE;
          continue;
        case VALUE:
          while (i < end && FIELD_VALUE[bytes[i] as number] === 1) i++;
          if (i === end) break scan;
          if (this.#endsLine(bytes[i] as number)) {
            state = FIELD_START;
            break;
          }
          if (bytes[i] !== CR) return this.#fail(valueEndDetail(bytes[i] as number), i);
          state = FIELD_LF;
          break;
        case NAME_BLANKS:
          while (i < end && isBlank(bytes[i] as number)) i++;
          if (i === end) break scan;
          if (bytes[i] !== COLON) return this.#fail('field-colon-missing', i);
          state = VALUE;
          break;
        case FIELD_LF:
          if (bytes[i] !== LF) return this.#fail('field-bare-cr', i);
          this.#endField(bytes, start, i - 1);
          state = FIELD_START;
          break;
        default:
          if (bytes[i] !== LF) return this.#fail('field-bare-cr', i);
          this.#state = DONE;
          return i + 1;
      }
      i++;
    }
    this.#state = state;
    return i;
  }

  /** What else a line may begin with: a folded value, or the LF that ends the head. */
  #liberalFieldStart(byte: number): number {
    if (isBlank(byte) && this.fieldCount > 0) {
      this.isSloppy = true;
      return VALUE;
    }
    return this.#endsLine(byte) ? END_LF : FAULTED;
  }

  #endField(bytes: Buffer, start: number, lineEnd: number): void {
    const valueStart = this.#valueStart;
    let valueEnd = lineEnd - start;
    while (valueEnd > valueStart && isBlank(bytes[start + valueEnd - 1] as number)) valueEnd--;
    if (
      valueStart !== this.#nameEnd + 2 ||
      bytes[start + valueStart - 1] !== SP ||
      valueEnd !== lineEnd - start
    ) {
      this.isLayoutCanonical = false;
    }
    const kind = this.#kind;
    if (kind === OTHER) return;
    if (kind === CONTENT_LENGTH || kind === TRANSFER_ENCODING) {
      const isTabBefore = hasTab(bytes, start + this.#nameEnd, start + valueStart);
      if (isTabBefore || hasTab(bytes, start + valueEnd, lineEnd)) this.hasFramingTab = true;
    }
    const count = this.counts[kind] as number;
    this.counts[kind] = count + 1;
    if (count > 0) return;
    this.valueStarts[kind] = valueStart;
    this.valueEnds[kind] = valueEnd;
  }

  #fail(detail: Detail, i: number): number {
    this.#detail = detail;
    this.#state = FAULTED;
    return i;
  }
}

/** What is wrong with a byte that no line can begin with. */
function lineStartDetail(byte: number): Detail {
  if (isBlank(byte)) return 'field-folded';
  if (byte === COLON) return 'field-name-empty';
  return byte === LF ? 'field-bare-lf' : 'field-name-character';
}

/** What is wrong with a byte that ends a name and is no colon. */
function nameEndDetail(byte: number): Detail {
  if (isBlank(byte)) return 'field-name-space';
  return byte === CR || byte === LF ? 'field-colon-missing' : 'field-name-character';
}

function valueEndDetail(byte: number): Detail {
  return byte === LF ? 'field-bare-lf' : 'field-value-character';
}

function hasTab(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === HTAB) return true;
  return false;
}

function firstStateOf(section: Section): number {
  if (section === 'request') return METHOD;
  return section === 'response' ? RESPONSE_VERSION : FIELD_START;
}

function isVersionByte(byte: number, at: number): boolean {
  if (at < VERSION_TEXT.length) return byte === VERSION_TEXT.charCodeAt(at);
  if (at === VERSION_TEXT.length + 1) return byte === 0x2e;
  return byte >= ZERO && byte <= NINE;
}

function statusOf(bytes: Buffer, start: number): number {
  const hundreds = (bytes[start] as number) - ZERO;
  const tens = (bytes[start + 1] as number) - ZERO;
  return hundreds * 100 + tens * 10 + ((bytes[start + 2] as number) - ZERO);
}
