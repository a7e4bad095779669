/**
 * One stream (RFC 9113 5.1) and its accounts. What the RFC calls idle is not here yet, what it calls
 * closed is not here any more (closed_streams.ts); between them two flags tell the states:
 *
 *     open                    !isRemoteEnded  !isLocalEnded
 *     half-closed (remote)     isRemoteEnded  !isLocalEnded
 *     half-closed (local)     !isRemoteEnded   isLocalEnded
 */
import { LENGTH_UNKNOWN } from './content_length.ts';
import type { FieldSource } from './frame_writer.ts';
import { ReceiveWindow } from './receive_window.ts';
import type { SendQueue } from './send_queue.ts';

export class Http2Stream<Context> {
  readonly id: number;
  readonly openedMs: number;
  /** The caller's own: what it relays the stream to. */
  context: Context | null = null;
  isRemoteEnded = false;
  isLocalEnded = false;
  isClosed = false;
  /** Its message was malformed: what still comes is dropped until the caller resets it. */
  isFaulty = false;
  /** The head (not an informational one) has been received. */
  hasHead = false;
  /** Of a response: it answers HEAD, so Content-Length counts nothing. */
  isHeadRequest = false;
  informationalCount = 0;
  /** Content that Content-Length still promises, or -1. */
  contentLeft = LENGTH_UNKNOWN;

  readonly receiveWindow: ReceiveWindow;
  /** Content that was handed to the caller and not credited yet. */
  owedBytes = 0;

  /** What the peer lets us send; below zero after its SETTINGS made it smaller. */
  sendWindow: number;
  /** Content that waits for a window; made when first needed. */
  queue: SendQueue | null = null;
  isEndWaiting = false;
  /** For its turn to send of what waits. */
  isInLine = false;
  /** Trailers that follow what waits. */
  waitingTrailers: FieldSource | null = null;

  constructor(
    id: number,
    openedMs: number,
    windows: { readonly receive: number; readonly send: number },
  ) {
    this.id = id;
    this.openedMs = openedMs;
    this.receiveWindow = new ReceiveWindow(windows.receive);
    this.sendWindow = windows.send;
  }

  get isWaiting(): boolean {
    return this.queue !== null;
  }

  get waitingBytes(): number {
    return this.queue === null ? 0 : this.queue.byteLength;
  }

  dropWaiting(): void {
    this.queue = null;
    this.isEndWaiting = false;
    this.waitingTrailers = null;
  }
}
