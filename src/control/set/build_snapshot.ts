/**
 * A decoded set → what is enforced, all or nothing: a rule that cannot be enforced or a conflict rejects it. Reads no
 * file and keeps nothing.
 */
import type { Limits } from '../../model/limits.ts';
import { finish } from '../../model/steps.ts';
import type { EndpointPolicy, RuleOrigin } from '../../policy/ast.ts';
import type { PolicySnapshot, Workload } from '../../policy/compiled/snapshot.ts';
import type { WhoIsWho } from '../../policy/identity/ledger.ts';
import { Roster } from '../../policy/identity/roster.ts';
import type { SubjectNumbers } from '../../policy/identity/subject_numbers.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import type { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable, KnownIdentities } from '../../policy/resolve/identity_table.ts';
import type { MergeConflict } from '../../policy/resolve/merge.ts';
import { type ResolveInput, resolvePolicies } from '../../policy/resolve/resolve.ts';
import type { PolicySpec } from '../../policy/rule.ts';
import { WHOLE_SET } from '../decode/place.ts';
import { type Problem, type Rejected, rejected } from '../decode/problem.ts';
import { identityTableOf, workloadsOf } from './identity_table_of.ts';
import { placesOf, wholeOf } from './identity_whole.ts';
import { joinPolicies } from './join_policies.ts';
import { localOf } from './moving_identities.ts';
import type { PolicySet } from './policy_set.ts';
import { compileSet, type ResolvedPolicies, type ResolvedSet } from './resolved_set.ts';
import { withoutNumbers } from './unnumbered_endpoints.ts';

export interface BuildOptions {
  readonly revision: number;
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  /** Kept over rebuilds, so that identities stay what they are. */
  readonly allocator: IdentityAllocator;
  /** Numbers of subjects, kept over rebuilds; absent: the set takes no batches of endpoints. */
  readonly subjects?: SubjectNumbers;
  /** The number of the batch after which who is who is so; default 0. */
  readonly sequenceOf?: (whole: WhoIsWho) => number;
  /** A set without any policy opens every endpoint, as in Cilium, instead of closing all of them. */
  readonly isEmptySetOpen: boolean;
  /** See `ResolveInput.isHostJudged`. */
  readonly isHostJudged?: boolean;
  /** See `TableOptions.areInterfacesFound`. */
  readonly areInterfacesFound?: boolean;
  /** Label sets (canonical) that a question is about although nobody has them. */
  readonly extraLabels?: readonly (readonly string[])[];
  /** See `CompileOptions.previous`. */
  readonly previous?: PolicySnapshot;
}

export interface BuiltSnapshot extends BuiltRules {
  readonly table: IdentityTable;
}

/** Who is who, known without being made: rules are resolved by it. */
export interface KnownWho {
  readonly identities: KnownIdentities;
  /** Says the same. */
  readonly roster: Roster;
  /** Of all endpoints of this node. */
  readonly endpointIds: ReadonlyMap<string, number>;
  readonly workloads: readonly Workload[];
}

export interface BuiltRules {
  readonly kind: 'ok';
  readonly snapshot: PolicySnapshot;
  /** As it was given, with `reserved:init` for endpoints whose labels got no number. */
  readonly set: PolicySet;
  /** What it was compiled from. */
  readonly resolved: ResolvedSet;
  /** The set has no policy, so every endpoint is closed. */
  readonly isClosedAsEmpty: boolean;
  /** Endpoint name → names of the policies that select it, sorted; those in dry-run left out. */
  readonly selecting: ReadonlyMap<string, readonly string[]>;
  /** What is valid and cannot take effect, such as a named port that nobody has. */
  readonly warnings: readonly Problem[];
  /** Endpoints that are denied, as rules exclude each other there; empty where that is a conflict of the set. */
  readonly denied: readonly DeniedByConflict[];
}

export interface DeniedByConflict {
  readonly name: string;
  /** Null: endpoints are given none. */
  readonly subject: number | null;
  /** With both rules. */
  readonly problem: Problem;
}

export type BuildResult = BuiltSnapshot | Rejected;

/** Resolves and compiles the set: what is enforced, and beside it the shadow with dry-run counted in. */
export function buildSnapshot(given: PolicySet, options: BuildOptions): BuildResult {
  const tabled = identityTableOf(given, options);
  if (tabled.kind === 'error') return rejected([problemOf(given, null, tabled.message)]);
  const { table } = tabled;
  const set = withoutNumbers(given, table.unnumbered);
  const rules = resolveSet(set, table, options);
  if (rules.kind === 'rejected') return rules;
  const { policies } = rules.resolved.enforced;
  const whole = wholeOf(table, placesOf(policies));
  const resolved: ResolvedSet = {
    ...rules.resolved,
    roster: Roster.of(options.sequenceOf?.(whole) ?? 0, table.ipcache, table.entries),
    workloads: workloadsOf(localOf(set.inventory.endpoints), {
      ...options,
      identityOf: ({ name }) => table.identityOfEndpoint(name),
    }),
  };
  const built = compiled({ ...rules, resolved }, options);
  return built.kind === 'rejected' ? built : { ...built, table };
}

/** The same where who is who is known: `set` says of it what the set before it does. */
export function buildRules(
  set: PolicySet,
  { identities, roster, endpointIds, workloads }: KnownWho,
  options: BuildOptions,
): BuiltRules | Rejected {
  const rules = resolveSet(set, identities, { ...options, endpointIds });
  if (rules.kind === 'rejected') return rules;
  return compiled({ ...rules, resolved: { ...rules.resolved, roster, workloads } }, options);
}

function compiled(
  resolved: Omit<BuiltRules, 'snapshot'>,
  options: BuildOptions,
): BuiltRules | Rejected {
  const result = finish(compileSet(resolved.resolved, options));
  if (result.kind === 'ok') return { ...resolved, snapshot: result.snapshot };
  return rejected(
    result.problems.map(({ origin, endpoint, message }) =>
      problemOf(resolved.set, origin, origin === null ? `${endpoint}: ${message}` : message),
    ),
  );
}

type ResolvedRules = Omit<BuiltRules, 'snapshot' | 'resolved'> & {
  readonly resolved: Omit<ResolvedSet, 'roster' | 'workloads'>;
};

function resolveSet(
  set: PolicySet,
  identities: KnownIdentities,
  options: BuildOptions & Pick<ResolveInput, 'endpointIds'>,
): ResolvedRules | Rejected {
  const enforcedSpecs = set.specs.filter(({ isDryRun }) => !isDryRun);
  const isShadowed = enforcedSpecs.length < set.specs.length;
  const unselected = set.isEmpty && !options.isEmptySetOpen ? 'deny' : 'allow';
  const context: ResolveOneContext = {
    ...{ set, table: identities, unselected },
    isHostJudged: options.isHostJudged === true,
    ...(options.subjects === undefined ? {} : { subjects: options.subjects }),
    ...(options.endpointIds === undefined ? {} : { endpointIds: options.endpointIds }),
  };
  const shadow = isShadowed ? resolveOne(set.specs, context) : null;
  if (shadow?.kind === 'rejected') return shadow;
  const enforced = resolveOne(enforcedSpecs, context);
  if (enforced.kind === 'rejected') return enforced;
  return {
    kind: 'ok',
    set,
    resolved: {
      enforced: enforced.resolved,
      shadow: shadow?.resolved ?? null,
      secrets: set.secrets,
    },
    isClosedAsEmpty: unselected === 'deny',
    selecting: enforced.selecting,
    warnings: [
      ...enforced.warnings,
      ...deniedWarnings(enforced.denied, 'it denies'),
      ...deniedWarnings(onlyIn(shadow?.denied ?? [], enforced.denied), 'enforced, it would deny'),
    ],
    denied: enforced.denied,
  };
}

interface ResolveOneContext
  extends Pick<ResolveInput, 'table' | 'unselected' | 'subjects' | 'endpointIds'> {
  readonly set: PolicySet;
  readonly isHostJudged: boolean;
}

type ResolvedOne =
  | {
      readonly kind: 'ok';
      readonly resolved: ResolvedPolicies;
      readonly selecting: BuiltSnapshot['selecting'];
      readonly warnings: readonly Problem[];
      readonly denied: readonly DeniedByConflict[];
    }
  | Rejected;

function resolveOne(
  specs: readonly PolicySpec[],
  { set, ...context }: ResolveOneContext,
): ResolvedOne {
  const { inventory, cidrGroups, wirePolicies, areConflictsDenied } = set;
  const given = { specs, cidrGroups, inventory, areConflictsDenied };
  const resolved = resolvePolicies({ ...context, ...given });
  if (resolved.kind === 'conflict') {
    const { message, ...problem } = conflictProblem(set, resolved.conflict);
    return rejected([{ ...problem, message: `${message}, both for ${resolved.endpoint}` }]);
  }
  const { selecting } = resolved;
  const joined = joinPolicies(resolved.policies, { wirePolicies, selecting });
  if (joined.kind === 'conflict') return rejected([problemOf(set, null, joined.message)]);
  const { policies } = joined;
  const names = policyNames(specs, wirePolicies);
  const warnings = resolved.warnings.map(({ origin, message }) => problemOf(set, origin, message));
  const denied = resolved.denied.map(({ conflict, ...endpoint }) => ({
    ...endpoint,
    problem: conflictProblem(set, conflict),
  }));
  return { kind: 'ok', resolved: { policies, names }, selecting, warnings, denied };
}

function policyNames(
  specs: readonly PolicySpec[],
  wirePolicies: readonly EndpointPolicy[],
): readonly string[] {
  const names = [
    ...specs.map(({ origin }) => origin.policy),
    ...wirePolicies.map((policy) => policy.name),
  ];
  return [...new Set(names)].sort();
}

function originText({ policy, rule }: RuleOrigin): string {
  return rule === '' ? policy : `${rule} of ${policy}`;
}

function conflictProblem(set: PolicySet, { message, origins }: MergeConflict): Problem {
  const [first, second] = origins;
  return problemOf(set, second, `${message}: ${originText(first)} and ${originText(second)}`);
}

function onlyIn(
  denied: readonly DeniedByConflict[],
  others: readonly DeniedByConflict[],
): readonly DeniedByConflict[] {
  const names = new Set(others.map(({ name }) => name));
  return denied.filter(({ name }) => !names.has(name));
}

/** One for each conflict, with whom it denies. */
function deniedWarnings(denied: readonly DeniedByConflict[], verb: string): readonly Problem[] {
  const byMessage = Map.groupBy(denied, ({ problem }) => problem.message);
  return [...byMessage.values()].flatMap(([first, ...others]) => {
    if (first === undefined) return [];
    const more = others.length === 0 ? '' : ` and ${others.length} more`;
    const message = `${first.problem.message}; ${verb} ${first.name}${more}`;
    return [{ ...first.problem, message }];
  });
}

/** A problem of a rule stands where the rule does; one of the whole set stands nowhere. */
function problemOf(set: PolicySet, origin: RuleOrigin | null, message: string): Problem {
  if (origin === null) return { place: WHOLE_SET, field: '', message };
  return { place: set.placeOf(origin), field: originText(origin), message, policy: origin.policy };
}
