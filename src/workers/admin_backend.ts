/**
 * The supervisor's answers to the admin server. Policies are the supervisor's own snapshot of the set
 * that it told the workers; numbers are summed over workers; `explain` asks an engine of its own, made
 * of the same texts when it is first asked.
 */
import type { AdminBackend, ExplainAnswer, Liveness, Readiness } from '../admin/backend.ts';
import type { Config, LogLevel } from '../config/config.ts';
import { LOG_LEVELS } from '../config/declaration.ts';
import { printValues } from '../config/print_values.ts';
import { explainDocument } from '../control/explain_document.ts';
import { createJudge, type Judge, type JudgeOptions } from '../control/judge.ts';
import type { Staleness } from '../control/policy_feed.ts';
import type { SourceBundle } from '../control/policy_set.ts';
import type { PolicyStore } from '../control/policy_store.ts';
import { parseQuestion } from '../control/question.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Logger } from '../observe/logger.ts';
import type { MetricsSnapshot } from '../observe/metrics.ts';
import type { MergedMetrics, MetricsHub } from '../observe/metrics_hub.ts';
import { printSnapshot } from '../policy/print.ts';
import type { PolicySnapshot } from '../policy/snapshot.ts';
import type { BoundListener } from './messages.ts';
import type { WorkerStatus } from './slot.ts';
import type { Supervisor } from './supervisor.ts';

/** No worker's: the supervisor counts beside them. */
const OWN_INDEX = -1;

export interface AcceptedBundle {
  readonly revision: number;
  readonly bundle: SourceBundle;
}

export interface AdminBackendParts {
  readonly config: Config;
  readonly store: PolicyStore;
  readonly supervisor: Supervisor;
  readonly metrics: MetricsHub;
  /** The texts of the set that the workers were told last. */
  readonly accepted: () => AcceptedBundle;
  /** Why the files are not what is in force; null when they are. */
  readonly staleness: () => Staleness | null;
  readonly judgeOptions: JudgeOptions;
  readonly log: Logger;
  readonly version: string;
  /** Of the workers' lines that the supervisor forwards. */
  readonly droppedLineCount: () => number;
  readonly boundListeners: () => readonly BoundListener[];
  readonly isDraining: () => boolean;
  readonly drain: () => void;
  readonly logLevel: () => LogLevel;
  readonly setLogLevel: (level: LogLevel) => void;
}

export class SupervisorBackend implements AdminBackend {
  readonly #parts: AdminBackendParts;
  #judge: { readonly revision: number; readonly judge: Judge } | null = null;

  constructor(parts: AdminBackendParts) {
    this.#parts = parts;
  }

  liveness(): Liveness {
    const { isDraining, supervisor } = this.#parts;
    if (isDraining() || !supervisor.isStarted || supervisor.hasAnsweringWorker()) {
      return { isLive: true };
    }
    return { isLive: false, reason: 'no worker answers' };
  }

  readiness(): Readiness {
    const { isDraining, supervisor } = this.#parts;
    if (isDraining()) return { isReady: false, reason: 'draining' };
    if (!supervisor.isStarted) return { isReady: false, reason: 'starting' };
    // A worker that is being started again does not take the others out of service.
    if (supervisor.hasListeningWorker()) return { isReady: true };
    return { isReady: false, reason: 'no worker is listening' };
  }

  async metrics(): Promise<MergedMetrics> {
    const { supervisor, metrics } = this.#parts;
    const reports = await supervisor.reports();
    const states: Record<string, number> = { listening: 0, starting: 0, waiting: 0, draining: 0 };
    for (const { state } of supervisor.workers()) states[state] = (states[state] ?? 0) + 1;
    return metrics.merge([...reports.map((report) => report.metrics), this.#ownCounts()], states);
  }

  snapshot(): PolicySnapshot {
    return this.#parts.store.current();
  }

  policyText(): string {
    return printSnapshot(this.snapshot());
  }

  explain(question: unknown): ExplainAnswer {
    const parsed = parseQuestion(question);
    if (parsed.kind === 'error') return parsed;
    const answer = this.#currentJudge().explain(parsed.question);
    if (answer.kind === 'error') return answer;
    // One of a policy tells what would be said with it; one of the proxy lets through what is denied.
    const isEnforced = !this.isDryRun();
    // `decision` is how the answer looked before it was that of `explain -o json`; it goes with the next release.
    const { decision } = answer.explanation;
    return {
      kind: 'explanation',
      explanation: { ...explainDocument(answer), isEnforced, decision },
    };
  }

  isDryRun(): boolean {
    return this.#parts.config.behaviour.isDryRun;
  }

  staleness(): Staleness | null {
    return this.#parts.staleness();
  }

  workers(): readonly WorkerStatus[] {
    return this.#parts.supervisor.workers();
  }

  listeners(): readonly { readonly name: string; readonly address: string }[] {
    return this.#parts.boundListeners().map(({ name, address }) => ({
      name,
      address: formatSocketAddress(address.ip, address.port),
    }));
  }

  drain(): void {
    this.#parts.drain();
  }

  logLevel(): string {
    return this.#parts.logLevel();
  }

  setLogLevel(level: string): boolean {
    const known = LOG_LEVELS.find((name) => name === level);
    if (known !== undefined) this.#parts.setLogLevel(known);
    return known !== undefined;
  }

  version(): Readonly<Record<string, string>> {
    return { sallyport: this.#parts.version, node: process.versions.node };
  }

  config(): object {
    const { values, ...config } = this.#parts.config;
    // The names inside, as they were shown before `config` was there; they go with the next release.
    return { ...config, config: printValues(values) };
  }

  onError(where: string, error: unknown): void {
    this.#parts.log.error({ where, err: error }, 'internal error');
  }

  #ownCounts(): MetricsSnapshot {
    const value = this.#parts.droppedLineCount();
    const name = 'sallyport_access_log_dropped_total';
    const families = [{ name, samples: [{ suffix: '', labels: {}, value }] }] as const;
    return { workerIndex: OWN_INDEX, instanceId: 'supervisor', families };
  }

  /** Made anew when another set is in force: an answer about an old set would mislead. */
  #currentJudge(): Judge {
    const { accepted, judgeOptions } = this.#parts;
    const { revision, bundle } = accepted();
    if (this.#judge?.revision === revision) return this.#judge.judge;
    const created = createJudge(bundle, judgeOptions);
    // The store has accepted the same texts.
    if (created.kind === 'rejected') throw new Error('the policy set in force was rejected');
    this.#judge = { revision, judge: created.judge };
    return created.judge;
  }
}
