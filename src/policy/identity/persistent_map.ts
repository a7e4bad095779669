/**
 * A map that is never edited: `after` makes the next one, which shares all but what changed. A batch of one key among
 * fifty thousand copies one bucket of some ten entries and two arrays of sixty-four places: what is copied becomes
 * garbage, and its collection is a pause.
 *
 *     nodes ──► [64] ──► [64 buckets] ──► keys and values
 */

/** Entries of a bucket, on average, at which the next map gets more buckets. */
const BUCKET_ENTRIES_MAX = 16;
const BUCKET_COUNT_MAX = 1 << 18;
/** Buckets of a node, as a power of two. */
const NODE_BITS = 6;
const NODE_BUCKETS = 1 << NODE_BITS;

/** A key with its next value; `undefined` takes the key away. */
export type MapChange<Key, Value> = readonly [key: Key, value: Value | undefined];

type Bucket<Key, Value> = ReadonlyMap<Key, Value>;
type Node<Key, Value> = readonly Bucket<Key, Value>[];

export class PersistentMap<Key extends number | string, Value> {
  readonly size: number;
  readonly #nodes: readonly Node<Key, Value>[];
  /** Of the number of buckets, which is a power of two: one less. */
  readonly #mask: number;

  private constructor(nodes: readonly Node<Key, Value>[], mask: number, size: number) {
    this.#nodes = nodes;
    this.#mask = mask;
    this.size = size;
  }

  static of<Key extends number | string, Value>(
    entries: ReadonlyMap<Key, Value>,
  ): PersistentMap<Key, Value> {
    return PersistentMap.#spread(entries, entries.size);
  }

  get(key: Key): Value | undefined {
    const index = hashOf(key) & this.#mask;
    const node = this.#nodes[index >> NODE_BITS] as Node<Key, Value>;
    return (node[index & (NODE_BUCKETS - 1)] as Bucket<Key, Value>).get(key);
  }

  /** In an order that only depends on what was done to the map. */
  *entries(): IterableIterator<[Key, Value]> {
    for (const node of this.#nodes) for (const bucket of node) yield* bucket;
  }

  *values(): IterableIterator<Value> {
    for (const node of this.#nodes) for (const bucket of node) yield* bucket.values();
  }

  /** The map with the changes made, in order; this one stays as it is. */
  after(changes: readonly MapChange<Key, Value>[]): PersistentMap<Key, Value> {
    if (changes.length === 0) return this;
    const nodes = this.#nodes.slice() as Map<Key, Value>[][];
    const ownNodes = new Set<number>();
    const ownBuckets = new Set<number>();
    let { size } = this;
    for (const [key, value] of changes) {
      const index = hashOf(key) & this.#mask;
      const at = index >> NODE_BITS;
      if (!ownNodes.has(at)) {
        nodes[at] = (nodes[at] as Map<Key, Value>[]).slice();
        ownNodes.add(at);
      }
      const node = nodes[at] as Map<Key, Value>[];
      let bucket = node[index & (NODE_BUCKETS - 1)] as Map<Key, Value>;
      if (!ownBuckets.has(index)) {
        bucket = new Map(bucket);
        node[index & (NODE_BUCKETS - 1)] = bucket;
        ownBuckets.add(index);
      }
      size -= bucket.size;
      if (value === undefined) bucket.delete(key);
      else bucket.set(key, value);
      size += bucket.size;
    }
    const next = new PersistentMap<Key, Value>(nodes, this.#mask, size);
    return bucketCountFor(size) <= this.#mask + 1
      ? next
      : PersistentMap.#spread(next.entries(), size);
  }

  static #spread<Key extends number | string, Value>(
    entries: Iterable<readonly [Key, Value]>,
    size: number,
  ): PersistentMap<Key, Value> {
    const count = bucketCountFor(size);
    const buckets = Array.from({ length: count }, () => new Map<Key, Value>());
    for (const [key, value] of entries) {
      (buckets[hashOf(key) & (count - 1)] as Map<Key, Value>).set(key, value);
    }
    const nodes = Array.from({ length: Math.ceil(count / NODE_BUCKETS) }, (_, at) =>
      buckets.slice(at * NODE_BUCKETS, (at + 1) * NODE_BUCKETS),
    );
    return new PersistentMap(nodes, count - 1, size);
  }
}

/** Nearly half full when they are made, so that the next growth is as many keys away. */
function bucketCountFor(size: number): number {
  let count = 1;
  while (count < BUCKET_COUNT_MAX && count * BUCKET_ENTRIES_MAX < size) count *= 2;
  return count;
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
