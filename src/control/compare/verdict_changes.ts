/**
 * What would change if one set of policies took the place of another in the same cluster: for every pair of an endpoint
 * and a remote, on every port, both directions. Works by identities and by the policies that differ, so that a cluster of
 * 50,000 pods is a matter of seconds.
 *
 *     policies that differ ─► subjects that they select ─► both policies compiled ─► ports × classes of remotes ─► changes
 */
import type { Direction } from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import type { Steps } from '../../model/steps.ts';
import type { DirectionTables } from '../../policy/compiled/compiled_endpoint.ts';
import type { Remotes } from '../../policy/identity/remotes.ts';
import type { RegexEngine } from '../../policy/match/regex.ts';
import { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';
import { namedPrefixes } from '../../policy/resolve/prefixes.ts';
import type { Rejected } from '../decode/problem.ts';
import { type BuildResult, type BuiltSnapshot, buildSnapshot } from '../set/build_snapshot.ts';
import type { PolicyInput } from '../set/policy_input.ts';
import { PolicySet } from '../set/policy_set.ts';
import { type ChangedSubject, changedSubjects } from './changed_subjects.ts';
import { directionChanges, type TablePair } from './direction_changes.ts';
import { GroupedChanges, type VerdictChange } from './grouped_changes.ts';
import { FixedRemotes, RemoteClasses, type Side } from './remote_classes.ts';

export interface CompareOptions {
  readonly limits: Limits;
  readonly regexEngine: RegexEngine;
  /** See `BuildOptions`. */
  readonly isEmptySetOpen: boolean;
  readonly isHostJudged: boolean;
}

/** Both are of one inventory. */
export interface InputPair {
  readonly before: PolicyInput;
  readonly after: PolicyInput;
}

export interface VerdictChanges {
  readonly kind: 'changes';
  /** Those for most endpoints first, the same for equal inputs. */
  readonly changes: readonly VerdictChange[];
  /** Those whose policy was compared; for all others no rule is another one. */
  readonly subjects: readonly ChangedSubject[];
  /** Of both: the identities in `changes` are these. */
  readonly table: IdentityTable;
  /** Each as it was built: only the first of each subject has a policy there. */
  readonly built: Readonly<Record<Side, BuiltSet>>;
}

export interface BuiltSet {
  readonly set: PolicySet;
  readonly built: BuiltSnapshot;
}

export function* verdictChanges(
  pair: InputPair,
  options: CompareOptions,
): Steps<VerdictChanges | Rejected> {
  const whole = { before: new PolicySet(pair.before), after: new PolicySet(pair.after) };
  const subjects = changedSubjects({ ...whole, isEmptySetOpen: options.isEmptySetOpen });
  yield;
  const inventory = inventoryFor(subjects, pair.after.inventory, Object.values(whole));
  const sets = {
    before: new PolicySet({ ...pair.before, inventory }),
    after: new PolicySet({ ...pair.after, inventory }),
  };
  const built = yield* buildBoth(sets, options);
  if (built.kind === 'rejected') return built;
  const { before, after } = built;
  const tables = subjects.flatMap((subject) =>
    DIRECTIONS.map((direction) => ({
      ...{ subject, direction },
      before: tablesOf(before, subject, direction),
      after: tablesOf(after, subject, direction),
    })),
  );
  const classes = classesFor(tables, { before, after });
  const grouped = new GroupedChanges(classes);
  for (const { subject, direction, ...pair } of tables) {
    for (const change of directionChanges(pair, classes)) grouped.add(change, direction, subject);
    yield;
  }
  return {
    kind: 'changes',
    changes: grouped.changes(),
    ...{ subjects, table: after.table },
    built: {
      before: { set: sets.before, built: before },
      after: { set: sets.after, built: after },
    },
  };
}

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];

interface Sets {
  readonly before: PolicySet;
  readonly after: PolicySet;
}

/**
 * Policy is made for one of each subject; all others are only peers. It knows the prefixes of both sets, so that one
 * address is one identity in both.
 */
function inventoryFor(
  subjects: readonly ChangedSubject[],
  inventory: Inventory,
  sets: readonly PolicySet[],
): Inventory {
  const asked = new Set(subjects.map(({ first }) => first));
  const byText = new Map(inventory.cidrs.map((cidr) => [cidr.prefix.text, cidr]));
  for (const set of sets) {
    for (const prefix of namedPrefixes({ ...set, services: inventory.services })) {
      if (!byText.has(prefix.text)) byText.set(prefix.text, { prefix, identity: null, labels: [] });
    }
  }
  const endpoints = inventory.endpoints.map((endpoint) => ({
    ...endpoint,
    isLocal: asked.has(endpoint),
  }));
  return { ...inventory, endpoints, cidrs: [...byText.values()] };
}

type BothBuilt =
  | { readonly kind: 'ok'; readonly before: BuiltSnapshot; readonly after: BuiltSnapshot }
  | Rejected;

function* buildBoth(sets: Sets, options: CompareOptions): Steps<BothBuilt> {
  // One allocator, so that one identity has one number in both.
  const allocator = new IdentityAllocator(options.limits);
  const build = (set: PolicySet): BuildResult =>
    buildSnapshot(set, { ...options, revision: 1, allocator });
  const before = build(sets.before);
  if (before.kind === 'rejected') return before;
  yield;
  const after = build(sets.after);
  if (after.kind === 'rejected') return after;
  yield;
  return { kind: 'ok', before, after };
}

function tablesOf(
  { snapshot }: BuiltSnapshot,
  { first }: ChangedSubject,
  direction: Direction,
): DirectionTables {
  const endpoint = snapshot.endpointNamed(first.name);
  if (endpoint === null) throw new Error(`${first.name} was not compiled`);
  return endpoint.tables(direction);
}

function classesFor(
  tables: readonly TablePair[],
  { before, after }: Omit<Extract<BothBuilt, { kind: 'ok' }>, 'kind'>,
): RemoteClasses {
  const fixed = new FixedRemotes();
  for (const pair of tables) {
    fixed.addAll(pair.before);
    fixed.addAll(pair.after);
  }
  const identities = after.table.entries.map(({ identity }) => identity);
  const remotes = { before: remotesOf(before), after: remotesOf(after) };
  return new RemoteClasses(identities, remotes, fixed);
}

function remotesOf({ snapshot }: BuiltSnapshot): Remotes {
  if (snapshot.who === null) throw new Error('a snapshot that was built knows who is who');
  return snapshot.who.remotes;
}
