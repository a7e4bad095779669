/**
 * hot path
 *
 * What one side of a connection sends, within the windows that the peer gives (RFC 9113 6.9). Content
 * that no window takes waits on its stream, in order, with its trailers and its end behind it; the
 * caller bounds what waits by crediting the other side only for what has left.
 */
import { ERROR_CODES, FRAME_BYTES_MAX, UINT31_MAX, WINDOW_BYTES_DEFAULT } from './frame.ts';
import type { DataBounds, FieldSource, FrameWriter } from './frame_writer.ts';
import { SendQueue } from './send_queue.ts';
import { PeerSettings } from './settings.ts';
import type { Http2Stream } from './stream.ts';

/** Turns that are over and may stand before the line, so that it is not made anew for each. */
const LINE_SLACK = 64;

export class SendSide<Context> {
  readonly peer = new PeerSettings();
  readonly writer: FrameWriter;
  /** DATA frames sent so far. */
  dataFrameCount = 0;
  /** After `flush`: content bytes that left its stream. */
  flushedBytes = 0;
  /** Content that waits, of all streams. */
  waitingBytes = 0;
  #window = WINDOW_BYTES_DEFAULT;
  /**
   * Streams with something that waits and a window of their own, each once, whose turn is longest ago first. Those
   * whose own window is used up are not here: however many they are, they cost the others nothing. No Set, as
   * StreamTable is no Map.
   */
  #line: Http2Stream<Context>[] = [];
  #lineAt = 0;

  constructor(writer: FrameWriter) {
    this.writer = writer;
  }

  get window(): number {
    return this.#window;
  }

  get hasTurns(): boolean {
    return this.#window > 0 && this.#lineAt < this.#line.length;
  }

  /** Content bytes that left now; the others wait (as does the end, if they do). */
  sendData(stream: Http2Stream<Context>, content: Buffer, bounds: DataBounds): number {
    const length = bounds.end - bounds.start;
    // Nothing goes out on a stream that is over: the caller may forget it, its bytes are gone.
    if (stream.isClosed || stream.isLocalEnded || stream.isEndWaiting) return length;
    if (stream.isWaiting) {
      this.#wait(stream, content, bounds);
      return 0;
    }
    const left = this.#leave(stream, content, bounds);
    if (left < length) this.#wait(stream, content, { ...bounds, start: bounds.start + left });
    return left;
  }

  /** A head or trailers. Trailers wait for content that waits. */
  sendHeaders(stream: Http2Stream<Context>, source: FieldSource, isEndStream: boolean): void {
    if (stream.isClosed || stream.isLocalEnded || stream.isEndWaiting) return;
    if (stream.isWaiting && isEndStream) {
      stream.waitingTrailers = copyOf(source);
      stream.isEndWaiting = true;
      return;
    }
    this.writer.writeHeaders(stream.id, source, isEndStream);
    if (isEndStream) stream.isLocalEnded = true;
  }

  /** The same of a header block that means the same to anyone; false when it must wait. */
  sendBlock(stream: Http2Stream<Context>, block: Buffer, bounds: DataBounds): boolean {
    if (stream.isClosed || stream.isLocalEnded || stream.isEndWaiting) return true;
    if (stream.isWaiting) return false;
    this.writer.writeBlock(stream.id, block, bounds);
    if (bounds.isEndStream) stream.isLocalEnded = true;
    return true;
  }

  forget(stream: Http2Stream<Context>): void {
    if (!stream.isWaiting) return;
    this.#leaveLine(stream);
    this.waitingBytes -= stream.waitingBytes;
    stream.dropWaiting();
  }

  /** WINDOW_UPDATE of the connection; false when the window overflows (6.9.1). */
  widenConnection(increment: number): boolean {
    if (this.#window + increment > UINT31_MAX) return false;
    this.#window += increment;
    return true;
  }

  /** WINDOW_UPDATE of a stream; false when the window overflows. */
  widenStream(stream: Http2Stream<Context>, increment: number): boolean {
    if (stream.sendWindow + increment > UINT31_MAX) return false;
    stream.sendWindow += increment;
    this.#enterLine(stream);
    return true;
  }

  /** SETTINGS of the peer: NO_ERROR or the code of the connection error. */
  applySettings(
    payload: {
      readonly bytes: Buffer;
      readonly start: number;
      readonly end: number;
      readonly isFromServer: boolean;
    },
    streams: Iterable<Http2Stream<Context>>,
  ): number {
    const { initialWindow, headerTableBytes } = this.peer;
    const code = this.peer.apply(payload);
    if (code !== ERROR_CODES.NO_ERROR) return code;
    // RFC 7541 4.2: a smaller table is acknowledged in the next block; with 0 once and for all.
    if (this.peer.headerTableBytes < headerTableBytes) this.writer.announceTableSizeZero();
    const change = this.peer.initialWindow - initialWindow;
    if (change === 0) return code;
    for (const stream of streams) {
      if (stream.sendWindow + change > UINT31_MAX) return ERROR_CODES.FLOW_CONTROL_ERROR;
      stream.sendWindow += change;
      this.#enterLine(stream);
    }
    return code;
  }

  /**
   * Gives the next stream whose turn it is and that could send something of what waits, null when
   * there is none now. Each turn is at most as much content as one frame holds, so that no stream starves others.
   */
  flush(): Http2Stream<Context> | null {
    while (this.hasTurns) {
      const stream = this.#line[this.#lineAt++] as Http2Stream<Context>;
      stream.isInLine = false;
      const left = this.#flushOne(stream);
      this.#enterLine(stream);
      if (left === 0) continue;
      this.flushedBytes = left;
      return stream;
    }
    if (this.#lineAt === this.#line.length) this.#shorten();
    return null;
  }

  #enterLine(stream: Http2Stream<Context>): void {
    if (!stream.isWaiting || stream.isInLine || stream.sendWindow <= 0) return;
    if (this.#lineAt >= LINE_SLACK && this.#lineAt * 2 >= this.#line.length) this.#shorten();
    stream.isInLine = true;
    this.#line.push(stream);
  }

  #leaveLine(stream: Http2Stream<Context>): void {
    if (!stream.isInLine) return;
    stream.isInLine = false;
    this.#line.splice(this.#line.indexOf(stream, this.#lineAt), 1);
  }

  /** Forgets those whose turn is over. */
  #shorten(): void {
    if (this.#lineAt === 0) return;
    this.#line = this.#line.slice(this.#lineAt);
    this.#lineAt = 0;
  }

  /** How many bytes left. */
  #flushOne(stream: Http2Stream<Context>): number {
    let left = 0;
    while (left < FRAME_BYTES_MAX && stream.queue !== null) {
      const { queue } = stream;
      const head = queue.head();
      if (head === null) break;
      const end = Math.min(head.end, head.start + FRAME_BYTES_MAX - left);
      const isLast = end - head.start === queue.byteLength;
      const isEndStream = isLast && stream.isEndWaiting && stream.waitingTrailers === null;
      const count = this.#leave(stream, head.bytes, { start: head.start, end, isEndStream });
      if (count === 0) break;
      left += count;
      queue.drop(count);
      this.waitingBytes -= count;
      if (queue.byteLength === 0) this.#finishWaiting(stream);
    }
    return left;
  }

  /** All content has left: what stood behind it follows. */
  #finishWaiting(stream: Http2Stream<Context>): void {
    const trailers = stream.waitingTrailers;
    if (trailers !== null) {
      this.writer.writeHeaders(stream.id, trailers, true);
      stream.isLocalEnded = true;
    }
    stream.dropWaiting();
  }

  /** Sends what the windows take; the end goes with the last byte. */
  #leave(stream: Http2Stream<Context>, content: Buffer, bounds: DataBounds): number {
    const length = bounds.end - bounds.start;
    if (length === 0) {
      // Nothing to say, unless it ends: an empty frame would be noise for the peer.
      if (bounds.isEndStream) this.#write(stream, content, bounds);
      return 0;
    }
    let left = 0;
    while (left < length) {
      const allowed = Math.min(this.#window, stream.sendWindow, FRAME_BYTES_MAX, length - left);
      if (allowed <= 0) break;
      const start = bounds.start + left;
      left += allowed;
      const isEndStream = bounds.isEndStream && left === length;
      this.#write(stream, content, { start, end: start + allowed, isEndStream });
    }
    return left;
  }

  #write(stream: Http2Stream<Context>, content: Buffer, bounds: DataBounds): void {
    const length = bounds.end - bounds.start;
    this.#window -= length;
    stream.sendWindow -= length;
    this.dataFrameCount++;
    this.writer.writeData(stream.id, content, bounds);
    if (bounds.isEndStream) stream.isLocalEnded = true;
  }

  #wait(stream: Http2Stream<Context>, content: Buffer, bounds: DataBounds): void {
    stream.queue ??= new SendQueue();
    stream.queue.append(content, bounds.start, bounds.end);
    this.waitingBytes += bounds.end - bounds.start;
    if (bounds.isEndStream) stream.isEndWaiting = true;
    this.#enterLine(stream);
  }
}

/** What was read is read over by the next block. */
function copyOf({ fields, kinds, from }: FieldSource): FieldSource {
  return {
    fields: fields.slice(from),
    kinds: kinds === null ? null : kinds.slice(from >> 1),
    from: 0,
  };
}
