/**
 * Values by key, as a list sorted by key. A value that says the same as the one before it is given up for it, so that
 * whoever compares two lists finds only what differs to be another object. Few changes cost one copy of the list.
 */
import { compareText } from '../../policy/labels.ts';

export class KeyedValues<Value extends object> {
  readonly #isSame: (a: Value, b: Value) => boolean;
  readonly #pending = new Map<string, Value | null>();
  #keys: readonly string[] = [];
  #values: readonly Value[] = [];

  constructor(isSame: (a: Value, b: Value) => boolean) {
    this.#isSame = isSame;
  }

  /** Null: there is none. */
  set(key: string, value: Value | null): void {
    this.#pending.set(key, value);
  }

  /** The very same list, when nothing changed. */
  list(): readonly Value[] {
    if (this.#pending.size > 0) this.#merge();
    return this.#values;
  }

  #merge(): void {
    const changes = this.#changes();
    this.#pending.clear();
    if (changes.length === 0) return;
    const movingCount = changes.filter((one) => !one.isPresent || one.value === null).length;
    if (movingCount <= SPLICED_COUNT_MAX) this.#splice(changes);
    else this.#rebuild(changes);
  }

  /** From the end on, so that what comes before keeps its place. */
  #splice(changes: readonly Change<Value>[]): void {
    const keys = this.#keys.slice();
    const values = this.#values.slice();
    for (const { key, value, at, isPresent } of changes.toReversed()) {
      if (value === null) {
        keys.splice(at, 1);
        values.splice(at, 1);
      } else if (isPresent) {
        values[at] = value;
      } else {
        keys.splice(at, 0, key);
        values.splice(at, 0, value);
      }
    }
    this.#keys = keys;
    this.#values = values;
  }

  #rebuild(changes: readonly Change<Value>[]): void {
    const keys: string[] = [];
    const values: Value[] = [];
    let from = 0;
    for (const { key, value, at, isPresent } of changes) {
      for (; from < at; from++) this.#keep(from, keys, values);
      if (value !== null) {
        keys.push(key);
        values.push(value);
      }
      if (isPresent) from++;
    }
    for (; from < this.#keys.length; from++) this.#keep(from, keys, values);
    this.#keys = keys;
    this.#values = values;
  }

  #keep(index: number, keys: string[], values: Value[]): void {
    keys.push(this.#keys[index] as string);
    values.push(this.#values[index] as Value);
  }

  /** In the order of their keys, without those that change nothing. */
  #changes(): readonly Change<Value>[] {
    const changes: Change<Value>[] = [];
    for (const [key, value] of [...this.#pending].sort(([a], [b]) => compareText(a, b))) {
      const at = this.#positionOf(key);
      const isPresent = this.#keys[at] === key;
      const before = isPresent ? (this.#values[at] as Value) : null;
      const isUnchanged =
        before === null || value === null ? before === value : this.#isSame(before, value);
      if (!isUnchanged) changes.push({ key, value, at, isPresent });
    }
    return changes;
  }

  /** Of the first key that is not before it. */
  #positionOf(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Up to so many that come or go, to move the rest is cheaper than to write all anew. */
const SPLICED_COUNT_MAX = 32;

interface Change<Value> {
  readonly key: string;
  readonly value: Value | null;
  /** Where it stands, or would. */
  readonly at: number;
  readonly isPresent: boolean;
}
