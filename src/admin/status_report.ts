/** What `GET /status` answers and `sallyport status` shows. */

import { isUnused, type MetricsSummary } from '../observe/metrics/summary.ts';
import type { AdminBackend, NameState, RefusedState, WorkerState } from './backend.ts';
import { metricsInHand } from './metrics_in_hand.ts';

export interface StatusReport extends MetricsSummary {
  readonly ready: boolean;
  /** Why not; null when it is. */
  readonly reason: string | null;
  readonly version: Readonly<Record<string, string>>;
  /** Of the policy set in force. */
  readonly revision: number;
  readonly policies: number;
  readonly endpoints: number;
  /** Null while the sources' newest set is in force. Readiness does not depend on it. */
  readonly stale: StalePolicy | null;
  /** What was read of a cluster and may be old; absent when none is read. Readiness does not depend on it. */
  readonly cluster?: ClusterState;
  /** A proxy of before does not tell. */
  readonly services?: ServicesReport;
  /** What DNS answers have taught. A proxy of before does not tell. */
  readonly names?: NameState;
  /** Policies that were refused alone; absent while none is. */
  readonly refused?: RefusedState;
  /** What is judged and not enforced: everything, or these policies. A proxy of before does not tell. */
  readonly dryRun?: { readonly proxy: boolean; readonly policies: readonly string[] };
  readonly listeners: readonly { readonly name: string; readonly address: string }[];
  readonly workers: readonly WorkerState[];
  /** Rules in force that have settled no decision yet. */
  readonly unused: readonly { readonly policy: string; readonly rule: string }[];
}

export interface ClusterState {
  /** One each: a kind of object, a secret, or the files beside. What was read of it last stays in force. */
  readonly stale: readonly {
    readonly part: string;
    /** ISO 8601. */
    readonly since: string;
    readonly problem: string;
  }[];
  /** When what is in force was kept on disk, ISO 8601; null: it was read since the start. */
  readonly restoredAt: string | null;
}

/** Services whose addresses are judged by who is behind them. */
export interface ServicesReport {
  readonly count: number;
  /** That clients dial, each with a port. */
  readonly addresses: number;
  readonly backends: number;
  /** In every worker. */
  readonly inForce: boolean;
  /** Since when what is told of them may be old, ISO 8601; null: it is not. */
  readonly staleSince: string | null;
  readonly source: 'cluster' | 'files';
  /** `redirect.services`. */
  readonly mode: string;
  /** Addresses that several claim, one line each; the first of them. */
  readonly conflicts: readonly string[];
}

export interface StalePolicy {
  /** ISO 8601. */
  readonly since: string;
  /** What is wrong with the set that was rejected, one line each; bounded, the last line says by how much. */
  readonly problems: readonly string[];
  /** Of all of them. A proxy of before does not tell. */
  readonly problemCount?: number;
}

export async function statusReport(backend: AdminBackend): Promise<StatusReport> {
  const metrics = await metricsInHand(backend);
  const readiness = backend.readiness();
  const refused = backend.refusedObjects();
  const { revision, policyCount, endpointCount, dryRunPolicies } = backend.policySet();
  return {
    ready: readiness.isReady,
    reason: readiness.isReady ? null : readiness.reason,
    version: backend.version(),
    revision,
    policies: policyCount,
    endpoints: endpointCount,
    stale: staleOf(backend),
    ...clusterOf(backend),
    services: servicesOf(backend),
    names: backend.names(),
    ...(refused.count === 0 ? {} : { refused }),
    dryRun: { proxy: backend.isDryRun(), policies: dryRunPolicies },
    listeners: backend.listeners(),
    workers: backend.workers(),
    ...metrics.summary(),
    unused: metrics
      .ruleHits()
      .filter(isUnused)
      .map(({ policy, rule }) => ({ policy, rule })),
  };
}

function staleOf(backend: AdminBackend): StalePolicy | null {
  const staleness = backend.staleness();
  if (staleness === null) return null;
  return {
    since: new Date(staleness.sinceMs).toISOString(),
    problems: staleness.problems,
    problemCount: staleness.problemCount,
  };
}

function clusterOf(backend: AdminBackend): { readonly cluster?: ClusterState } {
  const health = backend.sourceHealth();
  if (health === null) return {};
  const { stale, restoredAtMs } = health;
  const cluster = {
    stale: stale.map(({ part, sinceMs, problem }) => ({ part, since: isoOf(sinceMs), problem })),
    restoredAt: restoredAtMs === null ? null : isoOf(restoredAtMs),
  };
  return { cluster };
}

const PARTS_OF_SERVICES = ['Service', 'EndpointSlice'];

function servicesOf(backend: AdminBackend): ServicesReport {
  const { serviceCount, frontendCount, backendCount, areInForce, problems, source, mode } =
    backend.services();
  const stale = backend.sourceHealth()?.stale ?? [];
  const since = stale.flatMap(({ part, sinceMs }) =>
    PARTS_OF_SERVICES.includes(part) ? [sinceMs] : [],
  );
  return {
    count: serviceCount,
    addresses: frontendCount,
    backends: backendCount,
    inForce: areInForce,
    staleSince: since.length === 0 ? null : isoOf(Math.min(...since)),
    source,
    mode,
    conflicts: problems,
  };
}

function isoOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/** Null when `value` is no report. Only what the reader relies on is checked. */
export function parseStatusReport(value: unknown): StatusReport | null {
  if (typeof value !== 'object' || value === null) return null;
  const report = value as Partial<StatusReport>;
  const isReport =
    typeof report.ready === 'boolean' &&
    typeof report.revision === 'number' &&
    [report.listeners, report.workers, report.unused].every(isListOfObjects);
  return isReport ? (report as StatusReport) : null;
}

function isListOfObjects(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every((element: unknown) => typeof element === 'object' && element !== null)
  );
}
