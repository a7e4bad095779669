/**
 * A policy set as a whole: texts → decoded set → snapshot. All or nothing: one bad document, one
 * rule that cannot be enforced or one conflict rejects the set. Reads no file and keeps nothing.
 */
import type { Limits } from '../../model/limits.ts';
import { finish } from '../../model/steps.ts';
import type { EndpointPolicy, RuleOrigin } from '../../policy/ast.ts';
import type { PolicySnapshot, Workload } from '../../policy/compiled/snapshot.ts';
import { Roster } from '../../policy/identity/roster.ts';
import type { SubjectNumbers } from '../../policy/identity/subject_numbers.ts';
import { compareText } from '../../policy/labels.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import type { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import { buildIdentityTable, type IdentityTable } from '../../policy/resolve/identity_table.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../policy/resolve/inventory.ts';
import { namedPrefixes } from '../../policy/resolve/prefixes.ts';
import { resolvePolicies } from '../../policy/resolve/resolve.ts';
import type { CidrGroup, PolicySpec } from '../../policy/rule.ts';
import { type DecodeOptions, positionKey } from '../decode/context.ts';
import { decodeEndpoints } from '../decode/endpoints/endpoints.ts';
import { formatPlace, type Place, WHOLE_SET } from '../decode/place.ts';
import type { DocumentName, OtherObject } from '../decode/policy_documents.ts';
import type { Problem } from '../decode/problem.ts';
import { decodeSecrets } from '../decode/secrets.ts';
import { DecodedFiles } from './decoded_files.ts';
import { compileSet, type ResolvedPolicies, type ResolvedSet } from './resolved_set.ts';

export interface SourceText {
  /** A path, or what stands for it in messages. */
  readonly path: string;
  readonly text: string;
}

export interface SourceBundle {
  readonly policies: readonly SourceText[];
  readonly endpoints: SourceText | null;
  readonly secrets: SourceText | null;
  /** Rules and identities know the labels of nodes (Cilium's enable-node-selector-labels); absent: they do not. */
  readonly hasNodeLabels?: boolean;
}

export interface PolicySet {
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  /** Policies that came in wire form (NPDS). */
  readonly wirePolicies: readonly EndpointPolicy[];
  readonly inventory: Inventory;
  readonly secrets: ReadonlyMap<string, string>;
  /** Where rules stand, by `positionKey`. */
  readonly positions: ReadonlyMap<string, Place>;
  /** Findings that a policy's annotation wants ignored, by the policy's name. */
  readonly ignored: ReadonlyMap<string, ReadonlySet<FindingId>>;
  /** As in the bundle. */
  readonly hasNodeLabels?: boolean;
}

export type PolicySetResult =
  | { readonly kind: 'ok'; readonly set: PolicySet; readonly warnings: readonly Problem[] }
  | Rejected;

/** Decodes all texts; one problem in one of them rejects the whole. `files`: kept by who decodes often. */
export function decodePolicySet(
  bundle: SourceBundle,
  options: DecodeOptions,
  files = new DecodedFiles(),
): PolicySetResult {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const specs: PolicySpec[] = [];
  const cidrGroups: CidrGroup[] = [];
  const wirePolicies: EndpointPolicy[] = [];
  const positions = new Map<string, Place>();
  const ignored = new Map<string, ReadonlySet<FindingId>>();
  const names: DocumentName[] = [];
  const others: OtherObject[] = [];
  const hasNodeLabels = bundle.hasNodeLabels === true;
  for (const file of files.decode(bundle.policies, { ...options, hasNodeLabels })) {
    problems.push(...file.problems);
    warnings.push(...file.warnings);
    specs.push(...file.specs);
    cidrGroups.push(...file.cidrGroups);
    wirePolicies.push(...file.wirePolicies);
    names.push(...file.names);
    others.push(...file.others);
    for (const [key, position] of file.positions) positions.set(key, position);
    for (const [policy, ids] of file.ignored) ignored.set(policy, ids);
  }
  problems.push(...duplicates(names));
  warnings.push(...passedOver(others));
  const inventory = inventoryOf(bundle.endpoints, options, problems);
  const secrets = secretsOf(bundle.secrets, options, problems);
  if (problems.length > 0) return rejected(problems);
  return {
    kind: 'ok',
    set: { specs, cidrGroups, wirePolicies, inventory, secrets, positions, ignored, hasNodeLabels },
    warnings,
  };
}

/** One word for all of them: folders hold the rest of what is deployed, too. */
function passedOver(others: readonly OtherObject[]): Problem[] {
  const [first] = others;
  if (first === undefined) return [];
  const counts = new Map<string, number>();
  for (const { kind } of others) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1] || compareText(a[0], b[0]));
  const shown = sorted.slice(0, KINDS_SHOWN_MAX).map(([kind, count]) => `${kind} (${count})`);
  const rest =
    sorted.length > KINDS_SHOWN_MAX ? ` and ${sorted.length - KINDS_SHOWN_MAX} more kinds` : '';
  const are = others.length === 1 ? 'object of another kind is' : 'objects of other kinds are';
  const message = `${others.length} ${are} no policy and passed over: ${shown.join(', ')}${rest}`;
  return [{ place: first.place, field: '', message, id: 'not-a-policy' }];
}

const KINDS_SHOWN_MAX = 8;

/** Two objects of one kind and name: which of them counts would depend on the order of files. */
function duplicates(names: readonly DocumentName[]): Problem[] {
  const first = new Map<string, DocumentName>();
  const problems: Problem[] = [];
  for (const named of names) {
    const key = `${named.kind} ${named.name}`;
    const other = first.get(key);
    if (other === undefined) {
      first.set(key, named);
      continue;
    }
    const message = `${key} is also at ${formatPlace(other.place)}`;
    problems.push({ place: named.place, field: '', message });
  }
  return problems;
}

function inventoryOf(
  source: SourceText | null,
  options: DecodeOptions,
  problems: Problem[],
): Inventory {
  if (source === null) return EMPTY_INVENTORY;
  const decoded = decodeEndpoints(source, options.limits);
  if (decoded.kind === 'ok') return decoded.inventory;
  problems.push(...decoded.problems);
  return EMPTY_INVENTORY;
}

function secretsOf(
  source: SourceText | null,
  options: DecodeOptions,
  problems: Problem[],
): ReadonlyMap<string, string> {
  if (source === null) return new Map();
  const decoded = decodeSecrets(source, options.limits);
  if (decoded.kind === 'ok') return decoded.secrets;
  problems.push(...decoded.problems);
  return new Map();
}

export interface BuildOptions {
  readonly revision: number;
  readonly regexEngine: RegexEngine;
  readonly limits: Limits;
  /** Kept over rebuilds, so that identities stay what they are. */
  readonly allocator: IdentityAllocator;
  /** Numbers of subjects, kept over rebuilds; absent: the set takes no batches of endpoints. */
  readonly subjects?: SubjectNumbers;
  /** Of the last batch of identities that the set has in it; default 0. */
  readonly sequence?: number;
  /** A set without any policy opens every endpoint, as in Cilium, instead of closing all of them. */
  readonly isEmptySetOpen: boolean;
  /** See `ResolveInput.isHostJudged`. */
  readonly isHostJudged?: boolean;
  /** Label sets (canonical) that a question is about although nobody has them. */
  readonly extraLabels?: readonly (readonly string[])[];
}

export interface BuiltSnapshot {
  readonly kind: 'ok';
  readonly snapshot: PolicySnapshot;
  /** What it was compiled from. */
  readonly resolved: ResolvedSet;
  readonly table: IdentityTable;
  /** The set has no policy, so every endpoint is closed. */
  readonly isClosedAsEmpty: boolean;
  /** Endpoint name → names of the policies that select it, sorted; those in dry-run left out. */
  readonly selecting: ReadonlyMap<string, readonly string[]>;
  /** What is valid and cannot take effect, such as a named port that nobody has. */
  readonly warnings: readonly Problem[];
}

export type BuildResult = BuiltSnapshot | Rejected;

export interface Rejected {
  readonly kind: 'rejected';
  readonly problems: readonly Problem[];
}

/** Resolves and compiles the set: what is enforced, and beside it the shadow with dry-run counted in. */
export function buildSnapshot(set: PolicySet, options: BuildOptions): BuildResult {
  const resolved = resolveSet(set, options);
  if (resolved.kind === 'rejected') return resolved;
  const compiled = finish(compileSet(resolved.resolved, options));
  if (compiled.kind === 'error') {
    return rejected(
      compiled.problems.map(({ origin, endpoint, message }) =>
        problemOf(set, origin, origin === null ? `${endpoint}: ${message}` : message),
      ),
    );
  }
  return { ...resolved, snapshot: compiled.snapshot };
}

type ResolvedResult = Omit<BuiltSnapshot, 'snapshot'> | Rejected;

function resolveSet(set: PolicySet, options: BuildOptions): ResolvedResult {
  const tabled = buildIdentityTable({
    inventory: set.inventory,
    prefixes: namedPrefixes({ ...set, services: set.inventory.services }),
    extra: options.extraLabels ?? [],
    allocator: options.allocator,
    identityCountMax: options.limits.identityCountMax,
    hasNodeLabels: set.hasNodeLabels === true,
  });
  if (tabled.kind === 'error') return rejected([problemOf(set, null, tabled.message)]);
  const { table } = tabled;
  const enforcedSpecs = set.specs.filter(({ isDryRun }) => !isDryRun);
  const isShadowed = enforcedSpecs.length < set.specs.length;
  const unselected = isEmptySet(set) && !options.isEmptySetOpen ? 'deny' : 'allow';
  const context: ResolveOneContext = {
    ...{ set, table, unselected },
    isHostJudged: options.isHostJudged === true,
    ...(options.subjects === undefined ? {} : { subjects: options.subjects }),
  };
  const shadow = isShadowed ? resolveOne(set.specs, context) : null;
  if (shadow?.kind === 'rejected') return shadow;
  const enforced = resolveOne(enforcedSpecs, context);
  if (enforced.kind === 'rejected') return enforced;
  return {
    kind: 'ok',
    resolved: {
      enforced: enforced.resolved,
      shadow: shadow?.resolved ?? null,
      roster: Roster.of(options.sequence ?? 0, table.ipcache, table.entries),
      secrets: set.secrets,
      workloads: workloadsOf(set.inventory, table),
    },
    table,
    isClosedAsEmpty: unselected === 'deny',
    selecting: enforced.selecting,
    warnings: enforced.warnings,
  };
}

/** Without any policy, also one in dry-run. */
export function isEmptySet({ specs, wirePolicies }: PolicySet): boolean {
  return specs.length === 0 && wirePolicies.length === 0;
}

interface ResolveOneContext {
  readonly set: PolicySet;
  readonly table: IdentityTable;
  readonly unselected: 'allow' | 'deny';
  readonly isHostJudged: boolean;
  readonly subjects?: SubjectNumbers;
}

type ResolvedOne =
  | {
      readonly kind: 'ok';
      readonly resolved: ResolvedPolicies;
      readonly selecting: BuiltSnapshot['selecting'];
      readonly warnings: readonly Problem[];
    }
  | Rejected;

function resolveOne(
  specs: readonly PolicySpec[],
  { set, ...context }: ResolveOneContext,
): ResolvedOne {
  const { inventory, cidrGroups, wirePolicies } = set;
  const resolved = resolvePolicies({ ...context, specs, cidrGroups, inventory });
  if (resolved.kind === 'conflict') {
    const [first, second] = resolved.conflict.origins;
    const message = `${resolved.conflict.message}: ${originText(first)} and ${originText(second)}, both for ${resolved.endpoint}`;
    return rejected([problemOf(set, second, message)]);
  }
  const { selecting } = resolved;
  const joined = joinPolicies(resolved.policies, { wirePolicies, selecting });
  if (joined.kind === 'conflict') return rejected([problemOf(set, null, joined.message)]);
  const { policies } = joined;
  const names = policyNames(specs, wirePolicies);
  const warnings = resolved.warnings.map(({ origin, message }) => problemOf(set, origin, message));
  return { kind: 'ok', resolved: { policies, names }, selecting, warnings };
}

export function workloadsOf(inventory: Inventory, table: IdentityTable): readonly Workload[] {
  return inventory.endpoints.flatMap(({ name, ips, interface: host }) => {
    const identity = table.identityOfEndpoint(name);
    if (host === null || identity === null) return [];
    return { name, interface: host, ips: ips.map(({ text }) => text), identity };
  });
}

type JoinResult =
  | { readonly kind: 'ok'; readonly policies: readonly EndpointPolicy[] }
  | { readonly kind: 'conflict'; readonly message: string };

/**
 * An endpoint can have a wire policy or be selected by CNPs, not both: whose word counts would
 * depend on the order. One of the inventory that no CNP selects gives way to the wire policy for
 * its address, and lends it its name.
 */
function joinPolicies(
  resolved: readonly EndpointPolicy[],
  others: {
    readonly wirePolicies: readonly EndpointPolicy[];
    readonly selecting: ReadonlyMap<string, readonly string[]>;
  },
): JoinResult {
  const wireByIp = new Map<string, EndpointPolicy>();
  for (const policy of others.wirePolicies) {
    for (const ip of policy.endpointIps) wireByIp.set(ip, policy);
  }
  const names = new Map<EndpointPolicy, string>();
  const policies: EndpointPolicy[] = [];
  for (const policy of resolved) {
    const wire = policy.endpointIps.map((ip) => wireByIp.get(ip)).find((one) => one !== undefined);
    if (wire === undefined) {
      policies.push(policy);
      continue;
    }
    const [selecting] = others.selecting.get(policy.name) ?? [];
    if (selecting !== undefined) {
      const message = `endpoint ${policy.name} has the wire policy ${wire.name} and is selected by ${selecting}`;
      return { kind: 'conflict', message };
    }
    const endpointIps = policy.endpointIps.filter((ip) => !wireByIp.has(ip));
    if (endpointIps.length > 0) policies.push({ ...policy, endpointIps });
    else names.set(wire, policy.name);
  }
  for (const wire of others.wirePolicies) {
    policies.push({ ...wire, name: names.get(wire) ?? wire.name });
  }
  return { kind: 'ok', policies };
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

/** A problem of a rule stands where the rule does; one of the whole set stands nowhere. */
function problemOf(set: PolicySet, origin: RuleOrigin | null, message: string): Problem {
  if (origin === null) return { place: WHOLE_SET, field: '', message };
  const place = set.positions.get(positionKey(origin)) ?? WHOLE_SET;
  return { place, field: originText(origin), message, policy: origin.policy };
}

function rejected(problems: readonly Problem[]): Rejected {
  return { kind: 'rejected', problems };
}
