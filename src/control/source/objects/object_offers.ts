/**
 * Offers the objects of an API as they come and go. Nothing is offered before all of them have been listed once: a part
 * of the policies would open what the others close. A set that is rejected as a whole is tried in parts, so that only
 * the objects that cannot be enforced beside the others are refused.
 */
import type { ObjectRef } from '../../decode/policy_object.ts';
import type { Problem, Rejected } from '../../decode/problem.ts';
import type { Accepted } from '../../set/policy_checker.ts';
import type { PolicyInput } from '../../set/policy_input.ts';
import type { PolicySink } from '../source.ts';
import {
  type ApiObject,
  keyOf,
  type ObjectKey,
  type ObjectSet,
  type Surroundings,
} from './object_set.ts';

export class ObjectOffers {
  readonly #set: ObjectSet;
  #surroundings: Surroundings;
  #sink: PolicySink | null = null;
  #isSynced = false;
  #isGathering = false;
  #isChanged = false;
  #count = 0;

  constructor(set: ObjectSet, surroundings: Surroundings) {
    this.#set = set;
    this.#surroundings = surroundings;
  }

  start(sink: PolicySink): void {
    this.#sink = sink;
    this.offer();
  }

  stop(): void {
    this.#sink = null;
  }

  /** What the calls in it change is not offered yet. True: something is another. */
  gather(changes: () => void): boolean {
    this.#isGathering = true;
    this.#isChanged = false;
    try {
      changes();
    } finally {
      this.#isGathering = false;
    }
    return this.#isChanged;
  }

  put(object: ApiObject): void {
    if (this.#set.put(object)) this.#changed();
  }

  remove(ref: ObjectRef): void {
    if (this.#set.remove(ref)) this.#changed();
  }

  surround(surroundings: Partial<Surroundings>): void {
    const before = this.#surroundings;
    this.#surroundings = { ...before, ...surroundings };
    const names = Object.keys(surroundings) as (keyof Surroundings)[];
    if (names.some((name) => surroundings[name] !== before[name])) this.#changed();
  }

  /** All objects have been put once, or once more after a watch was lost; those that are not among `refs` are gone. */
  synced(refs: readonly ObjectRef[]): void {
    this.#set.retain(refs);
    this.#isSynced = true;
    this.#changed();
  }

  /** In these surroundings, and in those before when the set cannot be in force in them. */
  offerIn(surroundings: Partial<Surroundings>, sink: PolicySink): Accepted | Rejected {
    const before = this.#surroundings;
    this.#surroundings = { ...before, ...surroundings };
    const result = this.#offerTo(sink);
    if (result.kind === 'rejected') this.#surroundings = before;
    return result;
  }

  /** To `sink` alone, if it is given. Null: there is nothing to offer yet, or nobody to offer it to. */
  offer(sink: PolicySink | null = this.#sink): Accepted | Rejected | null {
    return sink !== null && this.#isSynced ? this.#offerTo(sink) : null;
  }

  #changed(): void {
    if (this.#isGathering) this.#isChanged = true;
    else this.offer();
  }

  #offerTo(sink: PolicySink): Accepted | Rejected {
    this.#count += 1;
    sink.reading(`objects ${this.#count}`);
    this.#set.shadow(this.#surroundings.documents);
    const pending = this.#set.pending();
    // What was in its way may be gone.
    for (const key of pending) this.#set.blame(key, null);
    const first = sink.attempt({ input: this.#snapshot(), texts: null });
    if (first.kind === 'rejected') {
      return this.#offerInParts(sink, { pending, problems: first.problems });
    }
    this.#set.settle();
    return first;
  }

  #offerInParts(sink: PolicySink, { pending, problems }: Rest): Accepted | Rejected {
    this.#set.growSeeds();
    const check = (without: readonly ObjectKey[]): readonly Problem[] | null =>
      sink.check(this.#snapshot(new Set(without)))?.problems ?? null;
    const blame = check(pending) === null ? blamed(pending, { check, problems }) : null;
    // Otherwise it is not the fault of these objects.
    for (const [key, own] of blame ?? []) this.#set.blame(key, own);
    const result = sink.offer({ input: this.#snapshot(), texts: null });
    if (result.kind === 'accepted') this.#set.settle();
    return result;
  }

  #snapshot(without?: ReadonlySet<ObjectKey>): PolicyInput {
    return this.#set.snapshot(this.#surroundings, without);
  }
}

interface Rest {
  readonly pending: readonly ObjectKey[];
  /** Of the set with all of them. */
  readonly problems: readonly Problem[];
}

interface Trial {
  /** What is wrong with the set without these objects; null: nothing. */
  readonly check: (without: readonly ObjectKey[]) => readonly Problem[] | null;
  readonly problems: readonly Problem[];
}

/**
 * Those that cannot be taken, and why. One after the other is taken that can be beside those taken before; many at a time
 * where all of them can. Those that the problems name come last, as it is mostly them. Whoever is taken may have had an
 * older form in the way of one that was not: those are asked again, until a round takes nobody.
 */
function blamed(
  pending: readonly ObjectKey[],
  { check, problems }: Trial,
): ReadonlyMap<ObjectKey, readonly Problem[]> {
  const named = new Set(problems.flatMap(({ place }) => keysNamed(place, pending)));
  const left = new Set(pending);
  let groups = [pending.filter((key) => !named.has(key)), [...named]];
  for (;;) {
    const before = left.size;
    const blame = blamedOf(groups, left, check);
    if (blame.size === 0 || left.size === before) return blame;
    groups = [[...blame.keys()]];
  }
}

/** One round. Whoever is taken leaves `left`. */
function blamedOf(
  groups: readonly (readonly ObjectKey[])[],
  left: Set<ObjectKey>,
  check: Trial['check'],
): ReadonlyMap<ObjectKey, readonly Problem[]> {
  const open = [...groups];
  const blame = new Map<ObjectKey, readonly Problem[]>();
  for (let group = open.shift(); group !== undefined; group = open.shift()) {
    if (group.length === 0) continue;
    const others = [...left].filter((key) => !group.includes(key));
    const wrong = check(others);
    if (wrong === null) {
      for (const key of group) left.delete(key);
    } else if (group.length === 1) {
      blame.set(group[0] as ObjectKey, wrong);
    } else {
      const half = Math.ceil(group.length / 2);
      open.unshift(group.slice(0, half), group.slice(half));
    }
  }
  return blame;
}

function keysNamed(place: Problem['place'], pending: readonly ObjectKey[]): readonly ObjectKey[] {
  if (place.kind !== 'object') return [];
  const key = keyOf(place);
  return pending.includes(key) ? [key] : [];
}
