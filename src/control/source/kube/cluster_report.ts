/** What of a source is reported back to its cluster: policies as they are seen, and what became of them here. */
import type { InventoryEndpoint } from '../../../policy/resolve/inventory.ts';
import { LabelSet, selectorMatches } from '../../../policy/selector.ts';
import { formatHolder } from '../../decode/place.ts';
import { formatProblem } from '../../decode/problem.ts';
import type { DeniedPod, PolicyReport } from '../../report/policy_report.ts';
import type { UpdateResult } from '../../set/policy_checker.ts';
import type { ObjectSet } from '../objects/object_set.ts';

export type Reported = Pick<
  PolicyReport,
  'start' | 'put' | 'removed' | 'taken' | 'inForce' | 'deniedPods' | 'nodeProblem' | 'stop'
>;

export interface InForce {
  readonly set: ObjectSet;
  readonly endpoints: readonly InventoryEndpoint[];
}

/** Of what was offered. */
export function reportResult(report: Reported, result: UpdateResult, now: InForce): void {
  if (result.kind === 'accepted') {
    report.nodeProblem(null);
    reportInForce(report, now);
    return;
  }
  const [first] = result.problems;
  const message = first === undefined ? 'the set of all policies is refused' : formatProblem(first);
  report.nodeProblem({ reason: 'PolicyStale', message });
}

export function reportInForce(report: Reported, { set, endpoints }: InForce): void {
  report.inForce(set.refused());
  report.deniedPods(deniedPods(set, endpoints));
}

/** Local ones that a policy selects for which default deny stands in. */
function deniedPods(set: ObjectSet, endpoints: readonly InventoryEndpoint[]): readonly DeniedPod[] {
  const standIns = set.standIns();
  if (standIns.length === 0) return [];
  return endpoints.flatMap(({ name, labels, isLocal, podUid }) => {
    if (!isLocal) return [];
    const labelSet = new LabelSet(labels);
    const found = standIns.find(({ document }) =>
      document.specs.some(
        ({ subject }) =>
          subject.kind === 'endpoints' && selectorMatches(subject.selector, labelSet),
      ),
    );
    if (found === undefined) return [];
    const [namespace = '', pod = ''] = name.split('/');
    const holder = formatHolder(found.refused.place);
    const because = `everything is denied: ${holder} is refused, and invalidPolicy is deny`;
    return [{ namespace, name: pod, uid: podUid, because }];
  });
}
