/**
 * A map that is never edited: `after` makes the next one, which shares all but the buckets that changed. A batch of
 * one key among fifty thousand copies one bucket of some ten entries and the array of buckets.
 */

/** Entries of a bucket, on average, at which the next map gets more buckets. */
const BUCKET_ENTRIES_MAX = 16;
const BUCKET_COUNT_MAX = 1 << 14;

/** A key with its next value; `undefined` takes the key away. */
export type MapChange<Key, Value> = readonly [key: Key, value: Value | undefined];

export class PersistentMap<Key extends number | string, Value> {
  readonly size: number;
  /** A power of two of them. */
  readonly #buckets: readonly ReadonlyMap<Key, Value>[];

  private constructor(buckets: readonly ReadonlyMap<Key, Value>[], size: number) {
    this.#buckets = buckets;
    this.size = size;
  }

  static of<Key extends number | string, Value>(
    entries: ReadonlyMap<Key, Value>,
  ): PersistentMap<Key, Value> {
    const buckets = emptyBuckets<Key, Value>(bucketCountFor(entries.size));
    for (const [key, value] of entries) bucketOf(buckets, key).set(key, value);
    return new PersistentMap(buckets, entries.size);
  }

  get(key: Key): Value | undefined {
    return (this.#buckets[hashOf(key) & (this.#buckets.length - 1)] as ReadonlyMap<Key, Value>).get(
      key,
    );
  }

  /** In an order that only depends on what was done to the map. */
  *entries(): IterableIterator<[Key, Value]> {
    for (const bucket of this.#buckets) yield* bucket;
  }

  *values(): IterableIterator<Value> {
    for (const bucket of this.#buckets) yield* bucket.values();
  }

  /** The map with the changes made, in order; this one stays as it is. */
  after(changes: readonly MapChange<Key, Value>[]): PersistentMap<Key, Value> {
    if (changes.length === 0) return this;
    const buckets = this.#buckets.slice() as Map<Key, Value>[];
    const own = new Set<number>();
    let { size } = this;
    for (const [key, value] of changes) {
      const index = hashOf(key) & (buckets.length - 1);
      let bucket = buckets[index] as Map<Key, Value>;
      if (!own.has(index)) {
        bucket = new Map(bucket);
        buckets[index] = bucket;
        own.add(index);
      }
      size -= bucket.size;
      if (value === undefined) bucket.delete(key);
      else bucket.set(key, value);
      size += bucket.size;
    }
    const wanted = bucketCountFor(size);
    if (wanted <= buckets.length) return new PersistentMap(buckets, size);
    return PersistentMap.#spread(buckets, { size, bucketCount: wanted });
  }

  static #spread<Key extends number | string, Value>(
    from: readonly ReadonlyMap<Key, Value>[],
    to: { readonly size: number; readonly bucketCount: number },
  ): PersistentMap<Key, Value> {
    const buckets = emptyBuckets<Key, Value>(to.bucketCount);
    for (const bucket of from) {
      for (const [key, value] of bucket) bucketOf(buckets, key).set(key, value);
    }
    return new PersistentMap(buckets, to.size);
  }
}

/** Half full when they are made, so that the next growth is as many keys away. */
function bucketCountFor(size: number): number {
  let count = 1;
  while (count < BUCKET_COUNT_MAX && count * BUCKET_ENTRIES_MAX < size) count *= 2;
  return count;
}

function emptyBuckets<Key, Value>(count: number): Map<Key, Value>[] {
  return Array.from({ length: count }, () => new Map<Key, Value>());
}

function bucketOf<Key extends number | string, Value>(
  buckets: readonly Map<Key, Value>[],
  key: Key,
): Map<Key, Value> {
  return buckets[hashOf(key) & (buckets.length - 1)] as Map<Key, Value>;
}

/** Only to spread: within a bucket the keys themselves are compared. */
function hashOf(key: number | string): number {
  if (typeof key === 'number') {
    const mixed = Math.imul((key >>> 0) ^ (key >>> 16), 0x45d9f3b);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
