/**
 * The supervisor's answers to the admin server. What hangs on the policies in force, `explain` too, the policy
 * thread answers; numbers are summed over workers.
 */
import type {
  AdminBackend,
  ExplainAnswer,
  FlowFeed,
  Liveness,
  NameState,
  PolicySetState,
  Readiness,
  ServiceState,
} from '../admin/backend.ts';
import type { Config } from '../config/config.ts';
import { printValues } from '../config/print_values.ts';
import type { Staleness } from '../control/source/policy_feed.ts';
import type { SourceHealth } from '../control/source/source.ts';
import { formatSocketAddress } from '../model/address.ts';
import type { Flow } from '../model/flow.ts';
import { LOG_LEVELS, type LogLevel } from '../model/log_level.ts';
import type { NameFilter } from '../model/name_row.ts';
import type { Logger } from '../observe/log/logger.ts';
import type { MetricsSnapshot } from '../observe/metrics/counters.ts';
import { familyOf } from '../observe/metrics/family.ts';
import type { MergedMetrics, MetricsHub } from '../observe/metrics/hub.ts';
import { nameFamilies } from '../observe/metrics/name_families.ts';
import type { BoundListener } from '../proxy/accept/listener.ts';
import type { DocumentLimits } from '../text/document_bounds.ts';
import type { FlowHub } from './flow_hub.ts';
import type { RefusedObjects } from './policy_messages.ts';
import type { PolicyThread } from './policy_thread.ts';
import type { WorkerStatus } from './slot.ts';
import type { Supervisor } from './supervisor.ts';

/** No worker's: the supervisor counts beside them. */
const OWN_INDEX = -1;

export interface AdminBackendParts {
  readonly config: Config;
  readonly policyThread: PolicyThread;
  readonly supervisor: Supervisor;
  readonly metrics: MetricsHub;
  readonly flows: FlowHub;
  /** Of the set that the workers were told last. */
  readonly policySet: () => PolicySetState;
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

  policySet(): PolicySetState {
    return this.#parts.policySet();
  }

  printPolicies(format: 'json' | 'text'): Promise<string> {
    return this.#parts.policyThread.print(format);
  }

  listNames(filter: NameFilter): Promise<string> {
    return this.#parts.policyThread.listNames(filter);
  }

  explain(question: unknown): Promise<ExplainAnswer> {
    return this.#parts.policyThread.explain(question);
  }

  isDryRun(): boolean {
    return this.#parts.config.behaviour.isDryRun;
  }

  staleness(): Staleness | null {
    return this.#parts.policyThread.staleness;
  }

  sourceHealth(): SourceHealth | null {
    return this.#parts.config.kubernetes === null ? null : this.#parts.policyThread.health;
  }

  lastFlows(count: number): readonly Flow[] | null {
    return this.#parts.flows.last(count);
  }

  followFlows(onReady: () => void): FlowFeed | null {
    return this.#parts.flows.follow(onReady);
  }

  refusedObjects(): RefusedObjects {
    return this.#parts.policyThread.refused;
  }

  services(): ServiceState {
    const { supervisor, config } = this.#parts;
    return {
      ...supervisor.serviceStatus(),
      source: config.kubernetes === null ? 'files' : 'cluster',
      mode: config.redirect.services,
    };
  }

  names(): NameState {
    const { policyThread, config } = this.#parts;
    return { ...policyThread.nameCounts, keptIn: config.stateDir };
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

  documentLimits(): DocumentLimits {
    return this.#parts.config.limits;
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
    const dropped = this.#parts.droppedLineCount();
    const families = [
      familyOf('sallyport_access_log_dropped_total', dropped),
      ...this.#parts.flows.families(),
      ...nameFamilies(this.#parts.policyThread.nameCounts),
    ];
    return { workerIndex: OWN_INDEX, instanceId: 'supervisor', families };
  }
}
