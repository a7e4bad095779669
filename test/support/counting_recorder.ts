/** A Recorder that keeps what it is told. */
import type {
  CloseCause,
  EvictionBound,
  HeldOutcome,
  HolderCounts,
  PlaneEvents,
  Recorder,
  RequestRecord,
  ShareState,
  UpstreamConnectOutcome,
} from '../../src/model/record.ts';
import type { ResetBy, ResetCause } from '../../src/model/stream_reset.ts';
import { Signal } from './signal.ts';

export class CountingRecorder implements Recorder, PlaneEvents {
  readonly events: PlaneEvents = this;
  readonly records: RequestRecord[] = [];
  readonly closed: CloseCause[] = [];
  readonly connects: UpstreamConnectOutcome[] = [];
  readonly internalErrors: unknown[] = [];
  /** "bound state", in order. */
  readonly evictions: string[] = [];
  readonly ignored: ('downstream' | 'upstream')[] = [];
  readonly heldAnswers: HeldOutcome[] = [];
  holders: HolderCounts | null = null;
  openedCount = 0;
  retriedCount = 0;
  streamsOpenedCount = 0;
  streamsOpenCount = 0;
  /** "by cause" → how often. */
  readonly resets = new Map<string, number>();
  readonly #signal = new Signal();

  record(record: RequestRecord): void {
    this.records.push(record);
    this.#signal.raise();
  }

  connectionOpened(): void {
    this.openedCount += 1;
    this.#signal.raise();
  }

  connectionClosed(_listener: string, cause: CloseCause): void {
    this.closed.push(cause);
    this.#signal.raise();
  }

  upstreamConnected(_listener: string, outcome: UpstreamConnectOutcome): void {
    this.connects.push(outcome);
    this.#signal.raise();
  }

  upstreamRetried(): void {
    this.retriedCount += 1;
  }

  streamsOpened(_listener: string, count: number): void {
    this.streamsOpenedCount += count;
    this.streamsOpenCount += count;
    this.#signal.raise();
  }

  streamsClosed(_listener: string, count: number): void {
    this.streamsOpenCount -= count;
    this.#signal.raise();
  }

  streamsReset(by: ResetBy, cause: ResetCause, count: number): void {
    const key = `${by} ${cause}`;
    this.resets.set(key, (this.resets.get(key) ?? 0) + count);
    this.#signal.raise();
  }

  dnsMessageIgnored(from: 'downstream' | 'upstream'): void {
    this.ignored.push(from);
    this.#signal.raise();
  }

  dnsAnswerHeld(outcome: HeldOutcome): void {
    this.heldAnswers.push(outcome);
    this.#signal.raise();
  }

  evicted(bound: EvictionBound, state: ShareState): void {
    this.evictions.push(`${bound} ${state}`);
    this.#signal.raise();
  }

  held(counts: HolderCounts): void {
    this.holders = counts;
  }

  internalError(_where: string, error: unknown): void {
    this.internalErrors.push(error);
  }

  async untilRecords(count: number): Promise<readonly RequestRecord[]> {
    await this.#until(() => this.records.length >= count, `${count} records`);
    return this.records;
  }

  async untilClosed(count: number): Promise<readonly CloseCause[]> {
    await this.#until(() => this.closed.length >= count, `${count} closed connections`);
    return this.closed;
  }

  async untilOpened(count: number): Promise<void> {
    await this.#until(() => this.openedCount >= count, `${count} opened connections`);
  }

  /** So many streams were opened, and none of them is open any more. */
  async untilStreamsOver(count: number): Promise<void> {
    await this.#until(
      () => this.streamsOpenedCount >= count && this.streamsOpenCount === 0,
      `${count} streams that are over`,
    );
  }

  /** "by cause count", sorted. */
  get resetSummaries(): readonly string[] {
    return [...this.resets].map(([key, count]) => `${key} ${count}`).sort();
  }

  /** One short text a record: "verdict fault-or-reason status target". */
  get summaries(): readonly string[] {
    return this.records.map((record) => {
      const why = record.fault ?? record.decision?.reason ?? 'allowed';
      return `${record.verdict} ${why} ${record.status} ${record.head?.path ?? '-'}`;
    });
  }

  #until(isMet: () => boolean, about: string): Promise<void> {
    return this.#signal.until(isMet, () => `${about}; records: ${this.summaries.join(' | ')}`);
  }
}
