/**
 * A plan in force on this node. The order is what keeps every packet judged: tables first, then the
 * programs that ask them, and what leaves is detached after the tables no longer know it.
 */
import type { Datapath } from './kernel/api.ts';
import type { TablePlan } from './plan.ts';
import { TableUpdater, type Update } from './table_updater.ts';

export type AttachedDatapath = Pick<
  Datapath,
  'maps' | 'attachInterface' | 'detachInterface' | 'attachedInterfaces'
>;

export interface Applied {
  /** Null: what is in force says the same already. */
  readonly update: Update | null;
  readonly attached: number;
  readonly detached: number;
  /** Interfaces that could not be attached, most often because they went in the meantime. */
  readonly problems: readonly string[];
}

export class NodeRedirect {
  readonly #datapath: AttachedDatapath;
  readonly #updater: TableUpdater;
  /** Those that have the programs of this process. */
  readonly #attached = new Set<number>();
  #digest: string | null = null;

  constructor(datapath: AttachedDatapath) {
    this.#datapath = datapath;
    this.#updater = new TableUpdater(datapath.maps);
  }

  /** Throws when the tables cannot be written: then nothing has changed. */
  apply(plan: TablePlan): Applied {
    // The first plan is always written: what the tables hold is from another process.
    const update = plan.digest === this.#digest ? null : this.#updater.putInForce(plan);
    this.#digest = plan.digest;
    const problems: string[] = [];
    let attached = 0;
    for (const ifindex of plan.attached.keys()) {
      if (this.#attached.has(ifindex)) continue;
      try {
        this.#datapath.attachInterface(ifindex);
        this.#attached.add(ifindex);
        attached += 1;
      } catch (error) {
        problems.push(`interface ${ifindex}: ${textOf(error)}`);
      }
    }
    return { update, attached, detached: this.#detachOthers(plan), problems };
  }

  /** Those of `ifindexes` that we had attached: the next `apply` attaches them again. */
  forget(ifindexes: readonly number[]): readonly number[] {
    return ifindexes.filter((ifindex) => this.#attached.delete(ifindex));
  }

  /** After the grace: what is left of other generations. */
  removeOthers(): number {
    return this.#updater.removeOthers();
  }

  #detachOthers(plan: TablePlan): number {
    let detached = 0;
    for (const ifindex of this.#datapath.attachedInterfaces()) {
      if (plan.attached.has(ifindex)) continue;
      if (this.#datapath.detachInterface(ifindex)) detached += 1;
      this.#attached.delete(ifindex);
    }
    return detached;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
