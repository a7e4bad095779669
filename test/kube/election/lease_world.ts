/** One Lease, and processes that want it: each with clocks of its own, and a way to the Lease that can fail. */
import type { KubeReply, KubeRequest } from '../../../src/kube/client.ts';
import { Election } from '../../../src/kube/election/election.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';
import { settled } from '../../support/settled.ts';

const STEP_MS = 250;

/** How requests of one process fare. `late`: they arrive, and nobody hears the answer. */
export type Way = 'open' | 'cut' | 'late';

interface Stored {
  version: number;
  spec: Record<string, unknown>;
}

export class LeaseWorld {
  readonly processes: LeaseProcess[] = [];
  stored: Stored | null = null;
  /** Of all requests that were answered, by method. */
  readonly asked = { GET: 0, POST: 0, PATCH: 0 };
  /** What the API server answers instead, if it is not null. */
  refusal: { readonly status: number; readonly message: string } | null = null;

  add(name: string, wallSkewMs = 0): LeaseProcess {
    const process = new LeaseProcess(this, name, wallSkewMs);
    this.processes.push(process);
    return process;
  }

  get elected(): readonly string[] {
    return this.processes.filter(({ isActing }) => isActing).map(({ name }) => name);
  }

  /** Time passes for all; `each` is called after each step of it. */
  async pass(byMs: number, each: () => void = () => {}): Promise<void> {
    for (let passedMs = 0; passedMs < byMs; passedMs += STEP_MS) {
      for (const process of this.processes) process.pass(STEP_MS);
      await settled();
      each();
    }
  }

  answer({ method, body }: KubeRequest): KubeReply {
    if (method in this.asked) this.asked[method as 'GET'] += 1;
    if (this.refusal !== null) return { ...REFUSED, ...this.refusal };
    if (method === 'POST') return this.#created(body as { readonly spec: Stored['spec'] });
    if (this.stored === null) return { ...REFUSED, status: 404, message: 'not found' };
    if (method === 'GET') return ok(this.stored);
    const { metadata, spec } = body as {
      readonly metadata: { readonly resourceVersion: string };
      readonly spec: Stored['spec'];
    };
    if (metadata.resourceVersion !== `${this.stored.version}`) {
      return { ...REFUSED, status: 409, message: 'conflict' };
    }
    this.stored = { version: this.stored.version + 1, spec: { ...this.stored.spec, ...spec } };
    return ok(this.stored);
  }

  #created({ spec }: { readonly spec: Stored['spec'] }): KubeReply {
    if (this.stored !== null) return { ...REFUSED, status: 409, message: 'exists' };
    this.stored = { version: 1, spec };
    return ok(this.stored);
  }
}

const REFUSED = { kind: 'refused', reason: '', retryAfterMs: null } as const;

function ok({ version, spec }: Stored): KubeReply {
  return { kind: 'ok', status: 200, object: { metadata: { resourceVersion: `${version}` }, spec } };
}

export class LeaseProcess {
  readonly name: string;
  readonly election: Election;
  /** Each term that it had: over or not. */
  readonly terms: AbortSignal[] = [];
  readonly problems: (string | null)[] = [];
  way: Way = 'open';
  /** Its timers do not run: stopped by a signal, or starved. Its clocks go on. */
  isPaused = false;
  isDead = false;
  readonly #platform = new ManualPlatform();
  #lagMs = 0;

  constructor(world: LeaseWorld, name: string, wallSkewMs: number) {
    this.name = name;
    const { clock, timers } = this.#platform;
    this.election = new Election({
      client: { request: (request) => this.#request(world, request) },
      namespace: 'sallyport',
      name: 'report',
      holder: name,
      clock: {
        nowMs: () => clock.nowMs() + this.#lagMs,
        wallMs: () => clock.wallMs() + this.#lagMs + wallSkewMs,
      },
      timers,
      random: () => 0.5,
      lookMs: 20_000,
      events: {
        onElected: (signal) => this.terms.push(signal),
        onProblem: (problem) => this.problems.push(problem),
      },
    });
    this.election.start();
  }

  get isActing(): boolean {
    return !this.isDead && this.election.isElected;
  }

  pass(byMs: number): void {
    if (this.isDead) return;
    if (this.isPaused) {
      this.#lagMs += byMs;
      return;
    }
    const dueMs = this.#lagMs + byMs;
    this.#lagMs = 0;
    this.#platform.advance(dueMs);
  }

  async #request(world: LeaseWorld, request: KubeRequest): Promise<KubeReply> {
    if (this.isDead) return await new Promise(() => {});
    const gone: KubeReply = { kind: 'unreachable', message: 'cut' };
    if (this.way === 'cut') return gone;
    const reply = world.answer(request);
    if (this.way === 'open') return reply;
    return await new Promise((resolve) => {
      request.signal?.addEventListener('abort', () => resolve(gone));
    });
  }
}
