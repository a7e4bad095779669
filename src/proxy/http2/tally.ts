/**
 * hot path
 *
 * The streams of one downstream connection in numbers: opened, open now, ended before their time and by
 * whom. Told once a turn, not once a stream; what is told of a connection that is over adds up to 0 open.
 */
import type { Http2Connection } from '../../codec/http2/connection.ts';
import { assert } from '../../model/contract.ts';
import type { Recorder } from '../../model/record.ts';
import type { ResetBy, ResetCause } from '../../model/stream_reset.ts';
import type { Http2Exchange } from './exchange.ts';

export class Http2Tally {
  readonly #recorder: Recorder;
  readonly #listener: string;
  readonly #connection: Http2Connection<Http2Exchange>;
  #openedCount = 0;
  #closedCount = 0;
  #refusedCount = 0;
  #isOver = false;

  constructor(
    connection: Http2Connection<Http2Exchange>,
    options: { readonly recorder: Recorder; readonly listener: string },
  ) {
    this.#connection = connection;
    this.#recorder = options.recorder;
    this.#listener = options.listener;
  }

  /** Whoever ended it first, on either side. */
  reset(exchange: Http2Exchange, by: ResetBy, cause: ResetCause): void {
    if (exchange.isReset) return;
    exchange.isReset = true;
    this.#recorder.events.streamsReset(by, cause, 1);
  }

  /** Of a stream whose head was no request. */
  resetWithoutHead(cause: ResetCause): void {
    this.#recorder.events.streamsReset('proxy', cause, 1);
  }

  turnEnded(): void {
    const { openedCount, streamCount, refusedCount } = this.#connection;
    this.#tell(openedCount, openedCount - streamCount);
    if (refusedCount === this.#refusedCount) return;
    const count = refusedCount - this.#refusedCount;
    this.#refusedCount = refusedCount;
    this.#recorder.events.streamsReset('proxy', 'stream-refused', count);
  }

  /** Nothing of it is open any more, whatever the connection says. To be called once. */
  over(): void {
    assert(!this.#isOver, 'a connection is over once');
    this.#isOver = true;
    this.turnEnded();
    this.#tell(this.#openedCount, this.#openedCount);
  }

  #tell(openedCount: number, closedCount: number): void {
    if (openedCount !== this.#openedCount) {
      this.#recorder.events.streamsOpened(this.#listener, openedCount - this.#openedCount);
      this.#openedCount = openedCount;
    }
    if (closedCount === this.#closedCount) return;
    this.#recorder.events.streamsClosed(this.#listener, closedCount - this.#closedCount);
    this.#closedCount = closedCount;
  }
}
