/**
 * Remotes that no rule of two sets can tell apart: the same selectors of both select them. There are far fewer of these
 * classes than identities, and one question answers for all of a class.
 */
import type { Identity } from '../../model/identity.ts';
import type { DirectionTables } from '../../policy/compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../../policy/compiled/compiled_rule.ts';
import { NO_SELECTOR } from '../../policy/compiled/compiled_rule.ts';
import type { Remote, Remotes } from '../../policy/identity/remotes.ts';

export type Side = 'before' | 'after';

export interface RemoteClass {
  readonly identities: readonly Identity[];
  /** One of them, as the rules of each set see it. */
  readonly remote: Readonly<Record<Side, Remote>>;
}

/** Whom a rule names: all classes of some groups, and single ones. */
export interface NamedRemotes {
  readonly groups: readonly number[];
  readonly classes: readonly number[];
}

/**
 * A selector that selects many classes ("everybody in the cluster") would make each rule with it a long list. Classes
 * that all such selectors treat alike are one group, and what is not told apart by others is told by group.
 */
const WIDE_SHARE = 1 / 32;

function isWide(classCount: number, ofAll: number): boolean {
  return classCount > 1 && classCount > ofAll * WIDE_SHARE;
}

export class RemoteClasses {
  /** A class is named by its index here. */
  readonly all: readonly RemoteClass[];
  /** A group is named by its index here: the classes in it. */
  readonly groups: readonly (readonly number[])[];
  /** Of each class. */
  readonly groupOf: readonly number[];
  readonly #bySelector: Readonly<Record<Side, ReadonlyMap<number, NamedRemotes>>>;
  readonly #byIdentity: ReadonlyMap<Identity, number>;

  /** `fixed`: sets of remotes that rules name without a selector. */
  constructor(
    identities: Iterable<Identity>,
    remotes: Readonly<Record<Side, Remotes>>,
    fixed: FixedRemotes,
  ) {
    this.all = classesOf(identities, remotes, fixed);
    const selected = {
      before: selectedBy(this.all, 'before'),
      after: selectedBy(this.all, 'after'),
    };
    const grouped = groupsOf(this.all, selected);
    this.groups = grouped.groups;
    this.groupOf = grouped.groupOf;
    this.#bySelector = {
      before: namedBy(selected.before, this.groupOf),
      after: namedBy(selected.after, this.groupOf),
    };
    this.#byIdentity = new Map(
      this.all.flatMap((one, index) =>
        one.identities.map((identity) => [identity, index] as const),
      ),
    );
  }

  /** Null: the rule is about any remote. */
  named(rule: CompiledRule, side: Side): NamedRemotes | null {
    if (rule.selector !== NO_SELECTOR) return this.#bySelector[side].get(rule.selector) ?? NOBODY;
    if (rule.remotes === null) return null;
    const found = [...rule.remotes].map((identity) => this.#byIdentity.get(identity));
    const classes = [...new Set(found.filter((index) => index !== undefined))];
    return { groups: [], classes };
  }
}

const NOBODY: NamedRemotes = { groups: [], classes: [] };

function selectedBy(classes: readonly RemoteClass[], side: Side): ReadonlyMap<number, number[]> {
  const found = new Map<number, number[]>();
  for (const [index, { remote }] of classes.entries()) {
    for (const selector of remote[side].selectors) {
      const known = found.get(selector);
      if (known === undefined) found.set(selector, [index]);
      else known.push(index);
    }
  }
  return found;
}

function groupsOf(
  classes: readonly RemoteClass[],
  selected: Readonly<Record<Side, ReadonlyMap<number, readonly number[]>>>,
): { readonly groups: readonly number[][]; readonly groupOf: readonly number[] } {
  const byKey = new Map<string, number[]>();
  for (const [index, { remote }] of classes.entries()) {
    const wide = (side: Side) =>
      [...remote[side].selectors]
        .filter((selector) => isWide(selected[side].get(selector)?.length ?? 0, classes.length))
        .join();
    const key = `${wide('before')} ${wide('after')}`;
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, [index]);
    else known.push(index);
  }
  const groups = [...byKey.values()];
  const groupOf = new Array<number>(classes.length).fill(0);
  for (const [group, members] of groups.entries()) {
    for (const index of members) groupOf[index] = group;
  }
  return { groups, groupOf };
}

function namedBy(
  selected: ReadonlyMap<number, readonly number[]>,
  groupOf: readonly number[],
): ReadonlyMap<number, NamedRemotes> {
  const named = new Map<number, NamedRemotes>();
  for (const [selector, classes] of selected) {
    const groups = new Set(classes.map((index) => groupOf[index] as number));
    const isOfGroups = isWide(classes.length, groupOf.length);
    named.set(
      selector,
      isOfGroups ? { groups: [...groups], classes: [] } : { groups: [], classes },
    );
  }
  return named;
}

/** The host, and who has a port of some name. */
export class FixedRemotes {
  readonly #seen = new Set<ReadonlySet<Identity>>();
  readonly #numbers = new Map<Identity, number[]>();

  addAll(tables: DirectionTables): void {
    for (const table of tables.values()) {
      for (const { rules } of table.all()) {
        for (const { selector, remotes } of rules) {
          if (selector === NO_SELECTOR && remotes !== null) this.#add(remotes);
        }
      }
    }
  }

  /** Which of the sets it is in. */
  of(identity: Identity): readonly number[] {
    return this.#numbers.get(identity) ?? [];
  }

  #add(remotes: ReadonlySet<Identity>): void {
    if (this.#seen.has(remotes)) return;
    const number = this.#seen.add(remotes).size;
    for (const identity of remotes) {
      const known = this.#numbers.get(identity);
      if (known === undefined) this.#numbers.set(identity, [number]);
      else known.push(number);
    }
  }
}

function classesOf(
  identities: Iterable<Identity>,
  remotes: Readonly<Record<Side, Remotes>>,
  fixed: FixedRemotes,
): readonly RemoteClass[] {
  const classes = new Map<string, RemoteClass & { readonly identities: Identity[] }>();
  for (const identity of identities) {
    const remote = { before: remotes.before.of(identity), after: remotes.after.of(identity) };
    const { before, after } = remote;
    const key = [fixed.of(identity), before.selectors, after.selectors].join(' ');
    const known = classes.get(key);
    if (known === undefined) classes.set(key, { identities: [identity], remote });
    else known.identities.push(identity);
  }
  return [...classes.values()];
}
