/**
 * Services on their way from the policy thread: first all of them, then what differs. Once that has become more than all
 * of them are, whoever keeps them gets the whole anew.
 */
import { ServiceBatches } from '../control/service/service_batches.ts';
import { encodeServices, type SentServices } from '../control/worker/service_wire.ts';
import type { ServiceTable } from '../policy/identity/service_table.ts';
import type { Inventory } from '../policy/resolve/inventory.ts';

export interface SentServiceChange {
  readonly batch: SentServices;
  /** For those who start later, in place of all that was sent; null: what was sent does. */
  readonly whole: SentServices | null;
  readonly facts: ServiceFacts;
}

/** For status and the log. */
export interface ServiceFacts {
  readonly serviceCount: number;
  /** Addresses with a port that are judged by who is behind them. */
  readonly frontendCount: number;
  readonly backendCount: number;
  /** The first of those addresses that several Services claim, one line each. */
  readonly problems: readonly string[];
}

export const NO_SERVICE_FACTS: ServiceFacts = {
  ...{ serviceCount: 0, frontendCount: 0, backendCount: 0, problems: [] },
};

const PROBLEM_COUNT_MAX = 10;
/** A buffer each. */
const MOVED_COUNT_MAX = 10_000;

export class ServiceSender {
  readonly #batches = new ServiceBatches();
  #isFirst = true;
  #wholeBytes = 0;
  #movedBytes = 0;
  #movedCount = 0;

  /** Whoever is behind addresses of Services now. */
  get table(): ServiceTable {
    return this.#batches.table;
  }

  /** In order; none: nothing is new. */
  next(inventory: Inventory): readonly SentServiceChange[] {
    const batches = this.#batches.next(inventory);
    if (batches.length === 0) return [];
    const facts = this.#facts();
    if (this.#isFirst) {
      this.#isFirst = false;
      return [{ batch: this.#whole(), whole: null, facts }];
    }
    return batches.map((batch, at) => {
      const sent = encodeServices(batch);
      this.#movedBytes += sent.bytes.byteLength;
      this.#movedCount += 1;
      const isMuch = this.#movedBytes > this.#wholeBytes || this.#movedCount > MOVED_COUNT_MAX;
      // The whole has all of them in it.
      const isLast = at === batches.length - 1;
      return { batch: sent, whole: isMuch && isLast ? this.#whole() : null, facts };
    });
  }

  #whole(): SentServices {
    const sent = encodeServices(this.#batches.whole());
    this.#wholeBytes = sent.bytes.byteLength;
    this.#movedBytes = 0;
    this.#movedCount = 0;
    return sent;
  }

  #facts(): ServiceFacts {
    const { table, problems } = this.#batches;
    const services = new Set<string>();
    let backendCount = 0;
    for (const { service, kind, backends } of table.frontends()) {
      services.add(service);
      if (kind === 'ClusterIP') backendCount += backends.length;
    }
    return {
      serviceCount: services.size,
      frontendCount: table.size,
      backendCount,
      problems: problems.slice(0, PROBLEM_COUNT_MAX),
    };
  }
}
