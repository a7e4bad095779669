/**
 * Who is behind the addresses of Services, as the tables in force have it, and what of that is to be changed. Services
 * change more often than who may be behind them: a pod that takes the place of one of its kind changes nothing here.
 */
import type { FrontendSet } from '../../control/service/service_frontends.ts';
import {
  type BehindChanges,
  behindChanges,
  behindOf,
  type KnownBackends,
  MORE_BEHIND,
  NO_BEHIND_CHANGES,
  type PlannedBehind,
} from '../../redirect/behind.ts';
import { BEHIND_COUNT_MAX, BEHIND_MAX } from '../../redirect/layout.ts';
import { type ServiceRoom, withoutRoom } from '../../redirect/services/service_room.ts';

export class BehindServices {
  readonly #room: ServiceRoom;
  #inForce: readonly PlannedBehind[] = [];
  #left = 0;
  #told: ReadonlySet<string> = new Set();

  constructor(countMax = BEHIND_COUNT_MAX) {
    // One entry says that there are more.
    const frontendCountMax = countMax - 1;
    const any = Number.POSITIVE_INFINITY;
    this.#room = { frontendCountMax, slotCountMax: any, backendCountMax: any };
  }

  /** All of it, for tables that are written whole. `set` null: it is not known what Services there are. */
  whole(set: FrontendSet | null, known: KnownBackends): readonly PlannedBehind[] {
    this.#inForce = this.#behindOf(set, known);
    return this.#inForce;
  }

  /** For the tables in force; whoever cannot write it has to write all of it. */
  changes(set: FrontendSet | null, known: KnownBackends): BehindChanges {
    // Services that are not known any more are there as before.
    if (set === null) return NO_BEHIND_CHANGES;
    const before = this.#inForce;
    return behindChanges(before, this.whole(set, known));
  }

  /** Services of which packets are refused, or judged by the address alone. Each is told once, until that is over. */
  takeProblems(): readonly string[] {
    const wide = this.#inForce.filter(({ pairs }) => pairs.length > BEHIND_MAX);
    const problems = wide.map(
      ({ name, pairs }) =>
        `${name}: ${pairs.length} identities and ports are behind this Service, and ${BEHIND_MAX} can be asked about: packets with its address are refused`,
    );
    if (this.#left > 0) {
      problems.push(
        `${this.#left} addresses of Services have no room in the tables: packets with them are judged by the address, and again by who receives them where they leave the node or reach a pod`,
      );
    }
    const news = problems.filter((one) => !this.#told.has(one));
    this.#told = new Set(problems);
    return news;
  }

  #behindOf(set: FrontendSet | null, known: KnownBackends): readonly PlannedBehind[] {
    const frontends = set?.frontends ?? [];
    const left = new Set(withoutRoom(frontends, this.#room));
    this.#left = left.size;
    if (left.size === 0) return behindOf(frontends, known);
    return [
      ...behindOf(
        frontends.filter((one) => !left.has(one)),
        known,
      ),
      MORE_BEHIND,
    ];
  }
}
