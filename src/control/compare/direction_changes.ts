/**
 * What is different for one subject in one direction: for each range of ports in which both sets have one list of rules,
 * the outcome of those that a rule names, and of all the others at once.
 */
import type { PolicyProtocol, Port } from '../../model/identity.ts';
import { POLICY_PROTOCOLS } from '../../model/identity.ts';
import type { DirectionTables } from '../../policy/compiled/compiled_endpoint.ts';
import type { CompiledRule } from '../../policy/compiled/compiled_rule.ts';
import type { PortTable } from '../../policy/compiled/port_table.ts';
import type { Remote } from '../../policy/identity/remotes.ts';
import { type Outcome, outcomeOf } from './outcome.ts';
import type { RemoteClasses, Side } from './remote_classes.ts';

/** Ports of one protocol, inclusive. Of ICMP the type + 1; of `other` 0. */
export interface PortArea {
  readonly protocol: PolicyProtocol;
  readonly first: number;
  readonly last: number;
}

export interface OutcomeChange {
  readonly before: Outcome;
  readonly after: Outcome;
}

/** One change, on these ports, for the remotes of these groups, without or with these classes. */
export interface DirectionChange extends OutcomeChange {
  readonly areas: readonly PortArea[];
  /** Ascending. */
  readonly groups: readonly number[];
  /** Those for whom it is not as for their group. Ascending. */
  readonly exceptions: readonly number[];
}

export type TablePair = Readonly<Record<Side, DirectionTables>>;

export function directionChanges(
  tables: TablePair,
  classes: RemoteClasses,
): readonly DirectionChange[] {
  const rules = POLICY_PROTOCOLS.flatMap((protocol) =>
    areasOf(protocol, tables).map((area) => ({
      area,
      before: new AreaRules(rulesIn(area, tables.before), classes, 'before'),
      after: new AreaRules(rulesIn(area, tables.after), classes, 'after'),
    })),
  );
  const told = new Set(rules.flatMap(({ before, after }) => [...before.told, ...after.told]));
  const collected = new Collected(classes);
  for (const { area, before, after } of rules) {
    for (const group of classes.groups.keys()) {
      const change = changeOf(before.ofGroup(group), after.ofGroup(group));
      if (change !== null) collected.addGroup(change, area, group);
    }
    for (const index of told) {
      const change = changeOf(before.ofClass(index), after.ofClass(index));
      if (change !== null) collected.addClass(change, area, index);
    }
  }
  return collected.changes(told);
}

function changeOf(before: Outcome, after: Outcome): OutcomeChange | null {
  return before.key === after.key ? null : { before, after };
}

function rulesIn({ protocol, first }: PortArea, tables: DirectionTables): readonly CompiledRule[] {
  return tables.get(protocol)?.find(first as Port)?.rules ?? [];
}

/** The rules of one area: remotes to which the same ones apply have one outcome. */
class AreaRules {
  readonly #rules: readonly CompiledRule[];
  readonly #forAll: readonly number[];
  readonly #byGroup = new Map<number, number[]>();
  readonly #byClass = new Map<number, number[]>();
  readonly #outcomes = new Map<string, Outcome>();
  readonly #classes: RemoteClasses;
  readonly #side: Side;

  constructor(rules: readonly CompiledRule[], classes: RemoteClasses, side: Side) {
    this.#rules = rules;
    this.#classes = classes;
    this.#side = side;
    const forAll: number[] = [];
    for (const [place, rule] of rules.entries()) {
      const named = classes.named(rule, side);
      if (named === null) forAll.push(place);
      for (const group of named?.groups ?? []) append(this.#byGroup, group, place);
      for (const index of named?.classes ?? []) append(this.#byClass, index, place);
    }
    this.#forAll = forAll;
  }

  /** Classes that are told from others of their group. */
  get told(): Iterable<number> {
    return this.#byClass.keys();
  }

  /** Of those in it that no rule tells from the others. */
  ofGroup(group: number): Outcome {
    return this.#outcome(this.#byGroup.get(group) ?? [], this.#classes.groups[group]?.[0]);
  }

  ofClass(index: number): Outcome {
    const group = this.#byGroup.get(this.#classes.groupOf[index] as number) ?? [];
    return this.#outcome([...group, ...(this.#byClass.get(index) ?? [])], index);
  }

  #outcome(own: readonly number[], index: number | undefined): Outcome {
    const places = [...this.#forAll, ...own].sort((a, b) => a - b);
    const key = places.join(' ');
    let outcome = this.#outcomes.get(key);
    if (outcome === undefined) {
      const rules = places.map((place) => this.#rules[place] as CompiledRule);
      const remote = this.#classes.all[index as number]?.remote[this.#side];
      outcome = outcomeOf(rules, remote as Remote);
      this.#outcomes.set(key, outcome);
    }
    return outcome;
  }
}

function append(map: Map<number, number[]>, key: number, value: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}

/** Ranges in which neither table changes its rules. */
function areasOf(protocol: PolicyProtocol, tables: TablePair): readonly PortArea[] {
  const own = [tables.before.get(protocol), tables.after.get(protocol)];
  if (own.every((table) => table === undefined)) return [];
  const [first, last] = portsOf(protocol);
  const starts = new Set([first]);
  for (const table of own) for (const start of startsOf(table)) starts.add(start);
  const sorted = [...starts].filter((one) => one >= first && one <= last).sort((a, b) => a - b);
  return sorted.map((start, index) => ({
    protocol,
    first: start,
    last: (sorted[index + 1] ?? last + 1) - 1,
  }));
}

/** All that there are, inclusive. */
export function portsOf(protocol: PolicyProtocol): readonly [first: number, last: number] {
  return PORTS[protocol];
}

const PORTS: Readonly<Record<PolicyProtocol, readonly [number, number]>> = {
  TCP: [1, 0xffff],
  UDP: [1, 0xffff],
  SCTP: [1, 0xffff],
  ICMP: [1, 0x100],
  ICMPv6: [1, 0x100],
  other: [0, 0],
};

function startsOf(table: PortTable | undefined): readonly number[] {
  return (table?.all() ?? []).flatMap(({ first, last }) => (first === 0 ? [] : [first, last + 1]));
}

interface Collecting extends OutcomeChange {
  readonly areas: PortArea[];
}

type Members = Readonly<Record<'groups' | 'classes', Set<number>>>;

/** Changes of one remote on many areas, and then of many remotes on the same areas, as one. */
class Collected {
  readonly #classes: RemoteClasses;
  readonly #byGroup = new Map<number, Map<string, Collecting>>();
  readonly #byClass = new Map<number, Map<string, Collecting>>();

  constructor(classes: RemoteClasses) {
    this.#classes = classes;
  }

  addGroup(change: OutcomeChange, area: PortArea, group: number): void {
    collect(this.#byGroup, group, { change, area });
  }

  addClass(change: OutcomeChange, area: PortArea, index: number): void {
    collect(this.#byClass, index, { change, area });
  }

  /** `told`: all classes that are told from others of their group. */
  changes(told: ReadonlySet<number>): readonly DirectionChange[] {
    const found = new Map<string, Collecting & Members>();
    for (const kind of ['groups', 'classes'] as const) {
      for (const [index, own] of kind === 'groups' ? this.#byGroup : this.#byClass) {
        for (const [key, { before, after, areas }] of own) {
          const joined = joinedAreas(areas);
          const whole = `${key}\n\n\n${JSON.stringify(joined)}`;
          const empty = { groups: new Set<number>(), classes: new Set<number>() };
          const known = found.get(whole) ?? { before, after, areas: joined, ...empty };
          found.set(whole, known);
          known[kind].add(index);
        }
      }
    }
    return [...found.values()].flatMap((change) => this.#changeOf(change, told));
  }

  #changeOf(
    { groups, classes, ...change }: Collecting & Members,
    told: ReadonlySet<number>,
  ): readonly DirectionChange[] {
    const isInGroup = (index: number): boolean =>
      groups.has(this.#classes.groupOf[index] as number);
    const exceptions = [...told].filter((index) => classes.has(index) !== isInGroup(index));
    const left = new Set(exceptions);
    // Of a group in which everybody is told apart, what holds for the rest of it holds for nobody.
    const isForSomebody =
      classes.size > 0 ||
      [...groups].some((group) => this.#classes.groups[group]?.some((one) => !left.has(one)));
    if (!isForSomebody) return [];
    return [{ ...change, groups: ascending(groups), exceptions: ascending(exceptions) }];
  }
}

function ascending(numbers: Iterable<number>): readonly number[] {
  return [...numbers].sort((a, b) => a - b);
}

function collect(
  map: Map<number, Map<string, Collecting>>,
  index: number,
  { change, area }: { readonly change: OutcomeChange; readonly area: PortArea },
): void {
  const own = map.get(index) ?? new Map<string, Collecting>();
  map.set(index, own);
  const key = `${change.before.key}\n\n\n${change.after.key}`;
  const known = own.get(key);
  if (known === undefined) own.set(key, { ...change, areas: [area] });
  else known.areas.push(area);
}

function joinedAreas(areas: readonly PortArea[]): PortArea[] {
  const joined: PortArea[] = [];
  for (const area of areas) {
    const before = joined.at(-1);
    if (before?.protocol === area.protocol && before.last + 1 === area.first) {
      joined[joined.length - 1] = { ...before, last: area.last };
    } else {
      joined.push(area);
    }
  }
  return joined;
}
