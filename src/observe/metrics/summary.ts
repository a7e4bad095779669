/** The few numbers that people ask for first, out of merged metrics. */

import type { MetricFamily } from './family.ts';
import type { MetricName } from './table.ts';

export interface RuleHit {
  readonly policy: string;
  readonly rule: string;
  readonly allowed: number;
  readonly denied: number;
  /** ISO 8601; null when it never matched. */
  readonly lastMatch: string | null;
}

export interface MetricsSummary {
  readonly requests: number;
  /** What the policy decided, whether or not it was enforced. */
  readonly allowed: number;
  readonly denied: number;
  /** Requests and connections that ended in a fault. */
  readonly faults: number;
  readonly connectionsOpen: number;
  readonly connectionsOpened: number;
  readonly accessLogDropped: number;
  readonly internalErrors: number;
  readonly workerRestarts: number;
  readonly rules: number;
  readonly unusedRules: number;
  /** By the worker's number. */
  readonly workerLoads: Readonly<Record<string, WorkerLoadSummary>>;
}

export interface WorkerLoadSummary {
  readonly connectionsOpen: number;
  readonly streamsOpen: number;
  readonly requests: number;
  readonly busySeconds: number;
}

/** Unused rules first, then the least recently used. */
export function ruleHitsOf(families: readonly MetricFamily[]): readonly RuleHit[] {
  const lastMatches = new Map<string, number>();
  for (const { labels, value } of samplesOf(
    families,
    'sallyport_policy_rule_last_match_timestamp_seconds',
  )) {
    lastMatches.set(`${labels['policy']}\n${labels['rule']}`, value);
  }
  const hits = new Map<string, RuleHit>();
  for (const { labels, value } of samplesOf(families, 'sallyport_policy_rule_hits_total')) {
    const { policy = '', rule = '', verdict } = labels;
    const key = `${policy}\n${rule}`;
    const seconds = lastMatches.get(key) ?? 0;
    const before = hits.get(key);
    const isAllow = verdict === 'allow';
    hits.set(key, {
      policy,
      rule,
      allowed: (before?.allowed ?? 0) + (isAllow ? value : 0),
      denied: (before?.denied ?? 0) + (isAllow ? 0 : value),
      lastMatch: seconds === 0 ? null : new Date(seconds * 1000).toISOString(),
    });
  }
  return [...hits.values()].sort(compareHits);
}

export function summaryOf(families: readonly MetricFamily[]): MetricsSummary {
  const total = (name: MetricName, labels: Readonly<Record<string, string>> = {}): number =>
    samplesOf(families, name)
      .filter((sample) =>
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
      )
      .reduce((sum, { value }) => sum + value, 0);
  return {
    requests: total('sallyport_http_requests_total'),
    allowed: total('sallyport_policy_decisions_total', { verdict: 'allow' }),
    denied: total('sallyport_policy_decisions_total', { verdict: 'deny' }),
    faults: total('sallyport_faults_total'),
    connectionsOpen: total('sallyport_connections_open'),
    connectionsOpened: total('sallyport_connections_opened_total'),
    accessLogDropped: total('sallyport_access_log_dropped_total'),
    internalErrors: total('sallyport_internal_errors_total'),
    workerRestarts: total('sallyport_worker_restarts_total'),
    rules: total('sallyport_policy_rules'),
    unusedRules: ruleHitsOf(families).filter(isUnused).length,
    workerLoads: workerLoadsOf(families),
  };
}

function workerLoadsOf(families: readonly MetricFamily[]): MetricsSummary['workerLoads'] {
  const total = (name: MetricName, worker: string): number =>
    samplesOf(families, name).find(({ labels }) => labels['worker'] === worker)?.value ?? 0;
  const workers = samplesOf(families, 'sallyport_worker_connections_open');
  return Object.fromEntries(
    workers.map(({ labels: { worker = '' }, value }) => [
      worker,
      {
        connectionsOpen: value,
        streamsOpen: total('sallyport_worker_http2_streams_open', worker),
        requests: total('sallyport_worker_http_requests_total', worker),
        busySeconds: total('sallyport_worker_busy_seconds_total', worker),
      },
    ]),
  );
}

export function isUnused({ allowed, denied }: RuleHit): boolean {
  return allowed + denied === 0;
}

function samplesOf(families: readonly MetricFamily[], name: MetricName) {
  return families.find((family) => family.name === name)?.samples ?? [];
}

function compareHits(a: RuleHit, b: RuleHit): number {
  const byTime = compareText(a.lastMatch ?? '', b.lastMatch ?? '');
  return byTime || compareText(a.policy, b.policy) || compareText(a.rule, b.rule);
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
