/** What the documents of one text say, side by side. */
import type { Positions } from '../../../src/control/decode/context.ts';
import type {
  DecodedPolicies,
  PolicyDocument,
} from '../../../src/control/decode/policy_document.ts';
import type { FindingId } from '../../../src/policy/lint/finding_kinds.ts';

type Sums = Pick<PolicyDocument, 'specs' | 'cidrGroups' | 'wirePolicies' | 'positions'>;

export interface Decoded extends Omit<DecodedPolicies, 'documents'>, Sums {
  readonly names: readonly PolicyDocument[];
  /** By policy. */
  readonly ignored: ReadonlyMap<string, ReadonlySet<FindingId>>;
}

export function flattened({ documents, others, problems, warnings }: DecodedPolicies): Decoded {
  const positions: Positions = new Map(documents.flatMap((one) => [...one.positions]));
  const ignoring = documents.filter(({ ignored }) => ignored.size > 0);
  return {
    names: documents,
    specs: documents.flatMap(({ specs }) => specs),
    cidrGroups: documents.flatMap(({ cidrGroups }) => cidrGroups),
    wirePolicies: documents.flatMap(({ wirePolicies }) => wirePolicies),
    positions,
    ignored: new Map(ignoring.map(({ policy, ignored }) => [policy, ignored])),
    others,
    problems,
    warnings,
  };
}
