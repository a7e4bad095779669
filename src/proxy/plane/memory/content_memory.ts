/**
 * Content that waits in a worker for peers that do not take it, over all its HTTP/2 connections. One connection is
 * bounded by its streams and their windows; many together by this:
 *
 *     below half of h2ContentBytesMax   every stream gets its whole window
 *     above half                        streams of new connections get a quarter of it
 *     above                             who holds most gives up what has stood still for longest, down to 7/8
 *
 * Who holds most is an identity first, an address of it then, and a connection of that last: many connections that
 * hold a little each do not make those of others pay. So whoever fills it pays first, and moving streams do not
 * wait for those that stand still.
 */
import type { Limits } from '../../../model/limits.ts';
import type { AddressHolder, IdentityHolder } from '../holders.ts';

export interface ContentHolder {
  readonly waitingBytes: number;
  /** Whose connection it is; null: nobody's any more. */
  readonly owner: AddressHolder | null;
  /** Gives up what has stood still for longest, half of it or more. */
  shed(): void;
}

/** Smaller windows would cost more in round trips than they save. */
const STREAM_WINDOW_BYTES_MIN = 16 * 1024;
/** All holders are looked at each time: what is given up then has to last for a while. */
const SHED_SHARE = 7 / 8;

export class ContentMemory {
  waitingBytes = 0;
  readonly #limits: Limits;
  /** Changes with connections, not with requests. */
  readonly #holders = new Set<ContentHolder>();
  #isShedding = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** For the streams of a connection that begins now. */
  get streamWindowBytes(): number {
    const { h2ContentBytesMax, h2StreamWindowBytes } = this.#limits;
    if (this.waitingBytes * 2 < h2ContentBytesMax) return h2StreamWindowBytes;
    const short = Math.max(STREAM_WINDOW_BYTES_MIN, Math.floor(h2StreamWindowBytes / 4));
    return Math.min(h2StreamWindowBytes, short);
  }

  add(holder: ContentHolder): void {
    this.#holders.add(holder);
  }

  delete(holder: ContentHolder): void {
    this.#holders.delete(holder);
  }

  /** One of them holds so many bytes more, or fewer. */
  changed(byteCount: number): void {
    this.waitingBytes += byteCount;
    if (this.waitingBytes > this.#limits.h2ContentBytesMax && !this.#isShedding) this.#shed();
  }

  #shed(): void {
    const bytesMax = this.#limits.h2ContentBytesMax * SHED_SHARE;
    this.#isShedding = true;
    try {
      const root = treeOf(this.#holders);
      while (this.waitingBytes > bytesMax && shedLargest(root) > 0);
    } finally {
      this.#isShedding = false;
    }
  }
}

/** What one of a level holds: an identity, an address of it, a connection of that. */
interface Part {
  bytes: number;
  readonly parts: Part[];
  readonly holder: ContentHolder | null;
}

function treeOf(holders: Iterable<ContentHolder>): Part {
  const root = newPart(null);
  const byOwner = new Map<IdentityHolder | AddressHolder | null, Part>();
  for (const holder of holders) {
    const { owner, waitingBytes } = holder;
    if (waitingBytes === 0) continue;
    const identity = partOf(byOwner, owner === null ? null : owner.identity, root);
    const address = owner === null ? identity : partOf(byOwner, owner, identity);
    const connection = newPart(holder);
    address.parts.push(connection);
    for (const part of new Set([root, identity, address, connection])) part.bytes += waitingBytes;
  }
  return root;
}

function partOf<Key>(parts: Map<Key, Part>, key: Key, above: Part): Part {
  const known = parts.get(key);
  if (known !== undefined) return known;
  const part = newPart(null);
  parts.set(key, part);
  above.parts.push(part);
  return part;
}

function newPart(holder: ContentHolder | null): Part {
  return { bytes: 0, parts: [], holder };
}

/** How many bytes the largest connection of the largest address of the largest identity gave up. */
function shedLargest(part: Part): number {
  let freed = 0;
  if (part.holder === null) {
    const largest = largestOf(part.parts);
    if (largest !== null) freed = shedLargest(largest);
  } else {
    part.holder.shed();
    freed = part.bytes - part.holder.waitingBytes;
  }
  part.bytes -= freed;
  return freed;
}

/** Null: there is none. */
function largestOf(parts: readonly Part[]): Part | null {
  let largest: Part | null = null;
  for (const part of parts) if (largest === null || part.bytes > largest.bytes) largest = part;
  return largest;
}
