/**
 * The one form of policy, whatever it came from: shaped like Cilium's wire form (npds.proto), one
 * `EndpointPolicy` for each endpoint. CNP and CCNP are resolved into it (`policy/resolve`), NPDS
 * is decoded into it. Values here are already valid: what cannot be enforced was rejected before.
 *
 *     EndpointPolicy ─┬─ ingress: PortPolicy[] ── rules: PortRule[] ── l7: none | http | dns | ...
 *                     └─ egress:  PortPolicy[]
 *
 * Empty means what it means in npds.proto: no port policies = deny all of that direction; a port
 * policy without rules = allow all on that port; `remotes` null = any remote (an empty set selects
 * nobody); no server names = any.
 */
import type { L7Protocol } from '../model/decision.ts';
import type { Direction, Identity, KernelProtocol, Protocol } from '../model/identity.ts';
import type { RemoteSelector } from './remote_selector.ts';

export interface EndpointPolicy {
  /** "namespace/name" of the endpoint, or the wire policy's resource name; `VACANT`: nobody has its subject now. */
  readonly name: string;
  /** Canonical text of each address; the keys by which a connection finds its policy. */
  readonly endpointIps: readonly string[];
  readonly endpointId: number;
  /**
   * Endpoints of one number have the same policy in every set, whatever their addresses: their labels and named
   * ports are the same. Absent: nothing but its addresses says what its policy is.
   */
  readonly subject?: number;
  readonly ingress: readonly PortPolicy[];
  readonly egress: readonly PortPolicy[];
  /** What the wire form has no words for; absent when the policy came in that form. */
  readonly kernelOnly?: Readonly<Record<Direction, readonly PortPolicy<KernelProtocol>[]>>;
}

/** The name of a policy that is kept for the next endpoint of its subject: the last one may be another's by now. */
export const VACANT = '';

/** The "port" of an ICMP message is its type + 1, so that 0 means any here, too. */
export interface PortPolicy<P = Protocol> {
  /** 0 = any port. */
  readonly port: number;
  /** Inclusive; equal to `port` when it is no range. */
  readonly endPort: number;
  readonly protocol: P;
  readonly rules: readonly PortRule[];
}

export type RuleVerdict =
  | { readonly kind: 'allow' }
  | { readonly kind: 'deny' }
  | { readonly kind: 'pass'; readonly passPrecedence: number };

export interface PortRule {
  /** Higher is looked at first and wins, also over a deny of a lower one. */
  readonly precedence: number;
  readonly verdict: RuleVerdict;
  /** 0 = every listener; else only the listener with that proxy id. */
  readonly proxyId: number;
  readonly origin: RuleOrigin;
  /** Those that were selected when the rule was made. */
  readonly remotes: ReadonlySet<Identity> | null;
  /** Selects them anew when identities come and go; absent: they are these and no others. */
  readonly selector?: RemoteSelector;
  readonly serverNames: readonly string[];
  readonly l7: L7Rules;
}

/** What one rule of each L7 protocol is. */
export interface L7RuleTypes {
  readonly http: HttpRule;
  readonly dns: DnsRule;
}

/** The rules of a port are of one protocol, or of none. */
export type L7Rules = { readonly kind: 'none' } | L7RulesOf<L7Protocol>;

export type L7RulesOf<P extends L7Protocol> = {
  [One in P]: { readonly kind: One; readonly rules: readonly L7RuleTypes[One][] };
}[P];

export const NO_L7: L7Rules = Object.freeze({ kind: 'none' });

/** `RuleOrigin.policy` of what is allowed because no policy asks for default deny. */
export const DEFAULT_ALLOW_POLICY = 'reserved:default-allow';

/** `RuleOrigin.rule` of what an empty list of rules means: nobody wrote it. */
export const DEFAULT_ALLOW_RULE = 'default allow rule';

/** Where a rule stands in its source, for logs, metrics, explain and lint. */
export interface RuleOrigin {
  /** See `RuleRef.policy` and `RuleRef.rule`. */
  readonly policy: string;
  readonly rule: string;
}

/** All `matchers` must match, then all `headerMatches` are run. No matchers = any request. */
export interface HttpRule {
  readonly origin: RuleOrigin;
  readonly matchers: readonly HeaderMatcher[];
  readonly headerMatches: readonly HeaderMatch[];
  /** Conditions on fields as their author wrote them: to Cilium's agent "X-A 1" and "x-a: 1" are two rules. */
  readonly spelling?: string;
}

/** envoy.config.route.v3.HeaderMatcher, on a field or on ":method", ":path", ":authority". */
export interface HeaderMatcher {
  /** Lower case. */
  readonly name: string;
  readonly value: ValueMatcher;
  readonly isInverted: boolean;
  readonly treatMissingAsEmpty: boolean;
}

export type ValueMatcher =
  | { readonly kind: 'present'; readonly isPresent: boolean }
  | { readonly kind: 'exact'; readonly text: string; readonly ignoreCase: boolean }
  | { readonly kind: 'prefix'; readonly text: string; readonly ignoreCase: boolean }
  | { readonly kind: 'suffix'; readonly text: string; readonly ignoreCase: boolean }
  | { readonly kind: 'contains'; readonly text: string; readonly ignoreCase: boolean }
  | { readonly kind: 'regex'; readonly pattern: string }
  /** start inclusive, end exclusive, on the value as a base-10 64-bit integer. */
  | { readonly kind: 'range'; readonly start: bigint; readonly end: bigint }
  /** A secret that could not be read and has no fallback: matches nothing. */
  | { readonly kind: 'never'; readonly because: string };

export type MatchAction = 'continue' | 'fail' | 'delete';
export type MismatchAction = 'fail' | 'continue' | 'add' | 'delete' | 'replace';

/** npds.proto HeaderMatch: compares one field's value and changes or logs it. */
export interface HeaderMatch {
  /** Lower case. */
  readonly name: string;
  /** "" = presence match, unless a secret gives the value. */
  readonly value: string;
  /** Name of the secret whose value is compared; null when `value` is. */
  readonly secret: string | null;
  readonly matchAction: MatchAction;
  readonly mismatchAction: MismatchAction;
}

/** A question is allowed when one of the two matches; see `policy/match/fqdn_pattern.ts`. */
export interface DnsRule {
  readonly origin: RuleOrigin;
  readonly matchName: string | null;
  readonly matchPattern: string | null;
}

/** Both directions of one endpoint, by name. */
export function portPolicies(policy: EndpointPolicy, direction: Direction): readonly PortPolicy[] {
  return direction === 'ingress' ? policy.ingress : policy.egress;
}
