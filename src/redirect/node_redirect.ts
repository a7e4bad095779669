/**
 * A plan in force on this node. The order is what keeps every packet judged: tables first, then the
 * programs that ask them, and what leaves is detached after the tables no longer know it.
 */
import type { Datapath } from './kernel/api.ts';
import { decodeAdoption, INTERFACE_UPLINK } from './layout.ts';
import type { TablePlan } from './plan.ts';
import { freeSeats } from './seats.ts';
import type { TableDelta } from './table_delta.ts';
import { TableUpdater, type Update } from './table_updater.ts';

export type AttachedDatapath = Pick<
  Datapath,
  'maps' | 'attachInterface' | 'attachIngress' | 'detachInterface' | 'attachedInterfaces'
>;

export interface NodeRedirectOptions {
  /** How long an interface that gets the programs takes over connections that are older than them. */
  readonly adoptMs: number;
  /** As bpf_ktime_get_ns. */
  readonly nowNs: () => bigint;
}

export interface Applied {
  /** Null: what is in force says the same already. */
  readonly update: Update | null;
  readonly attached: number;
  readonly detached: number;
  /** Endpoints' interfaces that no file names any more: still ours, and all of their packets refused. */
  readonly shut: readonly number[];
  /** Interfaces that could not be attached, most often because they went in the meantime. */
  readonly problems: readonly string[];
}

export class NodeRedirect {
  readonly #datapath: AttachedDatapath;
  readonly #options: NodeRedirectOptions;
  readonly #updater: TableUpdater;
  /** Those that have the programs of this process. */
  readonly #attached = new Set<number>();
  #digest: string | null = null;

  constructor(datapath: AttachedDatapath, options: NodeRedirectOptions) {
    this.#datapath = datapath;
    this.#options = options;
    this.#updater = new TableUpdater(datapath.maps);
  }

  /** Throws when the tables cannot be written: then nothing has changed. */
  apply(plan: TablePlan): Applied {
    const uplinks = uplinksOf(this.#datapath.maps.interfaces);
    // The first plan is always written: what the tables hold is from another process.
    const update =
      plan.digest === this.#digest ? null : this.#updater.putInForce(this.#adopting(plan));
    this.#digest = plan.digest;
    const problems: string[] = [];
    let attached = 0;
    const wanted = [...plan.attached.keys(), ...plan.claimed];
    const missing = wanted.filter((ifindex) => !this.#attached.has(ifindex));
    if (this.#datapath.attachedInterfaces().length === 0) this.#watchAll(missing);
    for (const ifindex of missing) {
      try {
        this.#datapath.attachInterface(ifindex);
        this.#attached.add(ifindex);
        attached += 1;
      } catch (error) {
        problems.push(`interface ${ifindex}: ${textOf(error)}`);
      }
    }
    return { update, attached, ...this.#detachOthers(plan, uplinks), problems };
  }

  /** Those that have the programs keep the time that they were given with them; others get one now. */
  #adopting(plan: TablePlan): TablePlan {
    const { adoptMs, nowNs } = this.#options;
    const known = adoptionsOf(this.#datapath.maps.interfaces);
    const attached = new Set(this.#datapath.attachedInterfaces());
    const untilNs = nowNs() + BigInt(adoptMs) * NS_PER_MS;
    const adoptsUntilNs = new Map(
      [...plan.attached.keys()].map((ifindex) => [
        ifindex,
        attached.has(ifindex) ? (known.get(ifindex) ?? 0n) : untilNs,
      ]),
    );
    return { ...plan, adoptsUntilNs };
  }

  /**
   * Ours by its name: nothing passes until a plan says whose it is. True when it had not been ours. Throws
   * when it cannot be attached, most often because it has gone again.
   */
  claim(ifindex: number): boolean {
    if (this.#attached.has(ifindex)) return false;
    this.#datapath.attachInterface(ifindex);
    this.#attached.add(ifindex);
    return true;
  }

  /**
   * It has gone, and the programs with it. Who gets its index is nobody until a plan says who it is. True when it had
   * been ours. Throws when the tables cannot be written.
   */
  letGo(ifindex: number): boolean {
    if (!this.#attached.delete(ifindex)) return false;
    this.#digest = null;
    this.#updater.removeInterface(ifindex);
    return true;
  }

  /**
   * The first time on a node, what takes the kernel milliseconds for each interface: who is watched would
   * refuse what comes from those that are not yet, as nobody has judged it. So all are watched first.
   */
  #watchAll(ifindexes: readonly number[]): void {
    for (const ifindex of ifindexes) {
      try {
        this.#datapath.attachIngress(ifindex);
      } catch {
        // Told when the interface as a whole is attached, right after.
      }
    }
  }

  /** Throws when it cannot be written; then the next `apply` writes everything. */
  change(delta: TableDelta): number {
    // What is in force is no whole plan any more.
    this.#digest = null;
    return this.#updater.change(delta);
  }

  /** Interfaces that should have the programs of this process. */
  get attached(): Iterable<number> {
    return this.#attached;
  }

  /** The next `apply` attaches them again. */
  forget(ifindexes: readonly number[]): void {
    for (const ifindex of ifindexes) this.#attached.delete(ifindex);
  }

  /** After the grace: what is left of other generations. */
  removeOthers(): number {
    const count = this.#updater.removeOthers();
    return count + freeSeats(this.#datapath.maps);
  }

  /**
   * An entry that is gone from the endpoints file is no leave to pass: the interface of an endpoint is let
   * go when it is gone itself, or by `down`. An uplink is: what comes by it to endpoints is judged at
   * their interfaces all the same. And so is what turned out to be a port of somebody else's bridge.
   */
  #detachOthers(plan: TablePlan, uplinks: ReadonlySet<number>): Pick<Applied, 'detached' | 'shut'> {
    const present = new Set(plan.input.interfaces.values());
    const shut: number[] = [];
    let detached = 0;
    for (const ifindex of this.#datapath.attachedInterfaces()) {
      if (plan.attached.has(ifindex) || plan.claimed.includes(ifindex)) continue;
      const isReleased = uplinks.has(ifindex) || plan.released.includes(ifindex);
      if (present.has(ifindex) && !isReleased) {
        shut.push(ifindex);
        continue;
      }
      if (this.#datapath.detachInterface(ifindex)) detached += 1;
      this.#attached.delete(ifindex);
    }
    return { detached, shut };
  }
}

const NS_PER_MS = 1_000_000n;

/** Of whatever generation: the time is the interface's. */
function adoptionsOf(interfaces: Datapath['maps']['interfaces']): ReadonlyMap<number, bigint> {
  const adoptions = new Map<number, bigint>();
  for (const [key, value] of interfaces.entries()) {
    adoptions.set(key.readUInt32LE(4), decodeAdoption(value));
  }
  return adoptions;
}

/** By the tables that are in force, before the next ones are. */
function uplinksOf(interfaces: Datapath['maps']['interfaces']): ReadonlySet<number> {
  const uplinks = new Set<number>();
  for (const [key, value] of interfaces.entries()) {
    if (value.readUInt32LE(0) === INTERFACE_UPLINK) uplinks.add(key.readUInt32LE(4));
  }
  return uplinks;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
