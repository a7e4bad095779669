/**
 * Lookups on their way: from a worker to the policy thread, and back when what they taught is in force in every worker
 * and, under the redirect, in the kernel. None is lost with a policy thread that dies.
 *
 *     worker ──lookups──► thread ──batch──► workers, kernel ──all have it──► lookups-in-force ──► worker
 */
import type { IpText } from '../model/address.ts';
import type { Limits } from '../model/limits.ts';
import type { ToldLookup } from '../proxy/dns/name_learner.ts';
import type { SentLookup, ToPolicyThread } from './policy_messages.ts';
import type { NamesFromWorker } from './slot.ts';

export interface NameReportsOptions {
  readonly limits: Pick<Limits, 'dnsLearnWaitMs' | 'dnsLearnWaitingCountMax'>;
  readonly toThread: (
    message: Extract<ToPolicyThread, { kind: 'lookups' | 'open-addresses' }>,
  ) => void;
  /** Resolves when all batches up to the number are in force everywhere; false: not in time. */
  readonly inForce: (sequence: number, timeoutMs: number) => Promise<boolean>;
  readonly toWorker: (index: number, ids: readonly number[]) => void;
}

interface Report {
  readonly index: number;
  readonly lookup: ToldLookup;
}

export class NameReports {
  readonly #options: NameReportsOptions;
  /** That the thread has not learned yet, the oldest first. */
  readonly #reports = new Map<number, Report>();
  #nextId = 1;

  constructor(options: NameReportsOptions) {
    this.#options = options;
  }

  take(index: number, message: NamesFromWorker): void {
    if (message.kind === 'open-addresses') this.#markOpen(message.ips);
    else this.#learn(index, message.lookups);
  }

  /** By the thread. */
  async learned(ids: readonly number[], sequence: number): Promise<void> {
    const byWorker = new Map<number, number[]>();
    for (const id of ids) {
      const report = this.#reports.get(id);
      if (report === undefined) continue;
      this.#reports.delete(id);
      const own = byWorker.get(report.index);
      if (own === undefined) byWorker.set(report.index, [report.lookup.id]);
      else own.push(report.lookup.id);
    }
    const { inForce, limits, toWorker } = this.#options;
    if (byWorker.size === 0 || !(await inForce(sequence, limits.dnsLearnWaitMs))) return;
    for (const [index, own] of byWorker) toWorker(index, own);
  }

  /** The thread that was told has ended, and another goes on. */
  again(): void {
    if (this.#reports.size === 0) return;
    const lookups = Array.from(this.#reports, ([id, { lookup }]) => ({ ...lookup, id }));
    this.#options.toThread({ kind: 'lookups', lookups });
  }

  #learn(index: number, told: readonly ToldLookup[]): void {
    const lookups: SentLookup[] = told.map((lookup) => {
      const id = this.#nextId++;
      this.#reports.set(id, { index, lookup });
      return { ...lookup, id };
    });
    // Whoever waits for the oldest has let its answer go by now.
    const { dnsLearnWaitingCountMax } = this.#options.limits;
    for (const id of this.#reports.keys()) {
      if (this.#reports.size <= REPORTS_PER_WAITING * dnsLearnWaitingCountMax) break;
      this.#reports.delete(id);
    }
    this.#options.toThread({ kind: 'lookups', lookups });
  }

  #markOpen(ips: readonly IpText[]): void {
    this.#options.toThread({ kind: 'open-addresses', ips });
  }
}

/** Of all workers. */
const REPORTS_PER_WAITING = 8;
