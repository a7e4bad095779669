/**
 * The timed part: requests through the proxy and directly to the origin by turns, A B B A in each round,
 * so that what else the machine does meets both alike. So many requests are under way at once as there
 * are connections; the next one begins when one has ended.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Dispatcher } from 'undici';
import { REQUEST_TIMEOUT_MS, WARM_UP_MS_MAX } from './bounds.ts';
import type { CheckedRequest, Mismatches, Pools } from './check.ts';
import { dispatchOptions, grpcStatusOf } from './client.ts';
import { type ProcessUse, processUse } from './cpu.ts';
import { mismatchOf } from './status.ts';

export interface LoadOrder {
  readonly requests: readonly CheckedRequest[];
  readonly pools: Pools;
  readonly connectionCount: number;
  readonly seconds: number;
  readonly roundCount: number;
  readonly workerPids: readonly number[];
  readonly mismatches: Mismatches;
  readonly isStopped: () => boolean;
  readonly progress: (text: string) => void;
}

export interface Percentiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Side {
  readonly requestCount: number;
  readonly seconds: number;
  /** Null when there were none. */
  readonly allowed: Percentiles | null;
  readonly denied: Percentiles | null;
}

export interface Round {
  /** Null when no request is allowed: only those are sent directly. */
  readonly direct: Side | null;
  readonly proxied: Side;
  /** Of the worker, in the proxied turns; null where it cannot be told. */
  readonly cpu: Pick<ProcessUse, 'userUs' | 'kernelUs'> | null;
}

export async function runRounds(order: LoadOrder): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  const warmUpMs = Math.min(WARM_UP_MS_MAX, order.seconds * 500);
  order.progress('warming up');
  await runRound(order, warmUpMs);
  for (let number = 1; number <= order.roundCount && !order.isStopped(); number++) {
    order.progress(`round ${number} of ${order.roundCount}`);
    rounds.push(await runRound(order, order.seconds * 1000));
  }
  return rounds;
}

/** `ms` for each side, in two turns of half of it. */
async function runRound(order: LoadOrder, ms: number): Promise<Round> {
  const allowed = order.requests.filter(isAllowed);
  const proxied = new SideRecord();
  const direct = allowed.length === 0 ? null : new SideRecord();
  const cpu = { userUs: 0, kernelUs: 0 };
  let isCpuKnown = true;
  const ask = (record: SideRecord | null, isDirect: boolean): Promise<void> => {
    if (record === null) return Promise.resolve();
    const requests = isDirect ? allowed : order.requests;
    return new Turn({ order, requests, record, isDirect, ms: ms / 2 }).run();
  };
  const askThrough = async (): Promise<void> => {
    const before = processUse(order.workerPids);
    await ask(proxied, false);
    const after = processUse(order.workerPids);
    if (before === null || after === null) {
      isCpuKnown = false;
      return;
    }
    cpu.userUs += after.userUs - before.userUs;
    cpu.kernelUs += after.kernelUs - before.kernelUs;
  };
  await ask(direct, true);
  await askThrough();
  await askThrough();
  await ask(direct, true);
  return {
    direct: direct?.side() ?? null,
    proxied: proxied.side(),
    cpu: isCpuKnown ? cpu : null,
  };
}

function isAllowed({ request }: CheckedRequest): boolean {
  return request.expected.kind === 'forwarded';
}

class SideRecord {
  readonly #allowed = latencyHistogram();
  readonly #denied = latencyHistogram();
  requestCount = 0;
  elapsedMs = 0;

  add(isAllowedRequest: boolean, ms: number): void {
    this.requestCount++;
    const histogram = isAllowedRequest ? this.#allowed : this.#denied;
    histogram.record(Math.max(1, Math.round(ms * NS_PER_MS)));
  }

  side(): Side {
    return {
      requestCount: this.requestCount,
      seconds: this.elapsedMs / 1000,
      allowed: percentilesOf(this.#allowed),
      denied: percentilesOf(this.#denied),
    };
  }
}

const NS_PER_MS = 1e6;

function latencyHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: 4 * REQUEST_TIMEOUT_MS * NS_PER_MS, figures: 3 });
}

function percentilesOf(histogram: RecordableHistogram): Percentiles | null {
  if (histogram.count === 0) return null;
  return {
    p50Ms: histogram.percentile(50) / NS_PER_MS,
    p99Ms: histogram.percentile(99) / NS_PER_MS,
  };
}

const NO_DIRECT_ANSWER = 'asked directly, the origin did not answer';

interface TurnParts {
  readonly order: LoadOrder;
  readonly requests: readonly CheckedRequest[];
  readonly record: SideRecord;
  readonly isDirect: boolean;
  readonly ms: number;
}

class Turn {
  readonly #parts: TurnParts;
  readonly #options: readonly Dispatcher.DispatchOptions[];
  #next = 0;
  #endMs = 0;

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.#options = parts.requests.map(({ request }) => dispatchOptions(request));
  }

  async run(): Promise<void> {
    const { order, record, ms } = this.#parts;
    const startedMs = performance.now();
    this.#endMs = startedMs + ms;
    await Promise.all(
      Array.from({ length: order.connectionCount }, () => new Asker(this).untilEnd()),
    );
    record.elapsedMs += performance.now() - startedMs;
  }

  get isOver(): boolean {
    return performance.now() >= this.#endMs || this.#parts.order.isStopped();
  }

  /** The requests in their order, over and over. */
  begin(handler: Asker): number {
    const index = this.#next;
    this.#next = (index + 1) % this.#options.length;
    const { pools } = this.#parts.order;
    const { request } = this.#parts.requests[index] as CheckedRequest;
    const pool = this.#parts.isDirect ? pools.origin : pools.groups[request.group];
    pool?.dispatch(this.#options[index] as Dispatcher.DispatchOptions, handler);
    return index;
  }

  end(index: number, seen: { status: number; grpcStatus: string }, ms: number): void {
    const { record, order, isDirect } = this.#parts;
    const checked = this.#parts.requests[index] as CheckedRequest;
    const { request, origin } = checked;
    record.add(isAllowed(checked), ms);
    // The turn was cut short, and with it its requests.
    if (order.isStopped()) return;
    if (isDirect) {
      if (seen.status === 0) order.mismatches.add(request.judged.place, NO_DIRECT_ANSWER);
      return;
    }
    const mismatch = mismatchOf(request.expected, seen, origin);
    if (mismatch !== null) order.mismatches.add(request.judged.place, mismatch);
  }
}

/** One request after the other; its callbacks are those of undici. */
class Asker implements Dispatcher.DispatchHandler {
  readonly #turn: Turn;
  #resolve: () => void = () => {};
  #index = 0;
  #startedMs = 0;
  #status = 0;
  #grpcStatus = '';

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  untilEnd(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#ask();
    });
  }

  #ask(): void {
    if (this.#turn.isOver) {
      this.#resolve();
      return;
    }
    this.#status = 0;
    this.#grpcStatus = '';
    this.#startedMs = performance.now();
    this.#index = this.#turn.begin(this);
  }

  onRequestStart(): void {}

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Parameters<typeof grpcStatusOf>[0],
  ): void {
    this.#status = status;
    this.#grpcStatus = grpcStatusOf(headers);
  }

  onResponseData(): void {}

  onResponseEnd(): void {
    this.#end();
    // Not before undici knows that the connection is free.
    queueMicrotask(() => this.#ask());
  }

  onResponseError(): void {
    this.#status = 0;
    // An error may come while the request is begun: then its number is not known yet.
    setImmediate(() => {
      this.#end();
      this.#ask();
    });
  }

  #end(): void {
    const seen = { status: this.#status, grpcStatus: this.#grpcStatus };
    this.#turn.end(this.#index, seen, performance.now() - this.#startedMs);
  }
}
