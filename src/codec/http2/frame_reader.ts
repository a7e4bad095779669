/**
 * hot path
 *
 * Bytes → frames, incremental: wherever the bytes are cut, the same frames come out. DATA content
 * is handed out as bounds within the chunk that was fed, never copied and never collected; any other
 * frame is handed out whole (copied only when a chunk ends within it). It knows lengths, padding
 * of DATA and nothing else: what a frame means is the connection's business.
 */
import { assert } from '../../model/contract.ts';
import {
  FLAG_PADDED,
  FRAME_BYTES_MAX,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_HEADER_BYTES,
  readUint31,
} from './frame.ts';

/** All that was fed is used up. */
export const READ_MORE = 0;
/** One frame other than DATA, payload whole. Of a frame of unknown type the payload is skipped. */
export const READ_FRAME = 1;
/** A slice of the content of a DATA frame. */
export const READ_DATA = 2;
/** A frame longer than the largest that we accept: the connection is lost (FRAME_SIZE_ERROR). */
export const READ_TOO_LONG = 3;
/** Padding that leaves no room for itself (RFC 9113 6.1): the connection is lost (PROTOCOL_ERROR). */
export const READ_BAD_PADDING = 4;

export type ReadOutcome =
  | typeof READ_MORE
  | typeof READ_FRAME
  | typeof READ_DATA
  | typeof READ_TOO_LONG
  | typeof READ_BAD_PADDING;

const STATE_HEADER = 0;
const STATE_PAYLOAD = 1;
const STATE_DATA_PADDING = 2;
const STATE_DATA = 3;
const STATE_SKIP = 4;
const STATE_DEAD = 5;

const NO_BYTES: Buffer = Buffer.alloc(0);

export class FrameReader {
  type = 0;
  flags = 0;
  streamId = 0;
  /** Of the whole frame, as its header says; for DATA that is what flow control counts. */
  length = 0;
  /** The payload, or the slice of content, is `bytes` from `start` to `end`; valid until `feed`. */
  bytes: Buffer = NO_BYTES;
  start = 0;
  end = 0;
  /** Of a DATA frame: flow control is charged at the first slice, END_STREAM counts at the last. */
  isFirstSlice = false;
  isLastSlice = false;
  /** Bytes of padding of a DATA frame, its length byte included. */
  paddingLength = 0;

  #state = STATE_HEADER;
  #deadOutcome: ReadOutcome = READ_MORE;
  #chunk: Buffer = NO_BYTES;
  #offset = 0;
  #header: Buffer | null = null;
  #headerLength = 0;
  #collected: Buffer = NO_BYTES;
  #collectedLength = 0;
  #contentLeft = 0;
  #skipLeft = 0;
  #isSliceGiven = false;

  /** Only after `next` said READ_MORE. The chunk is kept by reference until then. */
  feed(chunk: Buffer): void {
    assert(this.#offset === this.#chunk.length, 'bytes are fed when those before are read');
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /** A frame header, or the payload of a frame that is told whole, has begun and is not complete. */
  get isCollecting(): boolean {
    return this.#headerLength > 0 || this.#state === STATE_PAYLOAD;
  }

  /** What is here of a frame that is told whole. */
  get heldBytes(): number {
    return this.#collectedLength;
  }

  next(): ReadOutcome {
    for (;;) {
      let outcome: ReadOutcome | -1;
      switch (this.#state) {
        case STATE_HEADER:
          outcome = this.#readHeader();
          break;
        case STATE_PAYLOAD:
          return this.#readPayload();
        case STATE_DATA_PADDING:
          outcome = this.#readPaddingLength();
          break;
        case STATE_DATA:
          return this.#readData();
        case STATE_SKIP:
          if (!this.#skip()) return READ_MORE;
          this.#state = STATE_HEADER;
          continue;
        default:
          return this.#deadOutcome;
      }
      if (outcome !== -1) return outcome;
    }
  }

  /** -1: the header is read, go on in the state that was set. */
  #readHeader(): ReadOutcome | -1 {
    let bytes = this.#chunk;
    let at = this.#offset;
    if (this.#headerLength > 0 || bytes.length - at < FRAME_HEADER_BYTES) {
      const header = this.#collectHeader();
      if (header === null) return READ_MORE;
      bytes = header;
      at = 0;
    } else {
      this.#offset = at + FRAME_HEADER_BYTES;
    }
    this.length =
      ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
    this.type = bytes[at + 3] as number;
    this.flags = bytes[at + 4] as number;
    this.streamId = readUint31(bytes, at + 5);
    return this.#beginPayload();
  }

  #beginPayload(): ReadOutcome | -1 {
    if (this.length > FRAME_BYTES_MAX) return this.#die(READ_TOO_LONG);
    if (this.type === FRAME_DATA) {
      this.paddingLength = 0;
      this.#contentLeft = this.length;
      this.#skipLeft = 0;
      this.#isSliceGiven = false;
      this.#state = (this.flags & FLAG_PADDED) === 0 ? STATE_DATA : STATE_DATA_PADDING;
      return -1;
    }
    if (this.type > FRAME_CONTINUATION) {
      this.#skipLeft = this.length;
      this.#state = STATE_SKIP;
      this.start = 0;
      this.end = 0;
      return READ_FRAME;
    }
    this.#collectedLength = 0;
    this.#state = STATE_PAYLOAD;
    return -1;
  }

  #collectHeader(): Buffer | null {
    this.#header ??= Buffer.alloc(FRAME_HEADER_BYTES);
    const wanted = FRAME_HEADER_BYTES - this.#headerLength;
    const available = Math.min(wanted, this.#chunk.length - this.#offset);
    this.#chunk.copy(this.#header, this.#headerLength, this.#offset, this.#offset + available);
    this.#offset += available;
    this.#headerLength += available;
    if (available < wanted) return null;
    this.#headerLength = 0;
    return this.#header;
  }

  #readPayload(): ReadOutcome {
    const available = this.#chunk.length - this.#offset;
    if (this.#collectedLength === 0 && available >= this.length) {
      this.bytes = this.#chunk;
      this.start = this.#offset;
      this.end = this.#offset + this.length;
      this.#offset = this.end;
      this.#state = STATE_HEADER;
      return READ_FRAME;
    }
    if (available === 0) return READ_MORE;
    if (this.#collectedLength === 0) this.#collected = Buffer.allocUnsafe(this.length);
    const taken = Math.min(available, this.length - this.#collectedLength);
    this.#chunk.copy(this.#collected, this.#collectedLength, this.#offset, this.#offset + taken);
    this.#offset += taken;
    this.#collectedLength += taken;
    if (this.#collectedLength < this.length) return READ_MORE;
    this.bytes = this.#collected;
    this.start = 0;
    this.end = this.length;
    this.#collected = NO_BYTES;
    this.#collectedLength = 0;
    this.#state = STATE_HEADER;
    return READ_FRAME;
  }

  #readPaddingLength(): ReadOutcome | -1 {
    if (this.length === 0) return this.#die(READ_BAD_PADDING);
    if (this.#offset === this.#chunk.length) return READ_MORE;
    const padding = this.#chunk[this.#offset] as number;
    this.#offset++;
    if (padding >= this.length) return this.#die(READ_BAD_PADDING);
    this.paddingLength = padding + 1;
    this.#contentLeft = this.length - this.paddingLength;
    this.#skipLeft = padding;
    this.#state = STATE_DATA;
    return -1;
  }

  #readData(): ReadOutcome {
    const taken = Math.min(this.#contentLeft, this.#chunk.length - this.#offset);
    if (taken === 0 && this.#contentLeft > 0) return READ_MORE;
    this.bytes = this.#chunk;
    this.start = this.#offset;
    this.end = this.#offset + taken;
    this.#offset = this.end;
    this.#contentLeft -= taken;
    this.isLastSlice = this.#contentLeft === 0 && this.#skip();
    if (this.isLastSlice) this.#state = STATE_HEADER;
    else if (taken === 0) return READ_MORE;
    this.isFirstSlice = !this.#isSliceGiven;
    this.#isSliceGiven = true;
    return READ_DATA;
  }

  /** True when nothing is left to skip. */
  #skip(): boolean {
    const skipped = Math.min(this.#skipLeft, this.#chunk.length - this.#offset);
    this.#offset += skipped;
    this.#skipLeft -= skipped;
    return this.#skipLeft === 0;
  }

  #die(outcome: ReadOutcome): ReadOutcome {
    this.#state = STATE_DEAD;
    this.#deadOutcome = outcome;
    return outcome;
  }
}
