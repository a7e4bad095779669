/**
 * hot path
 *
 * What a worker tells the outside: the `Recorder` that the data plane reports to, made of counters
 * and an access log. Nothing in it throws into the data plane or waits for a sink; an error of its own
 * is counted as what it is, a bug of ours, and the request goes on.
 *
 *     record ─┬─ WorkerCounters (numbers) ── metrics() ──► supervisor
 *             └─ level, sampling → LogLineWriter → LogSink (drops and counts when slow)
 */
import { randomUUID } from 'node:crypto';
import type { Decision } from '../model/decision.ts';
import type { Limits } from '../model/limits.ts';
import type {
  CloseCause,
  EvictionBound,
  HolderCounts,
  Recorder,
  RequestRecord,
  ShareState,
  UpstreamConnectOutcome,
} from '../model/record.ts';
import type { Steps } from '../model/steps.ts';
import type { ResetBy, ResetCause } from '../model/stream_reset.ts';
import type { Platform } from '../platform/platform.ts';
import { asciiOf } from './log/json_text.ts';
import { LogLineWriter } from './log/line.ts';
import { createLogger, type Logger, type LogLevel } from './log/logger.ts';
import { LEFT_OUT, LineRate } from './log/rate.ts';
import { LogSink, type LogTarget } from './log/sink.ts';
import { type MetricsSnapshot, WorkerCounters } from './metrics/counters.ts';
import { familyOf, type MetricFamily } from './metrics/family.ts';
import { processFamilies } from './metrics/process_stats.ts';
import { workerFamilies } from './metrics/worker_families.ts';
import type { ObservedPolicy } from './observed_policy.ts';

export interface ObserverOptions {
  /** The worker's slot. */
  readonly workerIndex: number;
  /** Names of its listeners. */
  readonly listeners: readonly string[];
  readonly accessLog: AccessLogOptions;
  readonly logLevel: LogLevel;
  readonly limits: Limits;
  readonly platform: Platform;
  /** The policy in force. Looked at for each record; give the same object until it changes. */
  readonly currentPolicy: () => ObservedPolicy;
  /** Values of the policies' secrets, never logged. Asked again whenever the policy changes. */
  readonly secretValues?: () => Iterable<string>;
  /** Where internal errors are told; default: standard output. */
  readonly logger?: Logger;
}

export interface AccessLogOptions {
  readonly to: LogTarget | { readonly kind: 'none' };
  /** Request fields whose values are logged, lower case. */
  readonly headers: readonly string[];
  readonly isQueryLogged: boolean;
  /** Share of forwarded requests that are logged, 0 to 1. Denials and errors always are. */
  readonly allowSampling: number;
}

export interface Observer extends Recorder {
  /** What `policyChanged` would do for thousands of rules, before the swap and in steps. */
  prepare(policy: ObservedPolicy): Steps<void>;
  /** Gives rules their counters right after a swap, so that the next record does not have to. */
  policyChanged(): void;
  /** Below "info" forwarded requests are not logged; denials and errors always are. */
  setLogLevel(level: LogLevel): void;
  /** A line for people, about something that they should look at. */
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  /** Opens the access log file again, after a rotation. */
  reopen(): void;
  metrics(): Promise<MetricsSnapshot>;
  /** Writes out what waits and ends; records that come later are counted, not logged. */
  close(): Promise<void>;
}

/** Throws when the access log file cannot be opened. */
export function createObserver(options: ObserverOptions): Observer {
  return new WorkerObserver(options);
}

class WorkerObserver implements Observer {
  readonly #options: ObserverOptions;
  readonly #instanceId = randomUUID();
  readonly #counters: WorkerCounters;
  readonly #lines: LogLineWriter;
  readonly #sink: LogSink | null;
  readonly #logger: Logger;
  readonly #stopLoopWatch: () => void;
  readonly #rate: LineRate;
  /** A sink that does not keep up is shared: else the busiest source would push out all others' lines. */
  readonly #crowdedRate: LineRate;
  #suppressedLines = 0;
  #policy: ObservedPolicy | null = null;
  #isForwardedLogged: boolean;
  /** In millionths of a line, whole numbers, so that a tenth is exactly one in ten. */
  readonly #samplingStep: number;
  /** Grows by a step with each forwarded request; one is logged when a line is due. */
  #samplingDebt = 0;
  #lastErrorAtMs = Number.NEGATIVE_INFINITY;
  #suppressedErrors = 0;

  constructor(options: ObserverOptions) {
    const { accessLog, limits, platform } = options;
    this.#options = options;
    this.#counters = new WorkerCounters({
      listeners: options.listeners,
      ruleCountMax: limits.metricPolicyLabelCountMax,
    });
    this.#lines = new LogLineWriter(accessLog);
    this.#sink =
      accessLog.to.kind === 'none'
        ? null
        : new LogSink({
            target: accessLog.to,
            limits,
            timers: platform.timers,
          });
    const rate = {
      perSecond: limits.denialLinesPerSecond,
      burstCount: limits.denialLineBurstCount,
      sourceCountMax: limits.denialSourceCountMax,
    };
    this.#rate = new LineRate({
      ...rate,
      onLeftOut: (source, count) => this.#tellLeftOut(source, count),
    });
    this.#crowdedRate = new LineRate({ ...rate, onLeftOut: () => {} });
    this.#logger = options.logger ?? this.#makeLogger();
    this.#isForwardedLogged = isInfoLogged(options.logLevel);
    this.#samplingStep = Math.round(accessLog.allowSampling * WHOLE_LINE);
    this.#stopLoopWatch = this.#watchLoop();
    this.policyChanged();
  }

  record(record: RequestRecord): void {
    try {
      const policy = this.#options.currentPolicy();
      if (policy !== this.#policy) this.#takePolicy(policy);
      this.#counters.record(record);
      this.#tellCause(record.decision);
      this.#tellCause(record.shadowDecision);
      if (this.#sink !== null && this.#isLogged(record)) this.#log(this.#sink, record);
    } catch (error) {
      this.internalError('record', error);
    }
  }

  /** A verdict that was denied for an exception: the denial is a value, the exception is a bug of ours. */
  #tellCause(decision: Decision | null): void {
    if (decision?.verdict !== 'deny' || decision.cause === undefined) return;
    this.internalError('decide', decision.cause);
  }

  /** Lines of denials and errors come at the price of a few bytes: each source has its rate of them. */
  #log(sink: LogSink, record: RequestRecord): void {
    const { ip } = record.meta.source;
    const { clock } = this.#options.platform;
    let suppressed = 0;
    if (record.verdict !== 'forwarded') {
      suppressed = this.#rate.take(ip, clock.nowMs());
      if (suppressed === LEFT_OUT) {
        this.#suppressedLines += 1;
        return;
      }
    } else if (sink.isCrowded && this.#crowdedRate.take(ip, clock.nowMs()) === LEFT_OUT) {
      sink.drop();
      return;
    }
    sink.write(this.#lines.line(record, suppressed));
  }

  #tellLeftOut(source: string, count: number): void {
    const atMs = this.#options.platform.clock.wallMs();
    this.#sink?.write(this.#lines.leftOut(source, count, atMs));
  }

  connectionOpened(listener: string): void {
    this.#counters.connectionOpened(listener);
  }

  connectionClosed(listener: string, cause: CloseCause): void {
    this.#counters.connectionClosed(listener, cause);
  }

  upstreamConnected(listener: string, outcome: UpstreamConnectOutcome, durationMs: number): void {
    this.#counters.upstreamConnected(listener, outcome, durationMs);
  }

  upstreamRetried(listener: string): void {
    this.#counters.upstreamRetried(listener);
  }

  streamsOpened(listener: string, count: number): void {
    this.#counters.streamsOpened(listener, count);
  }

  streamsClosed(listener: string, count: number): void {
    this.#counters.streamsClosed(listener, count);
  }

  streamsReset(by: ResetBy, cause: ResetCause, count: number): void {
    this.#counters.streamsReset(by, cause, count);
  }

  evicted(bound: EvictionBound, state: ShareState): void {
    this.#counters.evicted(bound, state);
  }

  held(counts: HolderCounts): void {
    this.#counters.held(counts);
  }

  internalError(where: string, error: unknown): void {
    this.#counters.internalError();
    // An error that comes with every request must not fill the log.
    const { limits, platform } = this.#options;
    const nowMs = platform.clock.nowMs();
    if (nowMs - this.#lastErrorAtMs < limits.internalErrorLogIntervalMs) {
      this.#suppressedErrors++;
      return;
    }
    const suppressed = this.#suppressedErrors;
    this.#lastErrorAtMs = nowMs;
    this.#suppressedErrors = 0;
    try {
      const err = error instanceof Error ? error : new Error(String(error));
      this.#logger.error({ where, suppressed, err }, 'internal error');
    } catch {
      // Nothing is left that could be told to anybody; it is counted.
    }
  }

  prepare(policy: ObservedPolicy): Steps<void> {
    return this.#counters.prepare(policy);
  }

  policyChanged(): void {
    const policy = this.#options.currentPolicy();
    if (policy !== this.#policy) this.#takePolicy(policy);
  }

  warn(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.#logger.warn(fields, message);
  }

  setLogLevel(level: LogLevel): void {
    this.#logger.level = level;
    this.#isForwardedLogged = isInfoLogged(level);
  }

  reopen(): void {
    this.#sink?.reopen();
  }

  async metrics(): Promise<MetricsSnapshot> {
    this.policyChanged();
    const { workerIndex } = this.#options;
    return {
      workerIndex,
      instanceId: this.#instanceId,
      families: [
        ...this.#counters.families(),
        ...this.#sinkFamilies(),
        ...workerFamilies(String(workerIndex), this.#counters.load()),
        ...(await processFamilies(String(workerIndex))),
      ],
    };
  }

  async close(): Promise<void> {
    this.#stopLoopWatch();
    this.#rate.tell(Number.POSITIVE_INFINITY);
    await this.#sink?.close();
  }

  /** Two writers on one pipe could cut each other's lines, so there is one. */
  #makeLogger(): Logger {
    const { accessLog, logLevel: level } = this.#options;
    const sink = this.#sink;
    if (sink === null || accessLog.to.kind !== 'stdout') return createLogger({ level });
    return createLogger({
      level,
      write: (line) => sink.write(Buffer.from(asciiOf(line), 'latin1')),
    });
  }

  #takePolicy(policy: ObservedPolicy): void {
    this.#policy = policy;
    this.#counters.policyChanged(policy);
    this.#lines.policyChanged(policy, this.#options.secretValues?.() ?? []);
  }

  /** The cheap questions first: a line that nobody wants is never built. */
  #isLogged(record: RequestRecord): boolean {
    if (record.verdict !== 'forwarded' || record.isDryRun) return true;
    if (record.shadowDecision?.verdict === 'deny') return true;
    if (!this.#isForwardedLogged) return false;
    this.#samplingDebt += this.#samplingStep;
    if (this.#samplingDebt < WHOLE_LINE) return false;
    this.#samplingDebt -= WHOLE_LINE;
    return true;
  }

  /** A timer that fires late tells how long everything else in this worker waited, too. */
  #watchLoop(): () => void {
    const { clock, timers } = this.#options.platform;
    const intervalMs = this.#options.limits.sweepIntervalMs;
    let dueMs = clock.nowMs() + intervalMs;
    return timers.every(intervalMs, () => {
      const nowMs = clock.nowMs();
      this.#counters.eventLoopDelayed(nowMs - dueMs);
      dueMs = nowMs + intervalMs;
      this.#rate.tell(nowMs - this.#options.limits.denialQuietMs);
    });
  }

  #sinkFamilies(): readonly MetricFamily[] {
    const counts = this.#sink?.counts() ?? NO_SINK;
    return [
      familyOf('sallyport_access_log_records_total', counts.writtenLines),
      familyOf('sallyport_access_log_dropped_total', counts.droppedLines),
      familyOf('sallyport_access_log_suppressed_total', this.#suppressedLines),
      familyOf('sallyport_access_log_errors_total', counts.errors),
    ];
  }
}

const WHOLE_LINE = 1_000_000;
const NO_SINK = { writtenLines: 0, droppedLines: 0, errors: 0 };

function isInfoLogged(level: LogLevel): boolean {
  return level === 'trace' || level === 'debug' || level === 'info';
}
