/** One decoded policy object, and what decoding gives beside it. Plain values: they can go to another thread. */
import type { EndpointPolicy } from '../../policy/ast.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import type { CidrGroup, PolicySpec } from '../../policy/rule.ts';
import type { Positions } from './context.ts';
import type { Place } from './place.ts';
import type { Problem } from './problem.ts';

export interface PolicyDocument {
  /** "CiliumNetworkPolicy", and "cilium.NetworkPolicy" for the wire form. */
  readonly kind: string;
  /** "namespace/name" or "name". A set has one document of a kind and name. */
  readonly name: string;
  readonly place: Place;
  /** As in `RuleOrigin.policy`. */
  readonly policy: string;
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  /** Of the wire form (NPDS). */
  readonly wirePolicies: readonly EndpointPolicy[];
  /** Where its rules stand. */
  readonly positions: Positions;
  /** Findings that its annotation wants ignored. */
  readonly ignored: ReadonlySet<FindingId>;
}

/** An object that is no policy, and was passed over. */
export interface OtherObject {
  readonly kind: string;
  readonly place: Place;
}

/** What one text or one object says. With a problem in it, nothing of it counts. */
export interface DecodedPolicies {
  readonly documents: readonly PolicyDocument[];
  readonly others: readonly OtherObject[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}
