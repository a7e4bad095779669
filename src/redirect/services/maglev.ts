/**
 * Maglev's table of backends (Eisenbud et al., NSDI 2016, 3.4): whoever is looked up in it by a hash gets the same
 * backend as long as that is there, and each backend gets the same share.
 */
import { createHash } from 'node:crypto';

/** Primes. Each backend should have a hundred places or so, for shares that differ by a percent or so. */
const SMALL = 1021;
const LARGE = 16_381;
const OF_SMALL_MAX = 32;

/** One of `names` for each slot; the order of `names` makes no difference. Empty: there are none. */
export function maglevTable(names: readonly string[]): readonly string[] {
  if (names.length === 0) return [];
  const size = maglevSize(names.length);
  const walks = [...names].sort().map((name) => walkOf(name, size));
  const slots: string[] = new Array(size);
  for (let filled = 0; ; ) {
    for (const walk of walks) {
      while (slots[walk.at] !== undefined) walk.at = (walk.at + walk.step) % size;
      slots[walk.at] = walk.name;
      filled += 1;
      if (filled === size) return slots;
    }
  }
}

/** Of the table of that many. */
export function maglevSize(nameCount: number): number {
  if (nameCount === 0) return 0;
  return nameCount <= OF_SMALL_MAX ? SMALL : Math.max(LARGE, nameCount);
}

function walkOf(name: string, size: number) {
  const hash = createHash('sha256').update(name).digest();
  return {
    name,
    at: hash.readUInt32LE(0) % size,
    step: (hash.readUInt32LE(4) % (size - 1)) + 1,
  };
}
