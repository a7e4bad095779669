/**
 * What `decide` returns: verdict, reason, rule and the header changes that go with it. Data only;
 * the caller replies, forwards and logs from it. Decisions without mutations are made once, when
 * the policy is compiled, and shared.
 */
import { isAlias } from './field_alias.ts';
import type { Direction } from './identity.ts';

/** The checks that can settle it: the connection (L3, L4, SNI), or what was asked on it. */
export const LAYERS = ['network', 'http', 'dns'] as const;

export type Layer = (typeof LAYERS)[number];

/** Has rules of its own (`rules.http`, `rules.dns`). To add one, see docs/extending.md. */
export type L7Protocol = Exclude<Layer, 'network'>;

export const DENY_REASONS = {
  'no-policy': 'no policy is known for the endpoint',
  'no-port-rule': 'no rule covers the port',
  'remote-not-allowed': 'no rule on the port allows the remote identity',
  'sni-not-allowed': 'no rule on the port allows the server name',
  'denied-by-rule': 'a deny rule matched',
  'no-http-rule-matched': 'no HTTP rule matched the request',
  'no-dns-rule-matched': 'no DNS rule matched the name',
  'not-judgeable': 'the port has L7 rules and the bytes are of another protocol',
  'regex-out-of-memory': 'a pattern set ran out of memory, so nothing could be judged',
  'regex-budget': 'the patterns of the port would cost more for this request than one verdict may',
  'service-without-backend': 'the Service has no backend, so a connection to it is refused at once',
  'service-backends-many':
    'more identities and ports are behind the Service than a verdict can be asked about',
  'service-backends-differ':
    'the backends of the Service lead to several identities or ports, and the rules for them ask in different ways',
  'identity-changed': 'an address of the connection belongs to another identity than when it began',
  'internal-error': 'an internal error, so nothing could be judged',
} as const satisfies Record<string, string>;

export type DenyReason = keyof typeof DENY_REASONS;

/** Names a rule for logs, metrics and explain: where it stands in which policy. */
export interface RuleRef {
  /** "namespace/name" of a CNP, "name" of a CCNP, "npds/<endpoint id>" of a wire policy. */
  readonly policy: string;
  /** Field path within the policy, such as `ingress[0].toPorts[0].rules.http[1]`, or a name. */
  readonly rule: string;
  /** Index into `PolicySnapshot.rules`, for hit counters. */
  readonly index: number;
}

/** One name and value for `missing_headers` / `rejected_headers`; secrets are "[redacted]". */
export type LoggedHeader = readonly [name: string, value: string];

/**
 * A change to the request's fields, applied in order to what goes upstream.
 * add: one more line with `value`; delete: all lines of that name go; replace: the first line of
 * that name gets `value` and the others go, or one is added (Envoy's setCopy would leave the
 * others in place, and with them the value that was to be replaced: docs/differences.md). Whichever
 * it is, lines of other names that a server may take for this one go, too (field_alias.ts).
 */
export interface HeaderMutation {
  readonly kind: 'add' | 'delete' | 'replace';
  /** Lower case. */
  readonly name: string;
  readonly value: string;
}

export interface AllowDecision {
  readonly verdict: 'allow';
  readonly layer: Layer;
  readonly reason: null;
  readonly rule: RuleRef | null;
  readonly mutations: readonly HeaderMutation[];
  /**
   * Fields that the rules looked at or changed, lower case; with every mutation's name. What was judged in the
   * head goes on as no trailer.
   */
  readonly judgedFields: readonly string[];
  readonly missing: readonly LoggedHeader[];
  readonly rejected: readonly LoggedHeader[];
  /** Whose word it is, where both sides' policies were asked. */
  readonly half?: Direction;
  /** By which the other side allowed it, too. */
  readonly otherRule?: RuleRef | null;
}

export interface DenyDecision {
  readonly verdict: 'deny';
  readonly layer: Layer;
  readonly reason: DenyReason;
  /** The deny rule that matched, if it was one. */
  readonly rule: RuleRef | null;
  /** What failed or earlier rules had changed: never sent anywhere, only for logs. */
  readonly mutations: readonly HeaderMutation[];
  readonly missing: readonly LoggedHeader[];
  readonly rejected: readonly LoggedHeader[];
  /** Whose word it is, where both sides' policies were asked. */
  readonly half?: Direction;
  /** Of an internal error: what was thrown, for the record. Never sent anywhere. */
  readonly cause?: unknown;
}

export type Decision = AllowDecision | DenyDecision;

export const NO_MUTATIONS: readonly HeaderMutation[] = Object.freeze([]);
export const NO_FIELDS: readonly string[] = Object.freeze([]);
export const NO_HEADERS: readonly LoggedHeader[] = Object.freeze([]);

/** `fields` (flat) after `mutations`, in order; the same array when there are none. */
export function applyMutations(
  fields: readonly string[],
  mutations: readonly HeaderMutation[],
): readonly string[] {
  let current = fields;
  for (const mutation of mutations) current = applyMutation(current, mutation);
  return current;
}

function applyMutation(fields: readonly string[], mutation: HeaderMutation): readonly string[] {
  const kept: string[] = [];
  let isPlaced = mutation.kind === 'delete';
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string;
    if (isAlias(name, mutation.name)) continue;
    if (mutation.kind === 'add' || name.toLowerCase() !== mutation.name) {
      kept.push(name, fields[i + 1] as string);
    } else if (!isPlaced) {
      kept.push(name, mutation.value);
      isPlaced = true;
    }
  }
  if (!isPlaced) kept.push(mutation.name, mutation.value);
  return kept;
}
