/**
 * The policy thread's part of names: what workers were told is learned, beside the set in force, remembered over restarts
 * and forgotten in its time.
 */
import type { KeptLookup, Lookup } from '../control/names/name_cache.ts';
import { NameLearning } from '../control/names/name_learning.ts';
import { nameRows } from '../control/names/name_rows.ts';
import { NameMemory } from '../control/source/files/name_memory.ts';
import { type IpPrefix, type IpText, parseIp } from '../model/address.ts';
import { jsonDocument } from '../model/json_document.ts';
import type { Limits } from '../model/limits.ts';
import { type NameCounts, NO_NAMES } from '../model/name_counts.ts';
import type { NameFilter } from '../model/name_row.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import { OwnInterfaces } from '../platform/own_interfaces.ts';
import type { Platform } from '../platform/platform.ts';
import { knownPrefix } from '../policy/resolve/prefixes.ts';
import { type PolicySettings, PROXY_STATE, type SentLookup } from './policy_messages.ts';

export interface NameServiceOptions {
  readonly limits: Limits;
  readonly platform: Platform;
  readonly isOwnAddress: (ip: IpText) => boolean;
  readonly neverLearned: readonly IpPrefix[];
  /** Null: nothing is remembered. */
  readonly memory: NameMemory | null;
  /** Puts it in force; see `PolicyFeed.learn`. */
  readonly learn: () => number | null;
  /** These are in force with the batch of that number. */
  readonly onLearned: (ids: readonly number[], sequence: number) => void;
  /** They are others than were told last. */
  readonly onCounts: (counts: NameCounts) => void;
}

/** Between two looks for what has had its time. */
const SWEEP_MS = 5000;
/** Between two times that numbers are told, while names are learned. */
const COUNTS_MS = 1000;
/** As often as workers tell. */
const MARKS_PER_GRACE = 4;

export class NameService {
  readonly learning: NameLearning;
  readonly #options: NameServiceOptions;
  /** That came in this turn. */
  #lookups: SentLookup[] = [];
  /** As they were told last, and when. */
  #counts = JSON.stringify(NO_NAMES);
  #countsMs = Number.NEGATIVE_INFINITY;
  /** Up to then what is kept knows of open connections. */
  #markedMs: number;
  readonly #stopSweep: () => void;

  constructor(options: NameServiceOptions) {
    const { limits, isOwnAddress, neverLearned, platform } = options;
    this.#options = options;
    this.learning = new NameLearning({ limits, isOwnAddress, neverLearned });
    // What was told before is taken first: a message may wait behind the timer.
    this.#remember();
    this.#markedMs = platform.clock.nowMs();
    this.#stopSweep = platform.timers.every(SWEEP_MS, () => platform.soon(() => this.#sweep()));
  }

  /** What an earlier process, or thread, has learned: before the first set, which has it then. */
  #remember(): void {
    const { memory, platform } = this.#options;
    const [nowMs, wallMs] = [platform.clock.nowMs(), platform.clock.wallMs()];
    for (const { atMs, ...lookup } of memory?.load() ?? []) {
      // A clock that was set back makes nothing live longer.
      const agoMs = Math.max(0, wallMs - atMs);
      this.learning.restore(lookup, nowMs - agoMs);
    }
    this.learning.expire(nowMs);
  }

  learn(lookups: readonly SentLookup[]): void {
    const isFirst = this.#lookups.length === 0;
    this.#lookups.push(...lookups);
    if (isFirst) this.#options.platform.soon(() => this.#learnAll());
  }

  markAlive(ips: readonly IpText[]): void {
    this.learning.markAlive(ips, this.#options.platform.clock.nowMs());
  }

  /** The state folder is ours from now on: what another has learned meanwhile counts, and all is written anew. */
  own(): void {
    const { memory, learn } = this.#options;
    if (memory === null) return;
    this.#remember();
    memory.own();
    memory.rewrite(this.#kept());
    learn();
  }

  /** JSON of what is kept now. */
  list(filter: NameFilter): string {
    const { platform, limits } = this.#options;
    const { clock } = platform;
    const graceMs = limits.dnsLearnedGraceMs;
    const times = { nowMs: clock.nowMs(), wallMs: clock.wallMs(), graceMs };
    const lookups = nameRows(this.learning.entries(), filter, times);
    const { names, addresses, evicted } = this.learning.counts;
    const document = jsonDocument('FqdnCache', { names, addresses, evicted, lookups });
    return JSON.stringify(document, null, 2);
  }

  stop(): void {
    this.#stopSweep();
    this.#options.memory?.rewrite(this.#kept());
  }

  #learnAll(): void {
    const { platform, learn, onLearned, memory } = this.#options;
    const { clock } = platform;
    const lookups = this.#lookups;
    this.#lookups = [];
    const kept: KeptLookup[] = [];
    const atMs = clock.wallMs();
    for (const sent of lookups) {
      const lookup = lookupOf(sent);
      if (this.learning.learn(lookup, clock.nowMs())) kept.push({ ...lookup, atMs });
    }
    // Before an answer goes: whoever takes our place knows it, too.
    if (kept.length > 0) memory?.append(kept);
    if (clock.nowMs() - this.#countsMs >= COUNTS_MS) this.#tellCounts();
    const sequence = learn();
    if (sequence === null) return;
    onLearned(
      lookups.map(({ id }) => id),
      sequence,
    );
  }

  #sweep(): void {
    const { platform, learn, memory } = this.#options;
    if (this.#lookups.length > 0) this.#learnAll();
    this.learning.expire(platform.clock.nowMs());
    learn();
    this.#tellCounts();
    this.#keepMarks();
    if (memory?.isLong === true) memory.rewrite(this.#kept());
  }

  #tellCounts(): void {
    const { counts } = this.learning;
    const text = JSON.stringify(counts);
    if (text === this.#counts) return;
    this.#counts = text;
    this.#countsMs = this.#options.platform.clock.nowMs();
    this.#options.onCounts(counts);
  }

  /** That addresses are in use though their time is over: else who takes our place would cut their connections. */
  #keepMarks(): void {
    const { platform, memory, limits } = this.#options;
    const nowMs = platform.clock.nowMs();
    const dueMs = this.#markedMs + limits.dnsLearnedGraceMs / MARKS_PER_GRACE;
    if (memory === null || nowMs < dueMs) return;
    const wallMs = platform.clock.wallMs();
    const marks: KeptLookup[] = [];
    for (const { name, address, holders, expiresAtMs, aliveAtMs } of this.learning.entries()) {
      if (aliveAtMs <= expiresAtMs || aliveAtMs < this.#markedMs) continue;
      const atMs = wallMs - (nowMs - aliveAtMs);
      for (const holder of holders.slice(0, 1)) {
        marks.push({ name, holder, addresses: [address], ttlSeconds: 0, atMs });
      }
    }
    this.#markedMs = nowMs;
    if (marks.length > 0) memory.append(marks);
  }

  *#kept(): Generator<KeptLookup> {
    const { clock } = this.#options.platform;
    const nowMs = clock.nowMs();
    const atMs = clock.wallMs();
    for (const { name, address, holders, expiresAtMs, aliveAtMs } of this.learning.entries()) {
      const ttlSeconds = Math.max(0, (Math.max(expiresAtMs, aliveAtMs) - nowMs) / 1000);
      for (const holder of holders) {
        yield { name, holder, addresses: [address], ttlSeconds, atMs };
      }
    }
  }
}

function lookupOf({ name, holder, ips, ttlSeconds }: SentLookup): Lookup {
  const addresses = ips.flatMap((ip) => parseIp(ip) ?? []);
  return { name, holder, addresses, ttlSeconds };
}

/** With the clocks, the addresses and the state folder of this machine. */
export function nodeNameService(
  { limits, stateDir, isStateOurs, neverLearned: ranges }: PolicySettings,
  parts: Pick<NameServiceOptions, 'learn' | 'onLearned' | 'onCounts'> & {
    readonly onNotKept: (problem: string) => void;
  },
): NameService {
  const platform = nodePlatform();
  const own = new OwnInterfaces(platform.clock);
  const { onNotKept, ...events } = parts;
  const memory =
    stateDir === null
      ? null
      : new NameMemory({
          ...{ folder: stateDir, name: PROXY_STATE, isOurs: isStateOurs },
          wallMs: () => platform.clock.wallMs(),
          onError: onNotKept,
        });
  const isOwnAddress = (ip: IpText): boolean => own.has(ip);
  const neverLearned = ranges.map(knownPrefix);
  return new NameService({ ...events, limits, platform, memory, isOwnAddress, neverLearned });
}

/** Texts go from thread to thread, as the configuration has checked them. */
