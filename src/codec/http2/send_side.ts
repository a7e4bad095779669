/**
 * What one side of a connection sends, within the windows that the peer gives (RFC 9113 6.9). Content
 * that no window takes waits on its stream, in order, with its trailers and its end behind it; the
 * caller bounds what waits by crediting the other side only for what has left.
 */
import { ERROR_CODES, FRAME_BYTES_MAX, UINT31_MAX, WINDOW_BYTES_DEFAULT } from './frame.ts';
import type { DataBounds, FieldSource, FrameWriter } from './frame_writer.ts';
import { SendQueue } from './send_queue.ts';
import { PeerSettings } from './settings.ts';
import type { Http2Stream } from './stream.ts';

export class SendSide<Context> {
  readonly peer = new PeerSettings();
  readonly writer: FrameWriter;
  /** DATA frames sent so far. */
  dataFrameCount = 0;
  /** After `flush`: content bytes that left its stream. */
  flushedBytes = 0;
  #window = WINDOW_BYTES_DEFAULT;
  /** Streams with something that waits, whose turn is longest ago first. No Set, as StreamTable is no Map. */
  readonly #waiting: Http2Stream<Context>[] = [];
  /** Streams to try since a window was opened; each leaves one frame a turn. */
  #turns: Http2Stream<Context>[] = [];
  #turnAt = 0;

  constructor(writer: FrameWriter) {
    this.writer = writer;
  }

  get window(): number {
    return this.#window;
  }

  get hasTurns(): boolean {
    return this.#turnAt < this.#turns.length;
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
    if (stream.isWaiting) this.#stopWaiting(stream);
    stream.dropWaiting();
  }

  /** WINDOW_UPDATE of the connection; false when the window overflows (6.9.1). */
  widenConnection(increment: number): boolean {
    if (this.#window + increment > UINT31_MAX) return false;
    this.#window += increment;
    if (this.#waiting.length > 0) this.#giveTurns(this.#waiting);
    return true;
  }

  /** WINDOW_UPDATE of a stream; false when the window overflows. */
  widenStream(stream: Http2Stream<Context>, increment: number): boolean {
    if (stream.sendWindow + increment > UINT31_MAX) return false;
    stream.sendWindow += increment;
    if (stream.isWaiting) this.#giveTurns([stream]);
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
    }
    if (change > 0 && this.#waiting.length > 0) this.#giveTurns(this.#waiting);
    return code;
  }

  /**
   * Gives the next stream whose turn it is and that could send something of what waits, null when
   * there is none now. Each turn is at most one frame of content, so that no stream starves others.
   */
  flush(): Http2Stream<Context> | null {
    while (this.hasTurns) {
      const stream = this.#turns[this.#turnAt++] as Http2Stream<Context>;
      if (!stream.isWaiting || !this.#flushOne(stream)) continue;
      if (stream.isWaiting && this.#canSend(stream)) this.#turns.push(stream);
      return stream;
    }
    this.#turns = [];
    this.#turnAt = 0;
    return null;
  }

  #giveTurns(streams: Iterable<Http2Stream<Context>>): void {
    this.#turns = [...this.#turns.slice(this.#turnAt), ...streams];
    this.#turnAt = 0;
  }

  #canSend(stream: Http2Stream<Context>): boolean {
    return this.#window > 0 && stream.sendWindow > 0;
  }

  /** False when no window let anything leave. */
  #flushOne(stream: Http2Stream<Context>): boolean {
    const { queue } = stream;
    const head = queue === null ? null : queue.head();
    if (queue === null || head === null) return false;
    const end = Math.min(head.end, head.start + FRAME_BYTES_MAX);
    const isLast = end - head.start === queue.byteLength;
    const isEndStream = isLast && stream.isEndWaiting && stream.waitingTrailers === null;
    const left = this.#leave(stream, head.bytes, { start: head.start, end, isEndStream });
    this.flushedBytes = left;
    if (left === 0) return false;
    queue.drop(left);
    this.#stopWaiting(stream);
    if (queue.byteLength === 0) this.#finishWaiting(stream);
    else this.#waiting.push(stream);
    return true;
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
    if (!stream.isWaiting) this.#waiting.push(stream);
    stream.queue ??= new SendQueue();
    stream.queue.append(content, bounds.start, bounds.end);
    if (bounds.isEndStream) stream.isEndWaiting = true;
  }

  #stopWaiting(stream: Http2Stream<Context>): void {
    const at = this.#waiting.indexOf(stream);
    if (at >= 0) this.#waiting.splice(at, 1);
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
