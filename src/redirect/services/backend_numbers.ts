/** Numbers of backends: one that several Services lead to has one, as long as a table names it. */
import type { ServiceBackend } from '../../model/service_frontend.ts';
import type { MapEntry } from '../kernel/api.ts';
import { FreeNumbers } from './free_numbers.ts';
import { decodeBackendKey, encodeBackend, encodeBackendKey } from './layout.ts';

export class BackendNumbers {
  readonly #numbers: FreeNumbers;
  readonly #byPlace = new Map<string, number>();
  /** How many tables name it. */
  readonly #uses = new Map<number, number>();
  readonly #placeOf = new Map<number, string>();

  constructor(numbers = new FreeNumbers()) {
    this.#numbers = numbers;
  }

  /** What the kernel has. */
  takeUp(entries: Iterable<MapEntry>): void {
    for (const [key, value] of entries) {
      const number = decodeBackendKey(key);
      this.#numbers.take(number);
      this.#add(number, value.toString('latin1'));
    }
  }

  /** Its number, and what has to be written first; null: it is there already. */
  numberOf({ address, port }: ServiceBackend): {
    readonly number: number;
    readonly entry: MapEntry | null;
  } {
    const value = encodeBackend(address, port);
    const place = value.toString('latin1');
    const known = this.#byPlace.get(place);
    if (known !== undefined) return { number: known, entry: null };
    const number = this.#numbers.next();
    this.#add(number, place);
    return { number, entry: [encodeBackendKey(number), value] };
  }

  use(numbers: Iterable<number>): void {
    for (const number of numbers) this.#uses.set(number, (this.#uses.get(number) ?? 0) + 1);
  }

  /** Those that no table names any more. */
  release(numbers: Iterable<number>): readonly number[] {
    const gone: number[] = [];
    for (const number of numbers) {
      const uses = (this.#uses.get(number) ?? 0) - 1;
      this.#uses.set(number, uses);
      if (uses > 0) continue;
      this.#forget(number);
      gone.push(number);
    }
    return gone;
  }

  /** That no table names: left by a loader that was killed. */
  get unused(): readonly number[] {
    return [...this.#placeOf.keys()].filter((number) => !this.#uses.has(number));
  }

  /** The number that was given last. */
  get last(): number {
    return this.#numbers.last;
  }

  get size(): number {
    return this.#placeOf.size;
  }

  #add(number: number, place: string): void {
    this.#byPlace.set(place, number);
    this.#placeOf.set(number, place);
  }

  #forget(number: number): void {
    const place = this.#placeOf.get(number);
    if (place !== undefined && this.#byPlace.get(place) === number) this.#byPlace.delete(place);
    this.#placeOf.delete(number);
    this.#uses.delete(number);
    this.#numbers.free(number);
  }
}
