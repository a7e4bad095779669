/**
 * Puts a plan in force: the whole of it under the next generation, then one write of `settings`, then,
 * after a grace in which packets that are under way are judged to the end, everything of other
 * generations goes. A loader that is killed in between leaves either the old plan in force or the new
 * one, and litter that the next one clears away first.
 */
import type { MapEntry, ReadableMap, WritableMap } from './kernel/api.ts';
import { encodeInterfaceKey, withNextEpoch } from './layout.ts';
import {
  entriesOf,
  GENERATION_MAPS,
  type GenerationMap,
  settingsOf,
  type TablePlan,
} from './plan.ts';
import { type TableDelta, writesOf } from './table_delta.ts';

export type GenerationMaps = Readonly<Record<GenerationMap | 'settings', WritableMap>>;

export interface Update {
  readonly generation: number;
  /** Of all maps together. */
  readonly entryCount: number;
}

const SETTINGS_KEY = Buffer.alloc(4);
const GENERATION_MAX = 0xffff_ffff;

/** Where a key holds its generation: behind the length of the prefix, if it is one. */
const GENERATION_AT: Readonly<Record<GenerationMap, number>> = {
  verdicts: 0,
  ports: 4,
  endpoints: 0,
  addresses: 4,
  behind: 0,
  interfaces: 0,
};

export class TableUpdater {
  readonly #maps: GenerationMaps;
  /** Of the last entries of Services that were written into tables in force. */
  #serial = 0;

  constructor(maps: GenerationMaps) {
    this.#maps = maps;
  }

  /** 0: nothing is in force. */
  get generation(): number {
    return this.#maps.settings.lookup(SETTINGS_KEY)?.readUInt32LE(0) ?? 0;
  }

  /** Throws when it cannot be written; what was in force still is. `removeOthers` comes later. */
  putInForce(plan: TablePlan): Update {
    this.removeOthers();
    const generation = this.generation === GENERATION_MAX ? 1 : this.generation + 1;
    let entryCount = 0;
    for (const map of GENERATION_MAPS) {
      entryCount += this.#write(map, [...entriesOf(plan, map, generation)]);
    }
    this.#maps.settings.update(SETTINGS_KEY, settingsOf(plan, generation));
    return { generation, entryCount };
  }

  /** Into the generation in force; how many entries. Throws when one cannot be written: those before it are. */
  change(delta: TableDelta): number {
    const { generation } = this;
    if (generation === 0) throw new Error('no tables are in force');
    let count = 0;
    this.#serial += 1;
    for (const write of writesOf(delta, generation, this.#serial)) {
      if (write.map === 'settings') {
        this.#nextEpoch();
        continue;
      }
      const map = this.#maps[write.map];
      if ('entries' in write) {
        if (write.entries.length > 0) map.updateMany(write.entries);
        count += write.entries.length;
      } else {
        if (write.goneKeys.length > 0) map.deleteMany(write.goneKeys);
        count += write.goneKeys.length;
      }
    }
    return count;
  }

  #nextEpoch(): void {
    const { settings } = this.#maps;
    const inForce = settings.lookup(SETTINGS_KEY);
    if (inForce !== null) settings.update(SETTINGS_KEY, withNextEpoch(inForce));
  }

  /** Out of the generation in force. */
  removeInterface(ifindex: number): void {
    this.#maps.interfaces.deleteMany([encodeInterfaceKey(this.generation, ifindex)]);
  }

  /** Entries of every generation but the one in force; how many there were. */
  removeOthers(): number {
    const { generation } = this;
    let count = 0;
    for (const map of GENERATION_MAPS) {
      // All at once before the first goes: a key that is gone is no place to go on from.
      const keys = [...this.#maps[map].keys()].filter(
        (key) => key.readUInt32LE(GENERATION_AT[map]) !== generation,
      );
      this.#maps[map].deleteMany(keys);
      count += keys.length;
    }
    return count;
  }

  #write(map: GenerationMap, entries: readonly MapEntry[]): number {
    const target = this.#maps[map];
    // Asked beforehand, as half a generation in a full map is of no use to anybody.
    if (entries.length > target.maxEntries / 2) {
      throw new Error(
        `map ${map}: ${entries.length} entries, and two generations have room for ${target.maxEntries}`,
      );
    }
    target.updateMany(entries);
    return entries.length;
  }
}

/** What a map holds of one generation. */
export function entriesInForce(
  entries: Pick<ReadableMap, 'entries'>,
  map: GenerationMap,
  generation: number,
): readonly MapEntry[] {
  return [...entries.entries()].filter(
    ([key]) => key.readUInt32LE(GENERATION_AT[map]) === generation,
  );
}
