/**
 * hot path
 *
 * Frames → bytes. Everything that a connection has to send since it was last asked is gathered
 * here, in order, in as few buffers as possible: small frames side by side in a slab, large DATA
 * content by reference. `take` gives it all for one write.
 */
import {
  CLIENT_PREFACE,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_BYTES_MAX,
  FRAME_CONTINUATION,
  FRAME_DATA,
  FRAME_GOAWAY,
  FRAME_HEADER_BYTES,
  FRAME_HEADERS,
  FRAME_PING,
  FRAME_RST_STREAM,
  FRAME_SETTINGS,
  FRAME_WINDOW_UPDATE,
} from './frame.ts';
import { encodedLengthMax, encodeFields, SIZE_UPDATE_TO_ZERO } from './hpack_encoder.ts';
import type { Slab, SlabPool } from './slab_pool.ts';

/** Content up to here is copied next to its frame header; above, one more buffer is cheaper. */
const COPY_BYTES_MAX = 2048;

/** Fields to encode: from array index `from` on; `kinds` (by field) or null. */
export interface FieldSource {
  readonly fields: readonly string[];
  readonly kinds: readonly number[] | null;
  readonly from: number;
}

const EMPTY_SLAB: Slab = { buffer: Buffer.alloc(0), used: 0 };
const NOTHING: readonly Buffer[] = Object.freeze([]);

export class FrameWriter {
  /** Bytes not taken yet. */
  byteLength = 0;
  /** Frames not known to be written: what a peer makes us queue by not reading. */
  frameCount = 0;
  /** Of these, content: who sends it decides in how many frames, so it is not held against the peer. */
  contentFrameCount = 0;
  /** Of these, answers that cost the peer next to nothing to ask for. */
  controlFrameCount = 0;

  readonly #pool: SlabPool;
  #slab: Slab = EMPTY_SLAB;
  /** Where the region of the slab that is not in `#chunks` yet begins. */
  #regionStart = 0;
  #chunks: Buffer[] = [];
  #isSizeUpdatePending = false;
  /** By `take` that is not written yet, oldest first: frames, those of content, control frames. */
  readonly #batches: number[] = [];
  #batchHead = 0;
  #batchTail = 0;
  #takenFrameCount = 0;
  #takenContentFrameCount = 0;
  #takenControlFrameCount = 0;

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** All bytes written since the last call, in order; the caller writes them to the socket. */
  take(): readonly Buffer[] {
    if (this.byteLength === 0) return NOTHING;
    this.#closeRegion();
    if (this.#batchHead === this.#batchTail) this.#batchHead = this.#batchTail = 0;
    this.#batches[this.#batchTail++] = this.frameCount - this.#takenFrameCount;
    this.#batches[this.#batchTail++] = this.contentFrameCount - this.#takenContentFrameCount;
    this.#batches[this.#batchTail++] = this.controlFrameCount - this.#takenControlFrameCount;
    this.#takenFrameCount = this.frameCount;
    this.#takenContentFrameCount = this.contentFrameCount;
    this.#takenControlFrameCount = this.controlFrameCount;
    const taken = this.#chunks;
    this.#chunks = [];
    this.byteLength = 0;
    if (this.#slab !== EMPTY_SLAB) this.#pool.giveBack(this.#slab);
    this.#slab = EMPTY_SLAB;
    this.#regionStart = 0;
    return taken;
  }

  /** What the oldest `take` gave, of those not told yet, is written. */
  written(): void {
    if (this.#batchHead === this.#batchTail) return;
    const frames = this.#batches[this.#batchHead] as number;
    const contentFrames = this.#batches[this.#batchHead + 1] as number;
    const controlFrames = this.#batches[this.#batchHead + 2] as number;
    this.#batchHead += 3;
    this.frameCount -= frames;
    this.#takenFrameCount -= frames;
    this.contentFrameCount -= contentFrames;
    this.#takenContentFrameCount -= contentFrames;
    this.controlFrameCount -= controlFrames;
    this.#takenControlFrameCount -= controlFrames;
  }

  /** All that was taken is written. */
  allWritten(): void {
    this.#batchHead = this.#batchTail;
    this.frameCount -= this.#takenFrameCount;
    this.contentFrameCount -= this.#takenContentFrameCount;
    this.controlFrameCount -= this.#takenControlFrameCount;
    this.#takenFrameCount = 0;
    this.#takenContentFrameCount = 0;
    this.#takenControlFrameCount = 0;
  }

  /** RFC 7541 4.2: the next header block must begin with a size update. */
  announceTableSizeZero(): void {
    this.#isSizeUpdatePending = true;
  }

  writePreface(): void {
    const at = this.#reserve(CLIENT_PREFACE.length);
    CLIENT_PREFACE.copy(this.#slab.buffer, at);
  }

  /** Flat [identifier, value, ...]. */
  writeSettings(settings: readonly number[]): void {
    const length = settings.length * 3;
    let at = this.#frame(length, FRAME_SETTINGS, 0, 0);
    const buffer = this.#slab.buffer;
    for (let i = 0; i + 1 < settings.length; i += 2) {
      buffer.writeUInt16BE(settings[i] as number, at);
      buffer.writeUInt32BE(settings[i + 1] as number, at + 2);
      at += 6;
    }
  }

  writeSettingsAck(): void {
    this.#frame(0, FRAME_SETTINGS, FLAG_ACK, 0);
    this.controlFrameCount++;
  }

  /** The eight bytes of `opaque` at `start`. */
  writePing(flags: number, opaque: Buffer, start: number): void {
    const at = this.#frame(8, FRAME_PING, flags, 0);
    opaque.copy(this.#slab.buffer, at, start, start + 8);
    this.controlFrameCount++;
  }

  writeReset(streamId: number, errorCode: number): void {
    const at = this.#frame(4, FRAME_RST_STREAM, 0, streamId);
    this.#slab.buffer.writeUInt32BE(errorCode, at);
    this.controlFrameCount++;
  }

  writeGoAway(lastStreamId: number, errorCode: number): void {
    const at = this.#frame(8, FRAME_GOAWAY, 0, 0);
    this.#slab.buffer.writeUInt32BE(lastStreamId, at);
    this.#slab.buffer.writeUInt32BE(errorCode, at + 4);
  }

  writeWindowUpdate(streamId: number, increment: number): void {
    const at = this.#frame(4, FRAME_WINDOW_UPDATE, 0, streamId);
    this.#slab.buffer.writeUInt32BE(increment, at);
  }

  /** At most FRAME_BYTES_MAX bytes of content; large content is kept by reference. */
  writeData(streamId: number, content: Buffer, bounds: DataBounds): void {
    const length = bounds.end - bounds.start;
    const flags = bounds.isEndStream ? FLAG_END_STREAM : 0;
    if (length <= COPY_BYTES_MAX) {
      const at = this.#reserve(FRAME_HEADER_BYTES + length);
      this.#putHeader(at, length, FRAME_DATA, flags, streamId);
      copyBytes(content, bounds, this.#slab.buffer, at + FRAME_HEADER_BYTES);
    } else {
      const at = this.#reserve(FRAME_HEADER_BYTES);
      this.#putHeader(at, length, FRAME_DATA, flags, streamId);
      this.#closeRegion();
      this.#chunks.push(content.subarray(bounds.start, bounds.end));
      this.byteLength += length;
    }
    this.frameCount++;
    this.contentFrameCount++;
  }

  /** A head or trailers, encoded; in CONTINUATION frames too when it is larger than one frame. */
  writeHeaders(streamId: number, source: FieldSource, isEndStream: boolean): void {
    const lengthMax = encodedLengthMax(source.fields, source.from) + 1;
    const at = this.#open(FRAME_HEADER_BYTES + lengthMax);
    const buffer = this.#slab.buffer;
    const blockStart = at + FRAME_HEADER_BYTES;
    const blockEnd = encodeFields(buffer, this.#putSizeUpdate(blockStart), source);
    const length = blockEnd - blockStart;
    if (length > FRAME_BYTES_MAX) {
      const block = Buffer.from(buffer.subarray(blockStart, blockEnd));
      this.#writeLongBlock(streamId, block, isEndStream);
      return;
    }
    const flags = FLAG_END_HEADERS | (isEndStream ? FLAG_END_STREAM : 0);
    this.#putHeader(at, length, FRAME_HEADERS, flags, streamId);
    this.#slab.used = blockEnd;
    this.byteLength += FRAME_HEADER_BYTES + length;
    this.frameCount++;
  }

  /** The same from a header block that is already encoded and means the same to anyone. */
  writeBlock(streamId: number, block: Buffer, bounds: DataBounds): void {
    const rawLength = bounds.end - bounds.start;
    if (rawLength + 1 > FRAME_BYTES_MAX) {
      const copy = Buffer.allocUnsafe(rawLength + 1);
      const start = this.#takeSizeUpdate() ? 1 : 0;
      copy[0] = SIZE_UPDATE_TO_ZERO;
      block.copy(copy, start, bounds.start, bounds.end);
      this.#writeLongBlock(streamId, copy.subarray(0, start + rawLength), bounds.isEndStream);
      return;
    }
    const at = this.#open(FRAME_HEADER_BYTES + 1 + rawLength);
    const blockStart = this.#putSizeUpdate(at + FRAME_HEADER_BYTES);
    copyBytes(block, bounds, this.#slab.buffer, blockStart);
    const length = blockStart + rawLength - at - FRAME_HEADER_BYTES;
    const flags = FLAG_END_HEADERS | (bounds.isEndStream ? FLAG_END_STREAM : 0);
    this.#putHeader(at, length, FRAME_HEADERS, flags, streamId);
    this.#slab.used = at + FRAME_HEADER_BYTES + length;
    this.byteLength += FRAME_HEADER_BYTES + length;
    this.frameCount++;
  }

  #writeLongBlock(streamId: number, block: Buffer, isEndStream: boolean): void {
    for (let start = 0; start < block.length; start += FRAME_BYTES_MAX) {
      const end = Math.min(start + FRAME_BYTES_MAX, block.length);
      const isFirst = start === 0;
      const at = this.#frame(
        end - start,
        isFirst ? FRAME_HEADERS : FRAME_CONTINUATION,
        (isFirst && isEndStream ? FLAG_END_STREAM : 0) |
          (end === block.length ? FLAG_END_HEADERS : 0),
        streamId,
      );
      block.copy(this.#slab.buffer, at, start, end);
    }
  }

  #putSizeUpdate(at: number): number {
    if (!this.#takeSizeUpdate()) return at;
    this.#slab.buffer[at] = SIZE_UPDATE_TO_ZERO;
    return at + 1;
  }

  #takeSizeUpdate(): boolean {
    const isPending = this.#isSizeUpdatePending;
    this.#isSizeUpdatePending = false;
    return isPending;
  }

  /** Writes a frame header and gives the offset of the payload, for which there is room. */
  #frame(length: number, type: number, flags: number, streamId: number): number {
    const at = this.#reserve(FRAME_HEADER_BYTES + length);
    this.#putHeader(at, length, type, flags, streamId);
    this.frameCount++;
    return at + FRAME_HEADER_BYTES;
  }

  #putHeader(at: number, length: number, type: number, flags: number, streamId: number): void {
    const buffer = this.#slab.buffer;
    this.#putLength(at, length);
    buffer[at + 3] = type;
    buffer[at + 4] = flags;
    buffer[at + 5] = streamId >>> 24;
    buffer[at + 6] = streamId >>> 16;
    buffer[at + 7] = streamId >>> 8;
    buffer[at + 8] = streamId;
  }

  #putLength(at: number, length: number): void {
    const buffer = this.#slab.buffer;
    buffer[at] = length >>> 16;
    buffer[at + 1] = length >>> 8;
    buffer[at + 2] = length;
  }

  /** Room for exactly `byteCount` bytes, counted as written. */
  #reserve(byteCount: number): number {
    const at = this.#open(byteCount);
    this.#slab.used = at + byteCount;
    this.byteLength += byteCount;
    return at;
  }

  /** Room for at most `byteCount` bytes; the caller sets `used` and `byteLength`. */
  #open(byteCount: number): number {
    if (this.#slab.buffer.length - this.#slab.used < byteCount) {
      this.#closeRegion();
      if (this.#slab !== EMPTY_SLAB) this.#pool.giveBack(this.#slab);
      this.#slab = this.#pool.take(byteCount);
      this.#regionStart = this.#slab.used;
    }
    return this.#slab.used;
  }

  #closeRegion(): void {
    const { buffer, used } = this.#slab;
    if (used > this.#regionStart) this.#chunks.push(buffer.subarray(this.#regionStart, used));
    this.#regionStart = used;
  }
}

/** Bounds of content or of a block within its buffer, and whether the stream ends with it. */
export interface DataBounds {
  readonly start: number;
  readonly end: number;
  readonly isEndStream: boolean;
}

/** Below this a loop over the bytes is faster than a call into C++. */
const SHORT_COPY_BYTES = 40;

function copyBytes(source: Buffer, bounds: DataBounds, target: Buffer, at: number): void {
  const { start, end } = bounds;
  if (end - start > SHORT_COPY_BYTES) {
    source.copy(target, at, start, end);
    return;
  }
  for (let i = start, to = at; i < end; i++, to++) target[to] = source[i] as number;
}
