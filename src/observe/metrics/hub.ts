/**
 * The supervisor's side of the metrics: takes what the workers counted, adds its own, and renders the
 * sum by prom-client. A scrape must never see a counter go back, so the last word of a worker that
 * died (or does not answer) stays in the sum.
 *
 *     live      slot 0 → snapshot of instance c      (its last one, if it did not answer now)
 *     departed  sums of instances a, b, ... whose slots others have taken
 */
import { AggregatorRegistry } from 'prom-client';
import type { Clock } from '../../platform/platform.ts';
import type { MetricSample } from './cells.ts';
import type { MetricsSnapshot } from './counters.ts';
import { familyOf, type MetricFamily } from './family.ts';
import { processFamilies } from './process_stats.ts';
import { type MetricsSummary, type RuleHit, ruleHitsOf, summaryOf } from './summary.ts';
import { METRICS, type MetricName, OTHER_RULE } from './table.ts';

export interface MetricsHubOptions {
  readonly version: string;
  readonly clock: Clock;
  /** False while the sources' newest set is not in force, as it was rejected or cannot be read. */
  readonly isPolicyCurrent: () => boolean;
  /** Policies that their source refuses alone. */
  readonly refusedObjectCount: () => number;
  /** Null: nobody looks for interfaces. */
  readonly interfaceWaits: () => InterfaceWaitNumbers | null;
  /** Null: no Services are translated at the sockets of this node. */
  readonly serviceCounts: () => ServiceCounts | null;
  /** How old what was read of a cluster may be; null: none is read. */
  readonly clusterHealth: () => ClusterHealth | null;
}

/** As the loader of the redirect tells them. */
export interface InterfaceWaitNumbers {
  readonly interfaces: number;
  readonly pods: number;
  readonly overdue: number;
  /** By the monotonic clock of the node; 0: nobody waits. */
  readonly oldestSinceMs: number;
  readonly openedTotal: number;
  readonly openedWaitMsTotal: number;
  readonly overdueTotal: number;
}

/** As the hooks at the sockets count them. The first four are all that can become of dialling a Service. */
export type ServiceCounts = Readonly<
  Record<(typeof DIAL_RESULTS)[number] | 'kept' | 'chosen-anew' | 'forgotten', bigint>
>;

const DIAL_RESULTS = ['connected', 'sent', 'refused', 'unsettled'] as const;

export interface ClusterHealth {
  readonly stale: readonly { readonly part: string; readonly sinceMs: number }[];
  /** Policies whose status this process cannot write. */
  readonly unwrittenCount: number;
  readonly restoredAtMs: number | null;
}

/** What came of reading the policy sources. */
export type PolicyUpdateResult = 'accepted' | 'rejected' | 'failed';

export interface MergedMetrics {
  readonly families: readonly MetricFamily[];
  /** The exposition format of Prometheus, 0.0.4. */
  text(): Promise<string>;
  ruleHits(): readonly RuleHit[];
  summary(): MetricsSummary;
}

export const METRICS_CONTENT_TYPE = AggregatorRegistry.PROMETHEUS_CONTENT_TYPE;

export class MetricsHub {
  readonly #options: MetricsHubOptions;
  readonly #live = new Map<number, MetricsSnapshot>();
  readonly #updates = new Map<PolicyUpdateResult, number>([
    ['accepted', 0],
    ['rejected', 0],
    ['failed', 0],
  ]);
  #departed: readonly MetricFamily[] = [];
  #revision = 0;
  #updatedAtMs = 0;
  #restartCount = 0;
  #hangCount = 0;
  #batchCount = 0;
  #resyncCount = 0;

  constructor(options: MetricsHubOptions) {
    this.#options = options;
  }

  /** `revision`: of the set in force from now on; for a set that is not, what it is anyway. */
  policyUpdated(result: PolicyUpdateResult, revision: number): void {
    this.#updates.set(result, (this.#updates.get(result) ?? 0) + 1);
    this.#revision = revision;
    if (result === 'accepted') this.#updatedAtMs = this.#options.clock.wallMs();
  }

  workerRestarted(): void {
    this.#restartCount++;
  }

  identitiesChanged(): void {
    this.#batchCount++;
  }

  identitiesBroken(): void {
    this.#resyncCount++;
  }

  workerHung(): void {
    this.#hangCount++;
  }

  /** `snapshots`: of the workers that answered. `workers`: how many there are in each state. */
  async merge(
    snapshots: readonly MetricsSnapshot[],
    workers: Readonly<Record<string, number>>,
  ): Promise<MergedMetrics> {
    for (const snapshot of snapshots) this.#take(snapshot);
    const own = [...this.#ownFamilies(workers), ...(await processFamilies('supervisor'))];
    const live = [...this.#live.values()].map(({ families }) => families);
    const families = mergeFamilies([this.#departed, ...live, own]);
    return new Merged(families);
  }

  #take(snapshot: MetricsSnapshot): void {
    const before = this.#live.get(snapshot.workerIndex);
    this.#live.set(snapshot.workerIndex, snapshot);
    if (before === undefined || before.instanceId === snapshot.instanceId) return;
    const departed = mergeFamilies([this.#departed, before.families.filter(isKeptAfterDeath)]);
    const live = [...this.#live.values()].map(({ families }) => families);
    this.#departed = withoutOldRules(departed, live);
  }

  #ownFamilies(workers: Readonly<Record<string, number>>): readonly MetricFamily[] {
    const { version } = this.#options;
    return [
      ...[...this.#updates].map(([result, count]) =>
        familyOf('sallyport_policy_updates_total', count, { result }),
      ),
      familyOf('sallyport_policy_revision', this.#revision),
      familyOf('sallyport_policy_last_update_timestamp_seconds', this.#updatedAtMs / 1000),
      familyOf('sallyport_policy_last_update_successful', this.#options.isPolicyCurrent() ? 1 : 0),
      familyOf('sallyport_policy_objects_refused', this.#options.refusedObjectCount()),
      ...clusterFamilies(this.#options.clusterHealth()),
      ...Object.entries(workers).map(([state, count]) =>
        familyOf('sallyport_workers', count, { state }),
      ),
      familyOf('sallyport_worker_restarts_total', this.#restartCount),
      familyOf('sallyport_worker_hangs_total', this.#hangCount),
      familyOf('sallyport_identity_batches_total', this.#batchCount),
      familyOf('sallyport_identity_resyncs_total', this.#resyncCount),
      ...waitFamilies(this.#options.interfaceWaits(), monotonicMs()),
      ...serviceFamilies(this.#options.serviceCounts()),
      familyOf('sallyport_build_info', 1, { version, node_version: process.versions.node }),
    ];
  }
}

function waitFamilies(waits: InterfaceWaitNumbers | null, nowMs: number): readonly MetricFamily[] {
  if (waits === null) return [];
  const { oldestSinceMs } = waits;
  const oldestMs = oldestSinceMs === 0 ? 0 : Math.max(0, nowMs - oldestSinceMs);
  return [
    familyOf('sallyport_redirect_interfaces_waiting', waits.interfaces),
    familyOf('sallyport_redirect_pods_waiting', waits.pods),
    familyOf('sallyport_redirect_waits_overdue', waits.overdue),
    familyOf('sallyport_redirect_waits_overdue_total', waits.overdueTotal),
    familyOf('sallyport_redirect_oldest_wait_seconds', oldestMs / 1000),
    familyOf('sallyport_redirect_interfaces_opened_total', waits.openedTotal),
    familyOf('sallyport_redirect_interface_wait_seconds_total', waits.openedWaitMsTotal / 1000),
  ];
}

function serviceFamilies(counts: ServiceCounts | null): readonly MetricFamily[] {
  if (counts === null) return [];
  const { kept, forgotten } = counts;
  return [
    ...DIAL_RESULTS.map((result) =>
      familyOf('sallyport_service_dials_total', Number(counts[result]), { result }),
    ),
    familyOf('sallyport_service_affinity_kept_total', Number(kept)),
    familyOf('sallyport_service_backends_chosen_anew_total', Number(counts['chosen-anew'])),
    familyOf('sallyport_service_dials_forgotten_total', Number(forgotten)),
  ];
}

/** Of the node, as the loader's: not since this process began. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** Secrets count as one: how many there are is for users of the cluster to say. */
function clusterFamilies(health: ClusterHealth | null): readonly MetricFamily[] {
  if (health === null) return [];
  const since = new Map<string, number>();
  for (const { part, sinceMs } of health.stale) {
    const [kind = part] = part.split(' ');
    since.set(kind, Math.min(sinceMs, since.get(kind) ?? sinceMs));
  }
  return [
    familyOf('sallyport_cluster_stale', since.size),
    familyOf('sallyport_cluster_statuses_unwritten', health.unwrittenCount),
    familyOf('sallyport_cluster_restored_timestamp_seconds', (health.restoredAtMs ?? 0) / 1000),
    ...[...since].map(([kind, sinceMs]) =>
      familyOf('sallyport_cluster_stale_since_timestamp_seconds', sinceMs / 1000, { kind }),
    ),
  ];
}

class Merged implements MergedMetrics {
  readonly families: readonly MetricFamily[];

  constructor(families: readonly MetricFamily[]) {
    this.families = families;
  }

  text(): Promise<string> {
    const metrics = this.families.map(({ name, samples }) => {
      const { help, type, merge } = METRICS[name];
      const values = samples.map(({ suffix, labels, value }) => ({
        value,
        labels,
        metricName: `${name}${suffix}`,
      }));
      return { name, help, type, aggregator: merge, values };
    });
    return AggregatorRegistry.aggregate([metrics]).metrics();
  }

  ruleHits(): readonly RuleHit[] {
    return ruleHitsOf(this.families);
  }

  summary(): MetricsSummary {
    return summaryOf(this.families);
  }
}

/** One family for each metric, in the table's order, one sample for each set of labels. */
export function mergeFamilies(lists: readonly (readonly MetricFamily[])[]): MetricFamily[] {
  const byName = new Map<MetricName, Map<string, MetricSample>>();
  for (const { name, samples } of lists.flat()) {
    let merged = byName.get(name);
    if (merged === undefined) {
      merged = new Map();
      byName.set(name, merged);
    }
    for (const sample of samples) addSample(merged, name, sample);
  }
  const families: MetricFamily[] = [];
  for (const name of Object.keys(METRICS) as MetricName[]) {
    const merged = byName.get(name);
    if (merged !== undefined) families.push({ name, samples: [...merged.values()] });
  }
  return families;
}

function addSample(
  merged: Map<string, MetricSample>,
  name: MetricName,
  sample: MetricSample,
): void {
  const key = `${sample.suffix}\n${labelKey(name, sample)}`;
  const other = merged.get(key);
  if (other === undefined) {
    merged.set(key, sample);
    return;
  }
  const value =
    METRICS[name].merge === 'max'
      ? Math.max(other.value, sample.value)
      : other.value + sample.value;
  merged.set(key, { ...sample, value });
}

function labelKey(name: MetricName, { labels }: MetricSample): string {
  const names: readonly string[] = METRICS[name].labels;
  return `${names.map((label) => labels[label] ?? '').join('\n')}\n${labels['le'] ?? ''}`;
}

/** A gauge says what is; of a dead worker nothing is, but when a rule last matched stays true. */
function isKeptAfterDeath({ name }: MetricFamily): boolean {
  return METRICS[name].type !== 'gauge' || RULE_METRICS.includes(name);
}

const RULE_METRICS: readonly MetricName[] = [
  'sallyport_policy_rule_hits_total',
  'sallyport_policy_shadow_rule_hits_total',
  'sallyport_policy_rule_last_match_timestamp_seconds',
];

/** Rules that no live worker knows any more would otherwise pile up with every reload. */
function withoutOldRules(
  departed: readonly MetricFamily[],
  live: readonly (readonly MetricFamily[])[],
): readonly MetricFamily[] {
  const known = new Set<string>([`${OTHER_RULE}\n${OTHER_RULE}`]);
  for (const { name, samples } of live.flat()) {
    if (!RULE_METRICS.includes(name)) continue;
    for (const { labels } of samples) known.add(`${labels['policy']}\n${labels['rule']}`);
  }
  return departed.map((family) =>
    RULE_METRICS.includes(family.name)
      ? {
          ...family,
          samples: family.samples.filter(({ labels }) =>
            known.has(`${labels['policy']}\n${labels['rule']}`),
          ),
        }
      : family,
  );
}
