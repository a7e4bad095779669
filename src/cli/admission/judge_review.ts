/** What `check` says of the object of a review: in the same words, of the object alone. */
import { createJudge, type JudgeOptions } from '../../control/ask/judge.ts';
import { decodePolicyObject, type ObjectRef } from '../../control/decode/policy_object.ts';
import type { Problem } from '../../control/decode/problem.ts';
import { EMPTY_INPUT } from '../../control/set/policy_input.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import { type CheckFinding, errorsOf, findingsOf } from '../ask/check_findings.ts';
import { isRecord, type Review } from './review.ts';

export interface Judged {
  /** Empty: it is taken. */
  readonly errors: readonly CheckFinding[];
  /** Those that its annotation does not want to hear of are not among them. */
  readonly warnings: readonly CheckFinding[];
}

export interface ReviewOptions extends JudgeOptions {
  /** fromNodes and toNodes are allowed, as in the proxies. */
  readonly hasNodeLabels: boolean;
}

const NOTHING: Judged = { errors: [], warnings: [] };

const KINDS: ReadonlySet<string> = new Set([
  'CiliumNetworkPolicy',
  'CiliumClusterwideNetworkPolicy',
  'CiliumCIDRGroup',
  'NetworkPolicy',
  'ClusterNetworkPolicy',
  'AdminNetworkPolicy',
  'BaselineAdminNetworkPolicy',
]);

/** Of these an object alone says too little: what they miss may be in another one. */
const OF_WHOLE_SETS: ReadonlySet<FindingId> = new Set([
  'deny-only',
  'fqdn-not-askable',
  'not-a-policy',
]);

export function judgeReview(review: Review, options: ReviewOptions): Judged {
  if (review.skips !== null || !KINDS.has(review.kind)) return NOTHING;
  const ref: ObjectRef = {
    apiKind: review.kind,
    namespace: review.namespace,
    name: review.name ?? UNNAMED,
    uid: null,
  };
  if (review.tooDeep !== null) {
    const message = `lists and maps are nested deeper than documentDepthMax allows (${review.tooDeep})`;
    return refused([{ place: { kind: 'object', ...ref, field: '' }, field: '', message }]);
  }
  const decoded = decodePolicyObject(named(review.object, ref), ref, options);
  if (decoded.kind === 'refused') return refused(decoded.problems);
  const { document, warnings } = decoded;
  const { hasNodeLabels } = options;
  const judged = createJudge(
    { ...EMPTY_INPUT, documents: [document], warnings, hasNodeLabels, parts: [document] },
    options,
  );
  if (judged.kind === 'rejected') return refused(judged.problems);
  const told = findingsOf(judged, options).filter(
    ({ id, severity, isIgnored }) => severity === 'warning' && !isIgnored && !OF_WHOLE_SETS.has(id),
  );
  return { errors: [], warnings: told };
}

/** Stands for the name that the API server will make up. */
const UNNAMED = 'new';

/** With the name and the namespace by which the API server will store it; without what only that one writes. */
function named(object: unknown, { name, namespace }: ObjectRef): unknown {
  if (!isRecord(object)) return object;
  const { metadata, status: _, ...rest } = object;
  const { labels, annotations } = isRecord(metadata) ? metadata : {};
  return {
    ...rest,
    metadata: {
      name,
      ...(namespace === null ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  };
}

function refused(problems: readonly Problem[]): Judged {
  return { errors: errorsOf(problems), warnings: [] };
}
