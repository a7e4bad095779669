/**
 * hot path
 *
 * One HTTP/2 exchange while it lasts: the stream on our downstream side, the one on the upstream side
 * once it is open, and what waits in between. Plain state; `relay.ts` owns the control flow.
 *
 *     judged ──allow──► held (in order) ──► open upstream ──► response ──► over
 *        └─ deny ──► answered here, over
 */

import type { Http2Connection } from '../../codec/http2/connection.ts';
import type { FieldSource } from '../../codec/http2/frame_writer.ts';
import type { Http2RequestHead } from '../../codec/http2/request_head.ts';
import type { SendQueue } from '../../codec/http2/send_queue.ts';
import type { Http2Stream } from '../../codec/http2/stream.ts';
import { keptTrailers } from '../../codec/http2/trailers.ts';
import type { Permit } from '../../model/permit.ts';
import type { TrailerRule } from '../../model/trailer_fields.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { ContentPace } from '../plane/content_pace.ts';
import type { RequestLife } from '../request/request_life.ts';

export class Http2Exchange {
  readonly head: Http2RequestHead;
  readonly life: RequestLife;
  readonly downstream: Http2Stream<Http2Exchange>;
  /** Null until the stream is opened there. */
  upstream: Http2Stream<Http2Exchange> | null = null;
  /** That of the stream `upstream`. */
  connection: Http2Connection<Http2Exchange> | null = null;
  permit: Permit | null = null;
  /** By which it was judged last. */
  snapshot: PolicySnapshot | null = null;
  source: FieldSource | null = null;
  /** Content that came before the upstream stream was open: bounded by the window that we gave. */
  held: SendQueue | null = null;
  heldTrailers: FieldSource | null = null;
  /** Null: rules changed nothing in the head, so nothing more is to be left out of the trailers. */
  trailerRule: TrailerRule | null = null;
  isRequestEnded: boolean;
  isResponseStarted = false;
  /** All of it is here, though some may wait for the client's window. */
  isResponseEnded = false;
  /** On either side; it is counted once. */
  isReset = false;
  lastMoveMs: number;
  /** Null: nothing of its content is to come, or it may take its time. */
  readonly pace: ContentPace | null;
  /** The client waits for 100 (Continue), or was told something like it. */
  isContinueAwaited: boolean;

  /** Its content is owed, and nobody else may be the one who is waited for. */
  get isClientsTurn(): boolean {
    if (this.isRequestEnded || this.isResponseStarted || this.isContinueAwaited) return false;
    return this.held === null && this.upstream?.isWaiting !== true;
  }

  /** Content of it that waits for either side. */
  get heldBytes(): number {
    const held = this.held === null ? 0 : this.held.byteLength;
    const upstream = this.upstream === null ? 0 : this.upstream.waitingBytes;
    return held + upstream + this.downstream.waitingBytes;
  }

  /** What goes upstream of its trailers. */
  sentTrailers(source: FieldSource): FieldSource {
    return this.trailerRule === null ? source : keptTrailers(source, this.trailerRule);
  }

  constructor(
    head: Http2RequestHead,
    life: RequestLife,
    options: {
      readonly stream: Http2Stream<Http2Exchange>;
      readonly isEndStream: boolean;
      readonly nowMs: number;
    },
  ) {
    this.head = head;
    this.life = life;
    this.downstream = options.stream;
    this.isRequestEnded = options.isEndStream;
    this.lastMoveMs = options.nowMs;
    this.isContinueAwaited = head.expectsContinue;
    this.pace = options.isEndStream || head.isGrpc ? null : new ContentPace(options.nowMs);
  }
}
