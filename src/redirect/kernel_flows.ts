/**
 * What the kernel programs did without the proxy, read from their maps: packets that were refused, and connections
 * that were redirected. Only what is new since the look before; a look is bounded, and a full table of records is
 * gone through in several.
 *
 *     refusals ── count now, less count before ──► denied, with the reason
 *     records  ── SYN since the last time round ──► redirected
 *
 * A record goes with its connection: one that ends before it is looked at is told by the proxy's flows alone.
 */
import { join } from 'node:path';
import type { IpText } from '../model/address.ts';
import { type DropReason, isDropReason } from '../model/drop_reason.ts';
import type { FlowAddress } from '../model/flow.ts';
import type { Direction, Port } from '../model/identity.ts';
import type { ReadableMap, Refusal } from './kernel/api.ts';
import { readRefusals } from './kernel/counters.ts';
import { openPinnedMap } from './kernel/pinned.ts';
import { decodeRecord, decodeTuple, type RedirectRecord } from './layout.ts';

export interface KernelEvent {
  readonly verdict: 'denied' | 'redirected';
  readonly dropReason: DropReason | null;
  readonly direction: Direction | null;
  readonly ipProtocol: number;
  /** Its port is 0 where the protocol has none, or the kernel did not keep it. */
  readonly source: FlowAddress;
  readonly destination: FlowAddress;
  /** Packets of it since the look before. */
  readonly count: number;
  /** bpf_ktime_get_ns of the last one. */
  readonly atNs: bigint;
}

export interface KernelLook {
  readonly events: readonly KernelEvent[];
  /** More than were to be told. */
  readonly lostCount: number;
}

/** The maps that are pinned now: they may be made anew at any time. */
export interface KernelMaps {
  refusals(): readonly Refusal[];
  records(): KernelRecords;
}

export interface KernelRecords {
  readonly entries: Iterator<KernelRecord, undefined>;
  close(): void;
}

export interface KernelRecord extends Pick<RedirectRecord, 'timeNs' | 'isEgressJudged'> {
  readonly source: FlowAddress;
  readonly destination: FlowAddress;
  readonly protocol: number;
}

export interface KernelFlowOptions {
  readonly maps: KernelMaps;
  /** Events of one look. */
  readonly eventCountMax: number;
}

/** Records that one look goes over: some ten milliseconds. */
const RECORDS_PER_LOOK = 16_384;

/** Where a time round over the records is. */
interface Round {
  readonly records: KernelRecords;
  readonly startedNs: bigint;
  /** A table that is written to may show an entry twice. */
  readonly told: Set<string>;
}

export class KernelFlowReader {
  readonly #options: KernelFlowOptions;
  readonly #sinceNs: bigint;
  /** Refusal → its count. As many as the map has. */
  #counts: ReadonlyMap<string, bigint> | null = null;
  #round: Round | null = null;
  /** Records of SYNs until then are told. */
  #toldUntilNs: bigint;

  /** What was before `sinceNs` is not told. */
  constructor(options: KernelFlowOptions, sinceNs: bigint) {
    this.#options = options;
    this.#sinceNs = sinceNs;
    this.#toldUntilNs = sinceNs;
  }

  /** What is new. Throws a KernelError when the pins are gone or may not be read; the next look begins anew. */
  look(nowNs: bigint): KernelLook {
    try {
      const refusals = this.#options.maps.refusals();
      const redirected = this.#redirected(nowNs);
      // Nothing fails any more: what is new is not told again.
      const all = [...this.#refused(refusals), ...redirected];
      const events = all.slice(0, this.#options.eventCountMax);
      return { events, lostCount: all.length - events.length };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#round?.records.close();
    this.#round = null;
  }

  #refused(refusals: readonly Refusal[]): KernelEvent[] {
    const before = this.#counts;
    const counts = new Map<string, bigint>();
    const events: KernelEvent[] = [];
    for (const [key, refusal] of summed(refusals)) {
      counts.set(key, refusal.count);
      const countBefore = before === null ? this.#countAtStart(refusal) : (before.get(key) ?? 0n);
      const event = refusedEvent(refusal, countBefore);
      if (event !== null) events.push(event);
    }
    this.#counts = counts;
    return events;
  }

  /** The first look finds counts of all time: of one that grew since we began, the last packet is told. */
  #countAtStart({ timeNs, count }: Refusal): bigint {
    return timeNs > this.#sinceNs ? count - 1n : count;
  }

  #redirected(nowNs: bigint): KernelEvent[] {
    this.#round ??= { records: this.#options.maps.records(), startedNs: nowNs, told: new Set() };
    const { records, startedNs, told } = this.#round;
    const events: KernelEvent[] = [];
    for (let count = 0; count < RECORDS_PER_LOOK; count++) {
      const next = records.entries.next();
      if (next.done === true) {
        this.close();
        this.#toldUntilNs = startedNs;
        break;
      }
      const { timeNs, source, destination } = next.value;
      // What comes while we go round is of the next time round.
      if (timeNs <= this.#toldUntilNs || timeNs > startedNs) continue;
      const key = `${source.ip} ${source.port} ${destination.ip} ${destination.port}`;
      if (told.has(key)) continue;
      told.add(key);
      events.push(redirectedEvent(next.value));
    }
    return events;
  }
}

/** `folder`: where the maps are pinned. */
export function pinnedMaps(folder: string): KernelMaps {
  return {
    refusals() {
      const map = openPinnedMap(join(folder, 'refusals'));
      try {
        return readRefusals(map);
      } finally {
        map.close();
      }
    },
    records() {
      const maps = RECORD_MAPS.map((name) => openPinnedMap(join(folder, name)));
      const close = (): void => {
        for (const map of maps) map.close();
      };
      return { entries: decodedRecords(maps), close };
    },
  };
}

/** One that has to give up its place goes from the first to the second. */
const RECORD_MAPS = ['records', 'spare_records'] as const;

function* decodedRecords(maps: readonly ReadableMap[]): Generator<KernelRecord, undefined> {
  for (const map of maps) {
    for (const [key, value] of map.entries()) {
      const { timeNs, isEgressJudged } = decodeRecord(value);
      yield { timeNs, isEgressJudged, ...decodeTuple(key) };
    }
  }
}

/** The same may have been refused on several ways. */
function summed(refusals: readonly Refusal[]): ReadonlyMap<string, Refusal> {
  const byKey = new Map<string, Refusal>();
  for (const refusal of refusals) {
    const key = keyOf(refusal);
    const other = byKey.get(key);
    if (other === undefined) {
      byKey.set(key, refusal);
      continue;
    }
    const latest = other.timeNs > refusal.timeNs ? other : refusal;
    byKey.set(key, { ...latest, count: other.count + refusal.count });
  }
  return byKey;
}

function keyOf({ source, destination, destinationPort, protocol, reason }: Refusal): string {
  return `${source} ${destination} ${destinationPort} ${protocol} ${reason}`;
}

/** Null: nothing new. A count that fell is of an entry that the kernel had forgotten meanwhile. */
function refusedEvent(refusal: Refusal, before: bigint): KernelEvent | null {
  const { reason, count, protocol } = refusal;
  const more = count < before ? count : count - before;
  if (more === 0n || !isDropReason(reason)) return null;
  return {
    verdict: 'denied',
    dropReason: reason,
    direction: DIRECTIONS.get(reason) ?? null,
    ipProtocol: protocol,
    source: { ip: refusal.source as IpText, port: 0 as Port },
    destination: { ip: refusal.destination as IpText, port: refusal.destinationPort as Port },
    count: Number(more),
    atNs: refusal.timeNs,
  };
}

const DIRECTIONS: ReadonlyMap<DropReason, Direction> = new Map([
  ['denied-egress', 'egress'],
  ['denied-ingress', 'ingress'],
]);

function redirectedEvent(record: KernelRecord): KernelEvent {
  const { source, destination, protocol, timeNs, isEgressJudged } = record;
  return {
    verdict: 'redirected',
    dropReason: null,
    // Whose policy is asked first, as in the proxy.
    direction: isEgressJudged ? 'egress' : 'ingress',
    ipProtocol: protocol,
    source: { ip: source.ip, port: source.port },
    destination: { ip: destination.ip, port: destination.port },
    count: 1,
    atNs: timeNs,
  };
}
