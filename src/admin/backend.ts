/**
 * What the admin server asks of whoever runs it: the supervisor, or a test. Plain questions; nothing
 * here knows HTTP.
 */
import type { Flow } from '../model/flow.ts';
import type { NameCounts } from '../model/name_counts.ts';
import type { NameFilter } from '../model/name_row.ts';
import type { MergedMetrics } from '../observe/metrics/hub.ts';
import type { DocumentLimits } from '../text/document_bounds.ts';

export interface AdminBackend {
  /** Live: some worker gives signs of life, or none has to yet or any more. */
  liveness(): Liveness;
  /** Ready: every listener is bound, the first policy set is in force, and nothing drains. */
  readiness(): Readiness;
  /** Asks every worker; those that do not answer in time count with their last word. */
  metrics(): Promise<MergedMetrics>;
  /** Of the policy set in force. */
  policySet(): PolicySetState;
  /** What the sources say and is not in force, since it was rejected; null when all of it is. */
  staleness(): StaleState | null;
  /** How old what was read of a cluster may be; null: none is read. */
  sourceHealth(): SourceHealthState | null;
  /** Policies that their source refuses alone. */
  refusedObjects(): RefusedState;
  /** Services by whose backends their addresses are judged. */
  services(): ServiceState;
  /** What DNS answers have taught, as it was told a moment ago. */
  names(): NameState;
  /** Of the JSON of a request. */
  documentLimits(): DocumentLimits;
  /** All of it: `policiesDocument`, or `printSnapshot`. Rejects with a `BusyError`, too. */
  printPolicies(format: 'json' | 'text'): Promise<string>;
  /** JSON: what DNS answers have taught. Rejects with a `BusyError`, too. */
  listNames(filter: NameFilter): Promise<string>;
  /** `question`: the decoded JSON of a request in the form of `verdict`'s input. Rejects with a `BusyError`, too. */
  explain(question: unknown): Promise<ExplainAnswer>;
  /** True when denials of the whole proxy are judged, logged and not enforced. */
  isDryRun(): boolean;
  /** The last so many, the oldest first; null: none are kept. */
  lastFlows(count: number): readonly Flow[] | null;
  /** Flows from now on; null: too many follow them already. */
  followFlows(onReady: () => void): FlowFeed | null;
  workers(): readonly WorkerState[];
  listeners(): readonly { readonly name: string; readonly address: string }[];
  /** Begins a drain and returns at once; the process ends when it is done. */
  drain(): void;
  logLevel(): string;
  /** False when there is no such level. */
  setLogLevel(level: string): boolean;
  version(): Readonly<Record<string, string>>;
  /** The configuration in effect, as JSON can hold it; no secrets. */
  config(): object;
  /** A request failed by an error of ours. */
  onError(where: string, error: unknown): void;
}

export interface ServiceState {
  readonly serviceCount: number;
  /** Addresses with a port. */
  readonly frontendCount: number;
  readonly backendCount: number;
  /** Every worker judges by all of them. */
  readonly areInForce: boolean;
  /** Addresses that several claim: the first of them, one line each. */
  readonly problems: readonly string[];
  /** Where they are told of. */
  readonly source: 'cluster' | 'files';
  /** `redirect.services`: whether sockets are translated, too. */
  readonly mode: string;
}

export interface NameState extends NameCounts {
  /** The folder in which they outlive the process; null: they do not. */
  readonly keptIn: string | null;
}

/** What was asked cannot be answered now; later it can. `message` is one line for people. */
export class BusyError extends Error {}

/** Flows for one who follows them. `onReady` is not called again before `take` has given all that waits. */
export interface FlowFeed {
  /** Nothing comes after what waits now. */
  readonly isEnded: boolean;
  /** The first that wait, so many at most, and how many flows behind the last one were lost. */
  take(countMax: number): { readonly flows: readonly Flow[]; readonly lostCount: number };
  close(): void;
}

export type Liveness =
  | { readonly isLive: true }
  /** `reason` is one line for people. */
  | { readonly isLive: false; readonly reason: string };

export type Readiness =
  | { readonly isReady: true }
  /** `reason` is one line for people. */
  | { readonly isReady: false; readonly reason: string };

export type ExplainAnswer =
  /** JSON. */
  | { readonly kind: 'explanation'; readonly json: string }
  /** The question cannot be asked. */
  | { readonly kind: 'error'; readonly message: string };

export interface StaleState {
  readonly sinceMs: number;
  /** The first of them, a line each. */
  readonly problems: readonly string[];
  readonly problemCount: number;
}

export interface SourceHealthState {
  readonly stale: readonly {
    readonly part: string;
    readonly sinceMs: number;
    readonly problem: string;
  }[];
  /** When what is in force was kept on disk; null: it was read since the start. */
  readonly restoredAtMs: number | null;
}

export interface RefusedState {
  /** The first of them. */
  readonly objects: readonly {
    readonly object: string;
    /** What is in force instead: its last good form, nothing, or default deny for what it selects. */
    readonly inForce: 'last-good' | 'absent' | 'deny';
    readonly problems: readonly string[];
  }[];
  readonly count: number;
}

export interface PolicySetState {
  readonly revision: number;
  readonly policyCount: number;
  readonly endpointCount: number;
  /** Names of the policies that are in dry-run only, sorted. */
  readonly dryRunPolicies: readonly string[];
}

export interface WorkerState {
  readonly index: number;
  readonly state: string;
  readonly pid: number;
  readonly revision: number;
  readonly restartCount: number;
}
