/**
 * Does the kernel hold what a plan says? Numbers of identities are compared by what they mean: another
 * process may have given the same labels another number (they collide, and who came first keeps it).
 */
import type { MapEntry } from './kernel/api.ts';
import { decodeBehind, INTERFACE_ADOPTION } from './layout.ts';
import { entriesOf, GENERATION_MAPS, type GenerationMap, type TablePlan } from './plan.ts';

export type EntriesInForce = Readonly<Record<GenerationMap, readonly MapEntry[]>>;

/** How many entries of each map differ; maps that are the same are left out. */
export function differences(
  plan: TablePlan,
  inForce: EntriesInForce,
  generation: number,
): ReadonlyMap<GenerationMap, number> {
  const wanted = Object.fromEntries(
    GENERATION_MAPS.map((map) => [map, [...entriesOf(plan, map, generation)]]),
  ) as unknown as EntriesInForce;
  const wantedMeaning = meaningsOf(wanted);
  const ownMeaning = meaningsOf(inForce);
  const found = new Map<GenerationMap, number>();
  for (const map of GENERATION_MAPS) {
    const texts = new Set(wanted[map].map((entry) => textOf(map, entry, wantedMeaning)));
    const own = new Set(inForce[map].map((entry) => textOf(map, entry, ownMeaning)));
    const count = Math.max(missingFrom(own, texts), missingFrom(texts, own));
    if (count > 0) found.set(map, count);
  }
  return found;
}

/** Identity → check of its labels, as far as addresses and endpoints say. */
type Meanings = ReadonlyMap<number, bigint>;

function meaningsOf(entries: EntriesInForce): Meanings {
  const meanings = new Map<number, bigint>();
  for (const map of ['addresses', 'endpoints'] as const) {
    for (const [, value] of entries[map]) {
      meanings.set(value.readUInt32LE(0), value.readBigUInt64LE(8));
    }
  }
  return meanings;
}

function textOf(map: GenerationMap, [key, value]: MapEntry, meanings: Meanings): string {
  switch (map) {
    case 'addresses':
    case 'endpoints':
      // Without the number at the start: the check behind it says whom it means.
      return `${key.toString('hex')} ${value.subarray(4).toString('hex')}`;
    case 'verdicts': {
      const whom = whomOf(key.readUInt32LE(8), meanings);
      return `${key.subarray(0, 8).toString('hex')} ${whom} ${value.toString('hex')}`;
    }
    case 'behind': {
      const { count, flags, pairs } = decodeBehind(value);
      const whom = pairs.map(({ identity, port }) => `${whomOf(identity, meanings)} ${port}`);
      return `${key.toString('hex')} ${count} ${flags} ${whom.sort().join(', ')}`;
    }
    case 'interfaces': {
      const { at, bytes } = INTERFACE_ADOPTION;
      const state = Buffer.from(value).fill(0, at, at + bytes);
      return `${key.toString('hex')} ${state.toString('hex')}`;
    }
    default:
      return `${key.toString('hex')} ${value.toString('hex')}`;
  }
}

function whomOf(identity: number, meanings: Meanings): string {
  const meaning = meanings.get(identity);
  return meaning === undefined ? `number ${identity}` : `check ${meaning}`;
}

function missingFrom(set: ReadonlySet<string>, others: ReadonlySet<string>): number {
  let count = 0;
  for (const text of others) if (!set.has(text)) count += 1;
  return count;
}
