/**
 * What one worker tells the outside, put together: the sinks that get every flow, the counters, the worker's own
 * log. Whoever wants to be told flows, too, is put into the list of sinks here.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Limits } from '../model/limits.ts';
import type { LogLevel } from '../model/log_level.ts';
import type { Steps } from '../model/steps.ts';
import { FlowSender, type FlowSenderOptions } from '../observe/flow/flow_sender.ts';
import type { FlowSink } from '../observe/flow/flow_sink.ts';
import { RecordFlow } from '../observe/flow/record_flow.ts';
import { InternalErrors } from '../observe/internal_errors.ts';
import { AccessLog, type AccessLogOptions } from '../observe/log/access_log.ts';
import { createLogger, type Logger } from '../observe/log/logger.ts';
import { type MetricsSnapshot, WorkerCounters } from '../observe/metrics/counters.ts';
import { familyOf } from '../observe/metrics/family.ts';
import { processFamilies } from '../observe/metrics/process_stats.ts';
import { accessLogFamilies, workerFamilies } from '../observe/metrics/worker_families.ts';
import type { ObservedPolicy } from '../observe/observed_policy.ts';
import { Observer } from '../observe/observer.ts';
import type { Platform } from '../platform/platform.ts';

export interface ObservationOptions {
  /** The worker's slot. */
  readonly workerIndex: number;
  /** Names of its listeners. */
  readonly listeners: readonly string[];
  readonly accessLog: AccessLogOptions;
  readonly logLevel: LogLevel;
  readonly limits: Limits;
  readonly platform: Platform;
  readonly currentPolicy: () => ObservedPolicy;
  readonly secretValues?: () => Iterable<string>;
  /** To the supervisor; default: nowhere. */
  readonly sendFlows?: FlowSenderOptions['send'];
  /** Where internal errors are told; default: standard output. */
  readonly logger?: Logger;
}

export class Observation {
  /** For the data plane. */
  readonly recorder: Observer;
  readonly accessLog: AccessLog;
  readonly flows: FlowSender;
  readonly logger: Logger;
  readonly #workerIndex: number;
  readonly #instanceId = randomUUID();
  readonly #counters: WorkerCounters;
  readonly #sinks: readonly FlowSink[];
  readonly #stopLoopWatch: () => void;

  /** Throws when the access log file cannot be opened. */
  constructor(options: ObservationOptions) {
    const { limits, platform, accessLog } = options;
    this.#workerIndex = options.workerIndex;
    this.#counters = new WorkerCounters({
      listeners: options.listeners,
      ruleCountMax: limits.metricPolicyLabelCountMax,
    });
    this.accessLog = new AccessLog(options);
    this.logger = options.logger ?? ownLogger(options.logLevel, this.accessLog);
    const origin = { instance: this.#instanceId, node: hostname() };
    this.flows = new FlowSender({
      ...origin,
      limits,
      timers: platform.timers,
      send: options.sendFlows ?? (() => {}),
    });
    this.#sinks = [this.#counters, this.accessLog, this.flows];
    this.recorder = new Observer({
      sinks: this.#sinks,
      flow: new RecordFlow({ ...accessLog, ...origin }),
      events: this.#counters,
      errors: new InternalErrors({
        logger: this.logger,
        clock: platform.clock,
        intervalMs: limits.internalErrorLogIntervalMs,
        onCounted: () => this.#counters.internalError(),
      }),
      currentPolicy: options.currentPolicy,
      secretValues: options.secretValues ?? (() => []),
      onPolicy: (policy) => this.#counters.policyChanged(policy),
    });
    this.#stopLoopWatch = watchLoop(options, this.#counters);
  }

  /** What `recorder.policyChanged` would do for thousands of rules, before the swap and in steps. */
  prepare(policy: ObservedPolicy): Steps<void> {
    return this.#counters.prepare(policy);
  }

  setLogLevel(level: LogLevel): void {
    this.logger.level = level;
    this.accessLog.setLevel(level);
  }

  async metrics(): Promise<MetricsSnapshot> {
    this.recorder.policyChanged();
    const worker = String(this.#workerIndex);
    return {
      workerIndex: this.#workerIndex,
      instanceId: this.#instanceId,
      families: [
        ...this.#counters.families(),
        ...accessLogFamilies(this.accessLog.counts()),
        familyOf('sallyport_flows_dropped_total', this.flows.droppedCount, { at: 'worker' }),
        ...workerFamilies(worker, this.#counters.load()),
        ...(await processFamilies(worker)),
      ],
    };
  }

  /** Writes out what waits and ends; records that come later are counted, not logged. */
  async close(): Promise<void> {
    this.#stopLoopWatch();
    await Promise.all(this.#sinks.map((sink) => sink.close()));
  }
}

function ownLogger(level: LogLevel, accessLog: AccessLog): Logger {
  const write = accessLog.writeToStdout;
  return createLogger(write === null ? { level } : { level, write });
}

/** A timer that fires late tells how long everything else in this worker waited, too. */
function watchLoop({ platform, limits }: ObservationOptions, counters: WorkerCounters): () => void {
  const { clock, timers } = platform;
  const intervalMs = limits.sweepIntervalMs;
  let dueMs = clock.nowMs() + intervalMs;
  return timers.every(intervalMs, () => {
    const nowMs = clock.nowMs();
    counters.eventLoopDelayed(nowMs - dueMs);
    dueMs = nowMs + intervalMs;
  });
}
