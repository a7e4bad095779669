/**
 * A process of its own that sends requests by a fixed timetable, whatever the answers do, and tells how long
 * each one took from the moment it was due: who waits for a free connection has waited (no coordinated
 * omission). Or, with a rate of null, the next request as soon as a connection is free: saturation.
 *
 *     node fixed_rate_client.ts JSON-of-FixedRateOrder   →   JSON of FixedRateResult on standard output
 *
 * It looks at the clock between any two events: timers of Node have milliseconds, and what is measured here
 * are tens of microseconds. So it takes all the time of its core that nobody else there wants.
 */
import { setPriority } from 'node:os';
import { FixedRateConnection } from './fixed_rate_connection.ts';
import type { Response } from './response_reader.ts';

export interface FixedRateOrder {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  /** Null: as many as go. */
  readonly requestsPerSecond: number | null;
  /** Sent and answered before anything counts. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
  readonly statusExpected: number;
}

export interface FixedRateResult {
  readonly requests: number;
  /** Another status, a connection lost under a request, no answer until the deadline, or not even sent. */
  readonly failures: number;
  readonly seconds: number;
  readonly contentBytes: number;
  /** From when a request was due. */
  readonly latencyMicros: Quantiles;
  /** Of that, before the first byte was sent though a connection was free: this generator's own fault. */
  readonly latenessMicros: Quantiles;
}

export interface Quantiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Answers that come later than this after the last request was due are failures. */
const GRACE_MS = 2000;
/** The origin on the same core goes first, as it would if it had one of its own. */
const NICENESS = 10;
/** Of latencies kept for the quantiles; beyond, the run only counts. */
const SAMPLES_MAX = 20_000_000;

export async function runFixedRate(order: FixedRateOrder): Promise<FixedRateResult> {
  const load = new FixedRateLoad(order);
  return load.run();
}

class FixedRateLoad {
  readonly #order: FixedRateOrder;
  readonly #request: Buffer;
  readonly #idle: FixedRateConnection[] = [];
  readonly #connections: FixedRateConnection[] = [];
  readonly #latencies: Samples;
  readonly #lateness: Samples;
  /** Requests due so far, sent so far, and answered or lost so far. */
  #sent = 0;
  #ended = 0;
  #failures = 0;
  #counted = 0;
  #contentBytes = 0;
  #startMs = 0;
  #countFromMs = 0;
  #endMs = 0;
  #fail: (error: Error) => void = () => {};

  constructor(order: FixedRateOrder) {
    this.#order = order;
    this.#request = Buffer.from(
      `GET ${order.path} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: fixed-rate\r\nAccept: */*\r\n\r\n`,
      'latin1',
    );
    const expected = Math.ceil((order.requestsPerSecond ?? 200_000) * order.seconds) + 1;
    this.#latencies = new Samples(Math.min(SAMPLES_MAX, expected));
    this.#lateness = new Samples(Math.min(SAMPLES_MAX, expected));
  }

  async run(): Promise<FixedRateResult> {
    const { connections, warmUpSeconds, seconds } = this.#order;
    for (let i = 0; i < connections; i++) await this.#open();
    this.#startMs = performance.now();
    this.#countFromMs = this.#startMs + warmUpSeconds * 1000;
    this.#endMs = this.#countFromMs + seconds * 1000;
    await new Promise<void>((resolve, reject) => {
      this.#fail = reject;
      this.#turn(resolve);
    });
    for (const connection of this.#connections) connection.close();
    const unanswered = this.#dueCount(performance.now()) - this.#ended;
    return {
      requests: this.#counted,
      failures: this.#failures + unanswered,
      seconds,
      contentBytes: this.#contentBytes,
      latencyMicros: this.#latencies.quantiles(),
      latenessMicros: this.#lateness.quantiles(),
    };
  }

  async #open(): Promise<void> {
    const { host, port } = this.#order;
    const connection = new FixedRateConnection({
      answered: (response) => this.#answered(connection, response),
      lost: () => this.#lost(connection),
    });
    await connection.open(host, port);
    this.#connections.push(connection);
    this.#idle.push(connection);
  }

  /** Between any two looks at the sockets. */
  #turn(finished: () => void): void {
    const nowMs = performance.now();
    const dueCount = this.#dueCount(nowMs);
    while (this.#sent < dueCount && this.#idle.length > 0) this.#send();
    const isOver = nowMs >= this.#endMs && this.#ended >= dueCount;
    if (isOver || nowMs >= this.#endMs + GRACE_MS) finished();
    else setImmediate(() => this.#turn(finished));
  }

  #dueCount(nowMs: number): number {
    const { requestsPerSecond } = this.#order;
    if (requestsPerSecond === null) {
      return nowMs < this.#endMs ? this.#sent + this.#idle.length : this.#sent;
    }
    const untilMs = Math.min(nowMs, this.#endMs) - this.#startMs;
    return Math.floor((untilMs * requestsPerSecond) / 1000);
  }

  #send(): void {
    const connection = this.#idle.shift() as FixedRateConnection;
    const nowMs = performance.now();
    const { requestsPerSecond } = this.#order;
    const dueMs =
      requestsPerSecond === null
        ? nowMs
        : this.#startMs + ((this.#sent + 1) * 1000) / requestsPerSecond;
    this.#sent++;
    if (this.#counts(dueMs)) this.#lateness.add(nowMs - Math.max(dueMs, connection.freeSinceMs));
    connection.send(this.#request, dueMs);
  }

  #answered(connection: FixedRateConnection, { status, contentBytes, isLast }: Response): void {
    const nowMs = performance.now();
    this.#ended++;
    connection.freeSinceMs = nowMs;
    if (isLast) this.#open().catch(this.#fail);
    else this.#idle.push(connection);
    if (status !== this.#order.statusExpected) {
      this.#failures++;
    } else if (this.#counts(connection.dueMs)) {
      this.#counted++;
      this.#contentBytes += contentBytes;
      this.#latencies.add(nowMs - connection.dueMs);
    }
  }

  /** A server may close an idle connection; one that is lost under a request is a failure. */
  #lost(connection: FixedRateConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) {
      this.#idle.splice(at, 1);
    } else {
      this.#ended++;
      this.#failures++;
    }
    this.#open().catch(this.#fail);
  }

  #counts(dueMs: number): boolean {
    return dueMs >= this.#countFromMs && dueMs < this.#endMs;
  }
}

/** Exact quantiles: every value is kept. */
class Samples {
  readonly #micros: Float64Array;
  #count = 0;

  constructor(capacity: number) {
    this.#micros = new Float64Array(capacity);
  }

  add(ms: number): void {
    if (this.#count < this.#micros.length) this.#micros[this.#count++] = ms * 1000;
  }

  quantiles(): Quantiles {
    const sorted = this.#micros.subarray(0, this.#count).sort();
    const at = (q: number): number => sorted[Math.ceil(q * this.#count) - 1] ?? Number.NaN;
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) };
  }
}

if (import.meta.main) {
  setPriority(NICENESS);
  const order = JSON.parse(process.argv[2] ?? '') as FixedRateOrder;
  process.stdout.write(JSON.stringify(await runFixedRate(order)));
}
