/**
 * hot path
 *
 * HEADERS and the CONTINUATION frames behind it → one header block (RFC 9113 6.2, 6.10), with bounds
 * on bytes and frames. A block in one frame, the usual case, is not copied.
 */
import type { Limits } from '../../model/limits.ts';
import {
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  readUint31,
} from './frame.ts';
import type { FrameReader } from './frame_reader.ts';

export const BLOCK_MORE = 0;
export const BLOCK_DONE = 1;
/** Padding or priority that leave no room, or a stream that depends on itself: PROTOCOL_ERROR. */
export const BLOCK_MALFORMED = 2;
/** Too many bytes or frames: ENHANCE_YOUR_CALM. */
export const BLOCK_TOO_LARGE = 3;

export type BlockOutcome =
  | typeof BLOCK_MORE
  | typeof BLOCK_DONE
  | typeof BLOCK_MALFORMED
  | typeof BLOCK_TOO_LARGE;

const PRIORITY_BYTES = 5;
const NO_BYTES: Buffer = Buffer.alloc(0);

export class HeaderBlock {
  /** The stream whose CONTINUATION must come next, before any other frame; 0 for none. */
  openStreamId = 0;
  isEndStream = false;
  /** When done: the block is `bytes` from `start` to `end`, valid as long as the reader's chunk. */
  bytes: Buffer = NO_BYTES;
  start = 0;
  end = 0;
  /** Of the frame that was added last, without padding and priority. */
  fragmentLength = 0;

  readonly #limits: Limits;
  #parts: Buffer[] = [];
  #byteLength = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Of the beginning of a block that is not whole. */
  get heldBytes(): number {
    return this.openStreamId === 0 ? 0 : this.#byteLength;
  }

  /** The HEADERS frame that the reader stands at. */
  begin(frame: FrameReader): BlockOutcome {
    let { start, end } = frame;
    let padding = 0;
    if ((frame.flags & FLAG_PADDED) !== 0) {
      if (start === end) return BLOCK_MALFORMED;
      padding = frame.bytes[start++] as number;
    }
    if ((frame.flags & FLAG_PRIORITY) !== 0) {
      if (end - start < PRIORITY_BYTES) return BLOCK_MALFORMED;
      // Priorities are ignored, but nobody who is sane makes a stream depend on itself (RFC 7540 5.3.1).
      if (readUint31(frame.bytes, start) === frame.streamId) return BLOCK_MALFORMED;
      start += PRIORITY_BYTES;
    }
    end -= padding;
    if (end < start) return BLOCK_MALFORMED;
    this.isEndStream = (frame.flags & FLAG_END_STREAM) !== 0;
    this.fragmentLength = end - start;
    if (this.fragmentLength > this.#limits.h2HeaderBlockBytesMax) return BLOCK_TOO_LARGE;
    if ((frame.flags & FLAG_END_HEADERS) !== 0) {
      this.bytes = frame.bytes;
      this.start = start;
      this.end = end;
      return BLOCK_DONE;
    }
    this.openStreamId = frame.streamId;
    this.#parts = [Buffer.from(frame.bytes.subarray(start, end))];
    this.#byteLength = this.fragmentLength;
    return BLOCK_MORE;
  }

  /** The CONTINUATION frame that the reader stands at, of the stream that is open here. */
  add(frame: FrameReader): BlockOutcome {
    const length = frame.end - frame.start;
    this.fragmentLength = length;
    this.#byteLength += length;
    const isTooLarge =
      this.#byteLength > this.#limits.h2HeaderBlockBytesMax ||
      this.#parts.length > this.#limits.h2ContinuationCountMax;
    if (isTooLarge) return BLOCK_TOO_LARGE;
    this.#parts.push(Buffer.from(frame.bytes.subarray(frame.start, frame.end)));
    if ((frame.flags & FLAG_END_HEADERS) === 0) return BLOCK_MORE;
    this.bytes = Buffer.concat(this.#parts);
    this.start = 0;
    this.end = this.#byteLength;
    this.#parts = [];
    this.openStreamId = 0;
    return BLOCK_DONE;
  }
}
