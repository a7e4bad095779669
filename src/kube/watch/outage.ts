/**
 * Whether an API server is gone for those who follow its kinds, and that it is back: told to all of them at once.
 *
 * Each follower backs off alone, up to a minute, as each reflector of client-go does. A set of policy is whole only once
 * the last of a dozen kinds is, so it would wait for the longest of a dozen back-offs. Instead one small request of each
 * process asks whether the server is back, less often than kubelet renews its Lease or about as often (10 s, and 7 s
 * after a failure), and ends the back-offs of all.
 *
 *     a follower fails ─► /readyz fails, or nobody follows any more ─► /readyz answers, or a follower works ─► back
 *
 * What is one kind's own never leads there: the server has to have been gone for the request, or for all.
 */
import type { Platform } from '../../platform/platform.ts';
import type { KubeClient, KubeReply } from '../client.ts';
import { cryptoRandom } from './backoff.ts';

/** Up to twice as long, each process by its own chance; the first one soon, so that a short outage is one too. */
const FIRST_LOOK_MS = 1_000;
const LOOK_MS = 4_000;
const LOOK_TIMEOUT_MS = 5_000;
/** A server that comes and goes, as one with too much to do, must not undo the back-offs each time. */
const CALM_MS = 20_000;

export class Outage {
  /** How often it was back. */
  count = 0;
  readonly #client: Pick<KubeClient, 'request'>;
  readonly #platform: Pick<Platform, 'clock' | 'timers'>;
  readonly #working = new Set<object>();
  /** For a reason of the server, not of their kind. */
  readonly #failing = new Set<object>();
  readonly #waiting = new Set<() => void>();
  /** It did not answer when it was asked. */
  #isSilent = false;
  #cancelLook: (() => void) | null = null;
  #lastBackMs: number | null = null;

  constructor(client: Pick<KubeClient, 'request'>, platform: Pick<Platform, 'clock' | 'timers'>) {
    this.#client = client;
    this.#platform = platform;
  }

  failed(follower: object): void {
    this.#working.delete(follower);
    this.#failing.add(follower);
    if (this.#cancelLook === null) this.#lookIn(FIRST_LOOK_MS);
  }

  works(follower: object): void {
    const isFirst = this.#working.size === 0;
    this.#working.add(follower);
    this.#failing.delete(follower);
    if (this.#failing.size === 0) this.#over();
    else if (this.#isSilent || isFirst) this.#back();
  }

  /** It follows no more. */
  left(follower: object): void {
    this.#working.delete(follower);
    this.#failing.delete(follower);
    if (this.#failing.size === 0) this.#over();
  }

  /** `task` is called once, unless the returned function is called before. */
  onBack(task: () => void): () => void {
    this.#waiting.add(task);
    return () => void this.#waiting.delete(task);
  }

  #lookIn(delayMs: number): void {
    const jitteredMs = delayMs * (1 + cryptoRandom());
    this.#cancelLook = this.#platform.timers.after(jitteredMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const abort = new AbortController();
    const { signal } = abort;
    const give = (): void => abort.abort();
    this.#cancelLook = give;
    const stopTimer = this.#platform.timers.after(LOOK_TIMEOUT_MS, give);
    const reply = await this.#client.request({ method: 'GET', path: '/readyz', signal });
    stopTimer();
    // It was over in the meantime.
    if (this.#cancelLook !== give) return;
    this.#cancelLook = null;
    if (!isAnswer(reply)) this.#isSilent = true;
    else if (this.#isSilent) this.#back();
    if (this.#isSilent) this.#lookIn(LOOK_MS);
  }

  #back(): void {
    const nowMs = this.#platform.clock.nowMs();
    if (this.#lastBackMs !== null && nowMs - this.#lastBackMs < CALM_MS) return;
    this.#lastBackMs = nowMs;
    this.#over();
    this.count += 1;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const task of waiting) task();
  }

  #over(): void {
    this.#isSilent = false;
    this.#cancelLook?.();
    this.#cancelLook = null;
  }
}

/** Who may not ask so has heard from it, too. */
function isAnswer(reply: KubeReply): boolean {
  if (reply.kind === 'refused') return reply.status < 500 && reply.status !== 429;
  return reply.kind === 'ok';
}
