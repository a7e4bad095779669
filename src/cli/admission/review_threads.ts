/**
 * Threads that judge reviews. One policy may take long to look at, and whoever may create policies may write it so:
 * the thread that has it for too long is ended, and the server goes on to answer. Who comes first says `ReviewQueue`.
 */
import { Worker } from 'node:worker_threads';
import type { Limits } from '../../model/limits.ts';
import type { Clock, Timers } from '../../platform/platform.ts';
import { failure, type ReviewReply, UNJUDGED } from './reply.ts';
import { type PutResult, type Queued, ReviewQueue } from './review_queue.ts';
import type { ReviewSender } from './review_sender.ts';

/** Plain values: they go to the threads. */
export interface ReviewSettings {
  readonly limits: Limits;
  readonly hasNodeLabels: boolean;
}

export type FromReviewThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'reply'; readonly reply: ReviewReply };

export interface ReviewThreadsOptions {
  readonly settings: ReviewSettings;
  readonly threadCount: number;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** Of a review. */
export interface Asked {
  readonly sender: ReviewSender;
  readonly timeoutMs: number;
  /** Nobody waits for it any more, or there is no room for it. */
  readonly signal: AbortSignal;
}

interface Waiting extends Queued {
  readonly body: string;
  readonly resolve: (reply: ReviewReply) => void;
  /** Nobody waits for it any more. */
  isOver: boolean;
}

interface Thread {
  readonly worker: Worker;
  /** From its beginning, as nobody is to be ended for the time that its start takes, until it is told to end. */
  isReady: boolean;
  current: Waiting | null;
  /** Of what it has now. */
  sinceMs: number;
  cancelTimer: () => void;
}

const MIB = 1024 * 1024;
const OVERLOADED = failure(UNJUDGED, 'overloaded', 'too many reviews wait to be judged');
const FAILED = failure(UNJUDGED, 'failed', 'the review could not be judged');

export class ReviewThreads {
  readonly #options: ReviewThreadsOptions;
  readonly #threads: Thread[] = [];
  readonly #queue: ReviewQueue<Waiting>;
  #isEnded = false;

  constructor(options: ReviewThreadsOptions) {
    this.#options = options;
    const { limits } = options.settings;
    this.#queue = new ReviewQueue({
      countMax: limits.admissionWaitingCountMax,
      tenantCountMax: limits.admissionTenantWaitingCountMax,
      tenantBytesMax: limits.admissionTenantBytesMax,
      // One is left for others.
      tenantRunningMax: Math.max(1, options.threadCount - 1),
    });
    for (let n = 0; n < options.threadCount; n++) this.#threads.push(this.#launch());
  }

  /** Never rejects. Within `timeoutMs`, whatever the body says. */
  judge(body: string, { sender, timeoutMs, signal }: Asked): Promise<ReviewReply> {
    const { timers } = this.#options;
    return new Promise((resolve) => {
      const cancel = timers.after(timeoutMs, () => this.#expire(waiting, notInTime(timeoutMs)));
      const waiting: Waiting = {
        body,
        sender,
        bytes: body.length,
        isOver: false,
        resolve: (reply) => {
          cancel();
          if (!waiting.isOver) resolve(reply);
          waiting.isOver = true;
        },
      };
      signal.addEventListener('abort', () => this.#drop(waiting), { once: true });
      const put = this.#isEnded ? 'full' : this.#put(waiting);
      if (put === 'queued') this.#next();
      else waiting.resolve(put === 'full' ? OVERLOADED : tenantOverloaded(sender));
    });
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    for (const waiting of this.#queue.clear()) waiting.resolve(OVERLOADED);
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #put(waiting: Waiting): PutResult {
    const put = this.#queue.put(waiting);
    const other = put === 'full' ? this.#queue.crowder(waiting.sender) : null;
    if (other === null) return put;
    this.#drop(other);
    return this.#queue.put(waiting);
  }

  /** What a thread has already it goes on with: to make another thread costs more. */
  #drop(waiting: Waiting): void {
    this.#queue.remove(waiting);
    waiting.resolve(OVERLOADED);
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (!thread.isReady || thread.current !== null) continue;
      const nowMs = this.#options.clock.nowMs();
      const waiting = this.#queue.take(nowMs);
      if (waiting === null) return;
      this.#give(thread, waiting, nowMs);
    }
  }

  #give(thread: Thread, waiting: Waiting, nowMs: number): void {
    const { settings, timers } = this.#options;
    const { admissionJudgeTimeoutMs: boundMs } = settings.limits;
    thread.current = waiting;
    thread.sinceMs = nowMs;
    thread.cancelTimer = timers.after(boundMs, () => this.#expire(waiting, tooSlow(boundMs)));
    thread.worker.postMessage(waiting.body);
  }

  /** It has nothing any more. */
  #free(thread: Thread): void {
    const { current, sinceMs } = thread;
    if (current === null) return;
    const nowMs = this.#options.clock.nowMs();
    thread.cancelTimer();
    thread.current = null;
    this.#queue.ran(current, nowMs - sinceMs, nowMs);
  }

  #expire(waiting: Waiting, reply: ReviewReply): void {
    this.#queue.remove(waiting);
    waiting.resolve(reply);
    const thread = this.#threads.find(({ current }) => current === waiting);
    if (thread === undefined) return;
    // What it has said meanwhile still comes. Its exit puts another one in its place.
    thread.isReady = false;
    void thread.worker.terminate();
  }

  #launch(): Thread {
    const { settings } = this.#options;
    const worker = new Worker(new URL('./review_thread_main.ts', import.meta.url), {
      workerData: settings,
      name: 'review',
      execArgv: [],
      resourceLimits: {
        maxOldGenerationSizeMb: Math.ceil(settings.limits.policyMemoryBytesMax / MIB),
      },
    });
    const thread: Thread = {
      worker,
      isReady: false,
      current: null,
      sinceMs: 0,
      cancelTimer: () => {},
    };
    worker.on('message', (message: FromReviewThread) => {
      if (message.kind === 'ready') thread.isReady = true;
      else thread.current?.resolve(message.reply);
      this.#free(thread);
      this.#next();
    });
    // Out of memory, or an error of ours: told by what follows it.
    worker.on('error', () => {});
    worker.on('exit', () => this.#ended(thread));
    return thread;
  }

  #ended(thread: Thread): void {
    thread.current?.resolve(FAILED);
    this.#free(thread);
    const index = this.#threads.indexOf(thread);
    if (this.#isEnded || index === -1) return;
    this.#threads[index] = this.#launch();
    this.#next();
  }
}

function tenantOverloaded({ tenant }: ReviewSender): ReviewReply {
  const whose = tenant === null ? 'of nobody that it names' : `of the ${tenant}`;
  return failure(UNJUDGED, 'overloaded', `too many reviews ${whose} wait to be judged`);
}

function notInTime(timeoutMs: number): ReviewReply {
  return failure(UNJUDGED, 'too-slow', `the review was not judged within ${timeoutMs} ms`);
}

function tooSlow(boundMs: number): ReviewReply {
  const bound = `${boundMs} ms (limits.admissionJudgeTimeoutMs)`;
  return failure(UNJUDGED, 'too-slow', `the policy takes longer than ${bound} to judge`);
}
