/** What of a source is reported back to its cluster: policies as they are seen, and what became of them here. */
import type { InventoryEndpoint } from '../../../policy/resolve/inventory.ts';
import { LabelSet, selectorMatches } from '../../../policy/selector.ts';
import { formatHolder } from '../../decode/place.ts';
import { formatProblem } from '../../decode/problem.ts';
import type { DeniedPod, PolicyReport } from '../../report/policy_report.ts';
import type { UpdateResult } from '../../set/policy_checker.ts';
import type { RefusedDocument } from '../../set/policy_input.ts';
import { ENDPOINT_KIND } from '../../set/refused_endpoint.ts';
import type { ObjectSet } from '../objects/object_set.ts';

export type Reported = Pick<
  PolicyReport,
  'start' | 'put' | 'removed' | 'taken' | 'inForce' | 'deniedPods' | 'nodeProblem' | 'stop'
>;

export interface InForce {
  readonly set: ObjectSet;
  readonly endpoints: readonly InventoryEndpoint[];
}

export class ClusterReport {
  readonly #report: Reported;
  /** Endpoints that are denied because rules exclude each other there, by the set that was taken last. */
  #conflicts: readonly RefusedDocument[] = [];

  constructor(report: Reported) {
    this.#report = report;
  }

  /** Nothing of the cluster is in force, or what was kept on disk. */
  notListed(message: string): void {
    this.#report.nodeProblem({ reason: 'ClusterNotListed', message });
  }

  /** Of what was offered. */
  offered(result: UpdateResult, now: InForce): void {
    if (result.kind === 'accepted') {
      this.#conflicts = result.refused.filter(isEndpoint);
      this.#report.nodeProblem(null);
      this.inForce(now);
      return;
    }
    const [first] = result.problems;
    const message = first === undefined ? 'all policies are refused' : formatProblem(first);
    this.#report.nodeProblem({ reason: 'PolicyStale', message });
  }

  /** What was taken over says the same as what was offered last. */
  inForce({ set, endpoints }: InForce): void {
    this.#report.inForce(set.refused());
    const reasons = [...standInReasons(set, endpoints), ...this.#conflicts.map(conflictReason)];
    this.#report.deniedPods(podsOf(new Map(reasons), endpoints));
  }
}

/** The name of an endpoint, and why it is denied. */
type Reason = readonly [string, string];

/** Local ones that a policy selects for which default deny stands in. */
function standInReasons(
  set: ObjectSet,
  endpoints: readonly InventoryEndpoint[],
): readonly Reason[] {
  const standIns = set.standIns();
  if (standIns.length === 0) return [];
  return endpoints.flatMap(({ name, labels, isLocal }) => {
    if (!isLocal) return [];
    const labelSet = new LabelSet(labels);
    const found = standIns.find(({ document }) =>
      document.specs.some(
        ({ subject }) =>
          subject.kind === 'endpoints' && selectorMatches(subject.selector, labelSet),
      ),
    );
    if (found === undefined) return [];
    const holder = formatHolder(found.refused.place);
    return [[name, `${holder} is refused, and invalidPolicy is deny`] as const];
  });
}

function conflictReason({ place, problems }: RefusedDocument): Reason {
  const { namespace, name } = place.kind === 'object' ? place : { namespace: null, name: '' };
  const why = problems.map(({ message }) => message).join('; ');
  return [namespace === null ? name : `${namespace}/${name}`, why];
}

function isEndpoint({ place }: RefusedDocument): boolean {
  return place.kind === 'object' && place.apiKind === ENDPOINT_KIND;
}

function podsOf(
  reasons: ReadonlyMap<string, string>,
  endpoints: readonly InventoryEndpoint[],
): readonly DeniedPod[] {
  if (reasons.size === 0) return [];
  return endpoints.flatMap(({ name, podUid: uid, isLocal }) => {
    const why = reasons.get(name);
    if (why === undefined || !isLocal) return [];
    const [namespace = '', pod = ''] = name.split('/');
    return [{ namespace, name: pod, uid, because: `everything is denied: ${why}` }];
  });
}
