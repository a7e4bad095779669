/**
 * Threads that judge reviews. One policy may take long to look at, and whoever may create policies may write it so:
 * the thread that has it for too long is ended, and the server goes on to answer.
 */
import { Worker } from 'node:worker_threads';
import type { Limits } from '../../model/limits.ts';
import type { Timers } from '../../platform/platform.ts';
import { failure, type ReviewReply } from './reply.ts';

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
  /** Reviews that wait for a thread. */
  readonly waitingCountMax: number;
  readonly timers: Timers;
}

interface Waiting {
  readonly body: string;
  readonly resolve: (reply: ReviewReply) => void;
  /** Nobody waits for it any more. */
  isOver: boolean;
}

interface Thread {
  readonly worker: Worker;
  /** It has begun; until then it gets nothing, as it would be ended for the time that its own start takes. */
  isReady: boolean;
  current: Waiting | null;
}

const MIB = 1024 * 1024;
const OVERLOADED = failure(503, 'overloaded', 'too many reviews wait to be judged');
const TOO_SLOW = failure(504, 'too-slow', 'the review took too long');
const FAILED = failure(500, 'failed', 'the review could not be judged');

export class ReviewThreads {
  readonly #options: ReviewThreadsOptions;
  readonly #threads: Thread[] = [];
  readonly #waiting: Waiting[] = [];
  #isEnded = false;

  constructor(options: ReviewThreadsOptions) {
    this.#options = options;
    for (let n = 0; n < options.threadCount; n++) this.#threads.push(this.#launch());
  }

  /** Never rejects. Within `timeoutMs`, whatever the body says. */
  judge(body: string, timeoutMs: number): Promise<ReviewReply> {
    const { waitingCountMax, timers } = this.#options;
    if (this.#isEnded || this.#waiting.length >= waitingCountMax) {
      return Promise.resolve(OVERLOADED);
    }
    return new Promise((resolve) => {
      const cancel = timers.after(timeoutMs, () => this.#expire(waiting));
      const waiting: Waiting = {
        body,
        isOver: false,
        resolve: (reply) => {
          cancel();
          if (!waiting.isOver) resolve(reply);
          waiting.isOver = true;
        },
      };
      this.#waiting.push(waiting);
      this.#next();
    });
  }

  async end(): Promise<void> {
    this.#isEnded = true;
    for (const waiting of this.#waiting.splice(0)) waiting.resolve(OVERLOADED);
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #next(): void {
    for (const thread of this.#threads) {
      if (!thread.isReady || thread.current !== null) continue;
      const waiting = this.#waiting.shift();
      if (waiting === undefined) return;
      thread.current = waiting;
      thread.worker.postMessage(waiting.body);
    }
  }

  #expire(waiting: Waiting): void {
    const index = this.#waiting.indexOf(waiting);
    if (index !== -1) this.#waiting.splice(index, 1);
    waiting.resolve(TOO_SLOW);
    const thread = this.#threads.find(({ current }) => current === waiting);
    // Its exit puts another one in its place.
    if (thread !== undefined) void thread.worker.terminate();
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
    const thread: Thread = { worker, isReady: false, current: null };
    worker.on('message', (message: FromReviewThread) => {
      if (message.kind === 'ready') thread.isReady = true;
      else thread.current?.resolve(message.reply);
      thread.current = null;
      this.#next();
    });
    // Out of memory, or an error of ours: told by what follows it.
    worker.on('error', () => {});
    worker.on('exit', () => this.#ended(thread));
    return thread;
  }

  #ended(thread: Thread): void {
    thread.current?.resolve(FAILED);
    const index = this.#threads.indexOf(thread);
    if (this.#isEnded || index === -1) return;
    this.#threads[index] = this.#launch();
    this.#next();
  }
}
