/**
 * One of many processes acts: the one that holds a Lease. As Kubernetes' own components do it (client-go,
 * leaderelection), with two differences. Whoever does not hold the Lease looks at it seldom, since there is such a
 * process on every node. And the Lease is changed by PATCH with the version that was read, so that nothing else in it is
 * touched; a PATCH that comes late is refused.
 *
 * The clocks of two machines are never compared. A holder counts from the moment at which it sent what renewed the
 * Lease, and ends before the others may begin, who count from the moment at which they saw the record change.
 */
import type { Clock, Timers } from '../../platform/platform.ts';
import type { KubeClient, KubeReply, KubeRequest } from '../client.ts';
import { type KubeKind, pathOf } from '../kind.ts';
import {
  type LeaseRecord,
  leaseRecordOf,
  releasingSpec,
  renewingSpec,
  takingSpec,
} from './lease_record.ts';

export const LEASES: KubeKind = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  isNamespaced: true,
};

export interface ElectionOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly namespace: string;
  readonly name: string;
  /** No other process, before or now, has the same. */
  readonly holder: string;
  readonly clock: Clock;
  readonly timers: Timers;
  /** From 0 to 1, without 1. */
  readonly random: () => number;
  /** Time between two looks of one who does not hold the Lease; up to twice as long. */
  readonly lookMs: number;
  readonly events: ElectionEvents;
}

export interface ElectionEvents {
  /** From now on, until `signal` aborts. */
  onElected(signal: AbortSignal): void;
  /** One line; null: it is over. Told when it changes. */
  onProblem(problem: string | null): void;
}

/** How long the others leave a record alone that does not change. */
const LEASE_MS = 15_000;
/** How long a holder acts after what it last renewed. The rest is for what is on its way. */
const DEADLINE_MS = 10_000;
const RETRY_MS = 2_000;
const REQUEST_MS = 5_000;
/** Rights do not come by themselves. */
const FORBIDDEN_RETRY_MS = 60_000;
const RELEASE_MS = 2_000;

interface Held {
  readonly version: string;
  /** When the request was sent that made the record what it is, by both clocks. */
  readonly sentMs: number;
  readonly sentWallMs: number;
  readonly term: AbortController;
}

interface Observed {
  readonly version: string;
  readonly sinceMs: number;
}

export class Election {
  readonly #options: ElectionOptions;
  #held: Held | null = null;
  #observed: Observed | null = null;
  #problem: string | null = null;
  #cancelStep: () => void = () => {};
  #cancelDeadline: () => void = () => {};
  /** Of the request that is on its way. */
  #asking: AbortController | null = null;
  #isStopped = false;

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  start(): void {
    this.#again(this.#options.random() * RETRY_MS);
  }

  /** Ask right before each act: a process that was stopped for a while has not heard that its term is over. */
  get isElected(): boolean {
    return this.#held !== null && this.#ageMs(this.#held) < DEADLINE_MS;
  }

  /** Resolves when the Lease is given back, or when that cannot be waited for. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelStep();
    this.#asking?.abort();
    const held = this.#held;
    this.#end();
    if (held === null || this.#ageMs(held) >= DEADLINE_MS) return;
    const spec = releasingSpec(this.#options.clock.wallMs());
    await this.#ask(this.#patch(held.version, spec), RELEASE_MS);
  }

  /** The wall clock goes on while a machine sleeps; where the two differ, the longer time counts. */
  #ageMs({ sentMs, sentWallMs }: Held): number {
    const { clock } = this.#options;
    return Math.max(clock.nowMs() - sentMs, clock.wallMs() - sentWallMs);
  }

  #again(delayMs: number): void {
    if (this.#isStopped) return;
    this.#cancelStep = this.#options.timers.after(delayMs, () => {
      this.#step().then((nextMs) => this.#again(nextMs));
    });
  }

  /** Resolves to the time until the next step. */
  async #step(): Promise<number> {
    if (this.#held !== null && !this.isElected) this.#end();
    return this.#held === null ? await this.#look() : await this.#renew(this.#held);
  }

  async #renew(held: Held): Promise<number> {
    const spec = renewingSpec(this.#options.clock.wallMs());
    const written = await this.#write(held.version, spec, held.term);
    // Somebody else has changed it, or has it; or what was given up on did arrive.
    return written.kind === 'refused' && written.status === 409 ? await this.#look() : RETRY_MS;
  }

  async #look(): Promise<number> {
    const { namespace, name } = this.#options;
    const path = `${pathOf(LEASES, namespace)}/${name}`;
    const reply = await this.#ask({ method: 'GET', path }, REQUEST_MS);
    if (reply.kind === 'refused' && reply.status === 404) return await this.#create();
    const record = reply.kind === 'ok' ? leaseRecordOf(reply.object) : null;
    if (record === null) return this.#failed(reply);
    this.#tell(null);
    return await this.#consider(record);
  }

  async #consider(record: LeaseRecord): Promise<number> {
    const { holder } = this.#options;
    if (record.holder === holder) {
      const spec = renewingSpec(this.#options.clock.wallMs());
      await this.#write(record.version, spec, this.#held?.term ?? null);
      return RETRY_MS;
    }
    this.#end();
    if (record.holder !== '' && !this.#isExpired(record)) return this.#untilNextLook(record);
    const claim = this.#claim();
    const written = await this.#write(
      record.version,
      takingSpec(claim, record.transitions + 1),
      null,
    );
    return written.kind === 'ok' ? RETRY_MS : this.#failed(written);
  }

  /** By the time that has passed here since the record was seen to change; what it says of time is another's clock. */
  #isExpired({ version, durationMs }: LeaseRecord): boolean {
    const nowMs = this.#options.clock.nowMs();
    if (this.#observed?.version !== version) {
      this.#observed = { version, sinceMs: nowMs };
      return false;
    }
    return nowMs - this.#observed.sinceMs >= Math.max(LEASE_MS, durationMs);
  }

  #untilNextLook({ renewedAtMs, durationMs }: LeaseRecord): number {
    const { clock, random, lookMs } = this.#options;
    // A hint by the clocks of two machines, and no more: it looks as if nobody renewed it.
    const isOld = !(clock.wallMs() - renewedAtMs < Math.max(LEASE_MS, durationMs));
    return isOld ? LEASE_MS + random() * RETRY_MS : lookMs * (1 + random());
  }

  async #create(): Promise<number> {
    const { namespace, name } = this.#options;
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name },
      spec: takingSpec(this.#claim(), 0),
    };
    const request = { method: 'POST', path: pathOf(LEASES, namespace), body } as const;
    const written = await this.#send(request, null);
    return written.kind === 'ok' ? RETRY_MS : this.#failed(written);
  }

  #claim(): { readonly holder: string; readonly durationMs: number; readonly wallMs: number } {
    const { holder, clock } = this.#options;
    return { holder, durationMs: LEASE_MS, wallMs: clock.wallMs() };
  }

  #write(version: string, spec: object, term: AbortController | null): Promise<KubeReply> {
    return this.#send(this.#patch(version, spec), term);
  }

  #patch(version: string, spec: object): KubeRequest {
    const { namespace, name } = this.#options;
    return {
      method: 'PATCH',
      path: `${pathOf(LEASES, namespace)}/${name}`,
      contentType: 'application/merge-patch+json',
      body: { metadata: { resourceVersion: version }, spec },
    };
  }

  /** What makes the Lease ours, or keeps it so. `term`: the present one, which goes on; null: a new one begins. */
  async #send(request: KubeRequest, term: AbortController | null): Promise<KubeReply> {
    const { clock, timers, events } = this.#options;
    const sent = { sentMs: clock.nowMs(), sentWallMs: clock.wallMs() };
    const reply = await this.#ask(request, REQUEST_MS);
    const record = reply.kind === 'ok' ? leaseRecordOf(reply.object) : null;
    if (record === null || this.#isStopped) return reply;
    const isOver = term?.signal.aborted === true || term === null;
    const held = { ...sent, version: record.version, term: isOver ? new AbortController() : term };
    if (this.#ageMs(held) >= DEADLINE_MS) return reply;
    this.#held = held;
    this.#cancelDeadline();
    this.#cancelDeadline = timers.after(DEADLINE_MS - this.#ageMs(held), () => this.#end());
    this.#tell(null);
    if (isOver) events.onElected(held.term.signal);
    return reply;
  }

  #end(): void {
    this.#cancelDeadline();
    this.#held?.term.abort();
    this.#held = null;
  }

  async #ask(request: KubeRequest, timeoutMs: number): Promise<KubeReply> {
    const { client, timers } = this.#options;
    const asking = new AbortController();
    const cancel = timers.after(timeoutMs, () => asking.abort());
    this.#asking = asking;
    const reply = await client.request({ ...request, signal: asking.signal });
    cancel();
    return reply;
  }

  #failed(reply: KubeReply): number {
    const { random, lookMs, namespace, name } = this.#options;
    const lease = `the Lease ${namespace}/${name}`;
    if (reply.kind === 'refused' && reply.status === 409) return RETRY_MS * (1 + random());
    if (reply.kind === 'refused' && (reply.status === 403 || reply.status === 404)) {
      this.#tell(`no right to hold ${lease}: ${reply.message}`);
      return FORBIDDEN_RETRY_MS * (1 + random());
    }
    // That nobody answers is told by those who watch.
    if (reply.kind === 'refused') this.#tell(`${lease} cannot be held: ${reply.message}`);
    return reply.kind === 'refused' && reply.retryAfterMs !== null
      ? Math.max(reply.retryAfterMs, RETRY_MS)
      : Math.max(lookMs, RETRY_MS) * (1 + random());
  }

  #tell(problem: string | null): void {
    if (this.#problem === problem || this.#isStopped) return;
    this.#problem = problem;
    this.#options.events.onProblem(problem);
  }
}
