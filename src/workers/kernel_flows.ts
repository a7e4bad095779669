/**
 * The kernel's part of the flows, while somebody follows them: looks at its maps now and then, asks the policy thread
 * who the addresses are, and hands on batches as workers do.
 */
import type { Flow, FlowAddress, FlowSide, KernelFlow } from '../model/flow.ts';
import { sideOf } from '../observe/flow/sides.ts';
import { type BatchOrigin, FlowBatch } from '../observe/flow/wire/flow_batch.ts';
import type { Clock, Timers } from '../platform/platform.ts';
import type { KernelEvent, KernelFlowReader } from '../redirect/kernel_flows.ts';

export interface KernelFlowsOptions extends BatchOrigin {
  /** Of what comes after `sinceNs`. */
  readonly openReader: (sinceNs: bigint) => Promise<KernelFlowReader>;
  /** Who is at the addresses, in their order, by the policy in force. */
  readonly nameSides: (sides: readonly FlowAddress[]) => Promise<readonly FlowSide[]>;
  readonly push: (batch: Uint8Array) => void;
  /** What went wrong, once for each thing; asked again at the next look. */
  readonly onProblem: (problem: string) => void;
  readonly intervalMs: number;
  readonly timers: Timers;
  readonly clock: Clock;
  /** bpf_ktime_get_ns of now. */
  readonly nowNs: () => bigint;
}

export class KernelFlows {
  readonly #options: KernelFlowsOptions;
  readonly #batch: FlowBatch;
  #stopTimer: (() => void) | null = null;
  #reader: KernelFlowReader | null = null;
  /** Somebody follows since. */
  #sinceNs = 0n;
  #isLooking = false;
  #number = 0;
  #lostCount = 0;
  #lastProblem = '';

  constructor(options: KernelFlowsOptions) {
    this.#options = options;
    this.#batch = new FlowBatch(options);
  }

  /** Flows that were more than one look may tell. */
  get lostCount(): number {
    return this.#lostCount;
  }

  setWanted(isWanted: boolean): void {
    this.#stopTimer?.();
    this.#stopTimer = null;
    this.#reader?.close();
    this.#reader = null;
    if (!isWanted) return;
    const { timers, intervalMs, nowNs } = this.#options;
    this.#sinceNs = nowNs();
    const look = (): void => void this.#look();
    this.#stopTimer = timers.every(intervalMs, look);
    look();
  }

  /** One after the other: the policy thread may be busy with a set. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      await this.#lookOnce();
    } catch (error) {
      this.#tell(textOf(error));
    } finally {
      this.#isLooking = false;
    }
  }

  async #lookOnce(): Promise<void> {
    const { openReader, nameSides, push, nowNs } = this.#options;
    this.#reader ??= await openReader(this.#sinceNs);
    const reader = this.#reader;
    if (this.#stopTimer === null) return;
    const { events, lostCount } = reader.look(nowNs());
    this.#lastProblem = '';
    if (events.length === 0 && lostCount === 0) return;
    const addresses = events.flatMap(({ source, destination }) => [source, destination]);
    const sides = await nameSides(addresses).catch((error: unknown) => {
      // It checks a set: then it is told what happened, and not to whom.
      this.#tell(textOf(error));
      return addresses.map((address) => sideOf(address, null, null));
    });
    if (this.#stopTimer === null) return;
    for (const [index, event] of events.entries()) {
      const [source, destination] = sides.slice(2 * index) as [FlowSide, FlowSide];
      this.#batch.add(this.#flowOf(event, { source, destination }));
    }
    this.#lostCount += lostCount;
    if (lostCount > 0) this.#batch.addLost(lostCount);
    push(this.#batch.take());
  }

  #flowOf(event: KernelEvent, sides: Pick<Flow, 'source' | 'destination'>): KernelFlow {
    const { instance, node, clock, nowNs } = this.#options;
    const agoMs = Number(nowNs() - event.atNs) / 1e6;
    return {
      origin: 'kernel',
      instance,
      node,
      number: ++this.#number,
      endedAtMs: clock.wallMs() - agoMs,
      direction: event.direction,
      // A SYN is of who asks; of a packet that was dropped nobody knows.
      isReply: event.verdict === 'redirected' ? false : null,
      ipProtocol: event.ipProtocol,
      ...sides,
      verdict: event.verdict,
      dropReason: event.dropReason,
      count: event.count,
    };
  }

  #tell(problem: string): void {
    if (problem !== this.#lastProblem) this.#options.onProblem(problem);
    this.#lastProblem = problem;
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
