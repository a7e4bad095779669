/**
 * Writes to an API server, one after the other and not too many: a bounded rate, each thing once, and back-off when it
 * says that it has enough. What is to be written is asked for when its turn has come. One that fails goes to the end:
 * an API server may have a fault with one object alone, such as one that has no room for a status (etcd's bound). After
 * some tries it is given up. Those without a fault go first, so many such objects of one tenant do not hold up others.
 */
import type { KubeClient, KubeReply, KubeRequest } from '../../kube/client.ts';
import type { Timers } from '../../platform/platform.ts';

export interface PacedWrite {
  /** Null: there is nothing to write any more. */
  request(): KubeRequest | null;
  /** Not for what is tried again: nobody answered, or the server is too busy or has a fault. */
  answered(reply: KubeReply): void;
  /** The server has a fault with it, each time that it was tried. */
  givenUp(reply: KubeReply): void;
}

export interface PacedWritesOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly timers: Timers;
  readonly intervalMs: number;
}

const REQUEST_MS = 10_000;
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** After a fault with one: it is given up soon, and others wait meanwhile. */
const FAULT_BACKOFF_MAX_MS = 5_000;
export const TRIES_MAX = 5;

export class PacedWrites {
  readonly #options: PacedWritesOptions;
  readonly #waiting = new Map<string, PacedWrite>();
  /** Faults of the server with those that wait, in a row. */
  readonly #faults = new Map<string, number>();
  readonly #stopping = new AbortController();
  #isRunning = false;
  #backoffMs = 0;
  #cancelTimer: () => void = () => {};

  constructor(options: PacedWritesOptions) {
    this.#options = options;
  }

  /** One of the same key that waits is replaced, and keeps its turn. */
  add(key: string, write: PacedWrite): void {
    if (this.#stopping.signal.aborted) return;
    this.#waiting.set(key, write);
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#later(0);
  }

  stop(): void {
    this.#stopping.abort();
    this.#cancelTimer();
    this.#waiting.clear();
    this.#faults.clear();
  }

  #later(delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#cancelTimer = this.#options.timers.after(delayMs, () => {
      this.#next().then((nextMs) => {
        this.#isRunning = nextMs !== null || this.#waiting.size > 0;
        if (this.#isRunning) this.#later(nextMs ?? 0);
      });
    });
  }

  /** Resolves to the time until the next one; null: none waits. */
  async #next(): Promise<number | null> {
    for (let key = this.#first(); key !== null; key = this.#first()) {
      const write = this.#waiting.get(key);
      const request = write?.request() ?? null;
      if (write === undefined || request === null) {
        this.#forget(key);
        continue;
      }
      const reply = await this.#send(request);
      // While it was on its way, another one of that key may have come.
      const isLatest = this.#waiting.get(key) === write;
      if (isPassing(reply)) {
        const delayMs = this.#backOff(reply);
        if (!this.#isLastFault(key, reply)) this.#putBack(key);
        else {
          // It was this one's fault alone, as far as is known.
          this.#backoffMs = 0;
          this.#faults.delete(key);
          if (isLatest) this.#waiting.delete(key);
          if (isLatest) write.givenUp(reply);
        }
        return delayMs;
      }
      this.#backoffMs = 0;
      this.#faults.delete(key);
      if (isLatest) this.#waiting.delete(key);
      if (!this.#stopping.signal.aborted) write.answered(reply);
      return this.#options.intervalMs;
    }
    return null;
  }

  /** Null: none waits. */
  #first(): string | null {
    let first: string | null = null;
    let fewest = Number.POSITIVE_INFINITY;
    for (const key of this.#waiting.keys()) {
      const count = this.#faults.get(key) ?? 0;
      if (count >= fewest) continue;
      first = key;
      fewest = count;
      if (count === 0) break;
    }
    return first;
  }

  /** To the end. */
  #putBack(key: string): void {
    const latest = this.#waiting.get(key);
    this.#waiting.delete(key);
    if (latest !== undefined) this.#waiting.set(key, latest);
  }

  #forget(key: string): void {
    this.#waiting.delete(key);
    this.#faults.delete(key);
  }

  #isLastFault(key: string, reply: KubeReply): boolean {
    if (!isFault(reply)) return false;
    const count = (this.#faults.get(key) ?? 0) + 1;
    this.#faults.set(key, count);
    return count >= TRIES_MAX;
  }

  async #send(request: KubeRequest): Promise<KubeReply> {
    const { client, timers } = this.#options;
    const sending = new AbortController();
    const abort = (): void => sending.abort();
    const cancel = timers.after(REQUEST_MS, abort);
    // A term may last for months: nothing of a write stays with it.
    const signals = [
      this.#stopping.signal,
      ...(request.signal === undefined ? [] : [request.signal]),
    ];
    for (const signal of signals) signal.addEventListener('abort', abort, { once: true });
    if (signals.some(({ aborted }) => aborted)) abort();
    const reply = await client.request({ ...request, signal: sending.signal });
    for (const signal of signals) signal.removeEventListener('abort', abort);
    cancel();
    return reply;
  }

  #backOff(reply: KubeReply): number {
    const maxMs = isFault(reply) ? FAULT_BACKOFF_MAX_MS : BACKOFF_MAX_MS;
    this.#backoffMs = Math.min(Math.max(this.#backoffMs * 2, BACKOFF_MIN_MS), maxMs);
    const askedMs = reply.kind === 'refused' ? (reply.retryAfterMs ?? 0) : 0;
    return Math.max(askedMs, this.#backoffMs);
  }
}

/** It may be answered otherwise later, with nothing changed. */
function isPassing(reply: KubeReply): boolean {
  if (reply.kind === 'ok') return false;
  return reply.kind === 'unreachable' || reply.status === 429 || reply.status >= 500;
}

/** With this write. A server that is starting, ending or too busy says 503. */
function isFault(reply: KubeReply): boolean {
  return reply.kind === 'refused' && reply.status >= 500 && reply.status !== 503;
}
