/**
 * Holds an answer until its addresses are in force for the name, in every worker and in the kernel: whoever gets the
 * answer is let through. Only names that some `toFQDNs` of the endpoint selects are held, and of those only what is news.
 *
 *     answer ──► selected? ──no──► goes
 *                   │ are all addresses promised for long enough, and in force here? ──yes──► goes, and a longer TTL is told
 *                   └──► told ──► in force everywhere, or dnsLearnWaitMs ──► goes
 *
 * An address that is not the name's when all that was told is in force cannot be learned (one of the cluster, for one):
 * nobody waits for it again for a while.
 */
import type { IpText } from '../../model/address.ts';
import { IDENTITY_WORLD } from '../../model/identity.ts';
import type { Limits } from '../../model/limits.ts';
import type { PlaneEvents } from '../../model/record.ts';
import type { Clock, Timers } from '../../platform/platform.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { isSelectedBy } from '../../policy/identity/remotes.ts';
import type { NameTeaching, TaughtName } from '../plane/options.ts';

/** For whoever puts it in force. */
export interface ToldLookup {
  /** Never given again, also not by a worker that takes this one's place. */
  readonly id: number;
  readonly name: string;
  readonly holder: string;
  readonly ips: readonly IpText[];
  readonly ttlSeconds: number;
}

export interface NameLearnerOptions {
  readonly currentSnapshot: () => PolicySnapshot;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly events: Pick<PlaneEvents, 'dnsAnswerHeld'>;
  readonly tell: (lookup: ToldLookup) => void;
}

interface Waiting {
  readonly taught: TaughtName;
  readonly key: string;
  readonly toldMs: number;
  /** Null: the answer has gone already. */
  readonly release: (() => void) | null;
}

interface Promised {
  readonly untilMs: number;
  /** So long nobody waits for it, as it was told and is not the name's; 0: it is. */
  readonly unlearnedMs: number;
}

/** Addresses of names of endpoints: what servers say is long, and other each time if they like. */
const PROMISED_COUNT_MAX = 100_000;

export class NameLearner implements NameTeaching {
  readonly #options: NameLearnerOptions;
  /** In the order in which they were told. */
  readonly #waiting = new Map<number, Waiting>();
  #heldCount = 0;
  /** Until when an address is kept for the name, by who asked: grace not counted. */
  readonly #promised = new Map<string, Map<IpText, Promised>>();
  #promisedCount = 0;
  #nextId: number;
  readonly #stopSweep: () => void;

  constructor(options: NameLearnerOptions) {
    const { clock, timers, limits } = options;
    this.#options = options;
    this.#nextId = Math.floor(clock.wallMs()) * IDS_PER_MS;
    this.#stopSweep = timers.every(limits.sweepIntervalMs, () => this.#expire());
  }

  waits(taught: TaughtName, release: () => void): boolean {
    const { currentSnapshot, clock, limits, events } = this.#options;
    const snapshot = currentSnapshot();
    const { endpointIp, name } = taught;
    const isNamed = namedHere(snapshot, taught);
    if (isNamed === null) return false;
    const nowMs = clock.nowMs();
    const holder = snapshot.endpoint(endpointIp).name;
    const key = `${holder} ${name}`;
    const promised = this.#promised.get(key);
    const isKnown =
      this.#isPromised(promised, taught, nowMs) &&
      taught.addresses.every(
        ({ text }) => isNamed(text) || nowMs < (promised?.get(text)?.unlearnedMs ?? 0),
      );
    if (isKnown && !this.#isLonger(key, taught, nowMs)) return false;
    const isHeld = !isKnown && this.#heldCount < limits.dnsLearnWaitingCountMax;
    if (!isKnown && !isHeld) events.dnsAnswerHeld('full');
    this.#tell({ taught, key, toldMs: nowMs, release: isHeld ? release : null }, holder);
    return isHeld;
  }

  /** What was told under these numbers is in force everywhere. */
  inForce(ids: Iterable<number>): void {
    for (const id of ids) {
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) continue;
      this.#promise(waiting);
      this.#release(id, waiting, 'in-force');
    }
  }

  /** Nothing is held any more. */
  stop(): void {
    this.#stopSweep();
    for (const [id, waiting] of this.#waiting) this.#release(id, waiting, 'timeout');
  }

  #tell(waiting: Waiting, holder: string): void {
    const { tell, limits } = this.#options;
    const { name, addresses, ttlSeconds } = waiting.taught;
    const id = this.#nextId++;
    if (waiting.release !== null || this.#waiting.size < 2 * limits.dnsLearnWaitingCountMax) {
      this.#waiting.set(id, waiting);
    }
    if (waiting.release !== null) this.#heldCount++;
    tell({ id, name, holder, ips: addresses.map(({ text }) => text), ttlSeconds });
  }

  #release(id: number, { release }: Waiting, outcome: 'in-force' | 'timeout'): void {
    this.#waiting.delete(id);
    if (release === null) return;
    this.#heldCount--;
    this.#options.events.dnsAnswerHeld(outcome);
    release();
  }

  #expire(): void {
    const { clock, limits } = this.#options;
    const lastMs = clock.nowMs() - limits.dnsLearnWaitMs;
    for (const [id, waiting] of this.#waiting) {
      if (waiting.toldMs > lastMs) return;
      this.#release(id, waiting, 'timeout');
    }
  }

  #promise({ taught, key, toldMs }: Waiting): void {
    const keptMs = toldMs + this.#keptMs(taught);
    const before = this.#promised.get(key);
    const next = new Map<IpText, Promised>();
    const { limits, currentSnapshot } = this.#options;
    const { dnsLearnedGraceMs, dnsLearnedNameAddressCountMax } = limits;
    const isNamed = namedHere(currentSnapshot(), taught);
    for (const [ip, one] of before ?? []) {
      if (one.untilMs + dnsLearnedGraceMs > toldMs) next.set(ip, one);
    }
    for (const { text } of taught.addresses) {
      const untilMs = Math.max(keptMs, next.get(text)?.untilMs ?? 0);
      const isUnlearned = isNamed !== null && !isNamed(text);
      // Short: it can be learned as soon as it is nobody's in the cluster any more.
      const unlearnedMs = isUnlearned ? toldMs + dnsLearnedGraceMs / 4 : 0;
      next.delete(text);
      next.set(text, { untilMs, unlearnedMs });
    }
    // Where they are kept, those that were told longest ago have gone as well.
    for (const ip of next.keys()) {
      if (next.size <= dnsLearnedNameAddressCountMax) break;
      next.delete(ip);
    }
    this.#forget(key);
    this.#promised.set(key, next);
    this.#promisedCount += next.size;
    for (const oldest of this.#promised.keys()) {
      if (this.#promisedCount <= PROMISED_COUNT_MAX) return;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#promisedCount -= this.#promised.get(key)?.size ?? 0;
    this.#promised.delete(key);
  }

  /** It is kept for a grace longer, of which half is for what is under way. */
  #isPromised(
    promised: ReadonlyMap<IpText, Promised> | undefined,
    { addresses }: TaughtName,
    nowMs: number,
  ): boolean {
    const spareMs = this.#options.limits.dnsLearnedGraceMs / 2;
    return addresses.every(({ text }) => {
      const untilMs = promised?.get(text)?.untilMs ?? -spareMs;
      return nowMs < untilMs + spareMs;
    });
  }

  /** Worth being told: by more than a part of the grace. */
  #isLonger(key: string, taught: TaughtName, nowMs: number): boolean {
    const promised = this.#promised.get(key);
    const neededMs = nowMs + this.#keptMs(taught) - this.#options.limits.dnsLearnedGraceMs / 4;
    return taught.addresses.some(({ text }) => neededMs > (promised?.get(text)?.untilMs ?? 0));
  }

  #keptMs({ ttlSeconds }: TaughtName): number {
    const { dnsLearnedTtlMinMs, dnsLearnedTtlMaxMs } = this.#options.limits;
    return Math.max(Math.min(ttlSeconds * 1000, dnsLearnedTtlMaxMs), dnsLearnedTtlMinMs);
  }
}

/** More than a worker can tell. */
const IDS_PER_MS = 1000;

/**
 * Whether an address is the name's here, for each `toFQDNs` that selects it; a promise says that it is elsewhere, too.
 * Null: none of the endpoint selects the name.
 */
function namedHere(snapshot: PolicySnapshot, taught: TaughtName): ((ip: IpText) => boolean) | null {
  const { shadow } = snapshot;
  const own = numbersOf(snapshot, taught);
  const others = shadow === null ? [] : numbersOf(shadow, taught);
  if (own.length === 0 && others.length === 0) return null;
  return (ip) => isNamedIn(snapshot, ip, own) && (shadow === null || isNamedIn(shadow, ip, others));
}

function numbersOf(snapshot: PolicySnapshot, { endpointIp, name }: TaughtName): readonly number[] {
  return snapshot.naming(endpointIp, name);
}

function isNamedIn(
  { who, ipcache }: PolicySnapshot,
  ip: IpText,
  numbers: readonly number[],
): boolean {
  if (who === null) return false;
  const remote = who.remotes.of(ipcache.lookup(ip) ?? IDENTITY_WORLD);
  return numbers.every((number) => isSelectedBy(remote, number));
}
