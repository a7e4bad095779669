/**
 * The supervisor's side of the thread that serves clients of Hubble. Whatever they ask for costs that thread alone: it
 * decodes, filters and sends. What it does not take in time is left out and counted; when it dies, another one begins,
 * without the flows of before.
 *
 *     FlowHub ──batch──► thread (hubble/serve)
 */
import { Worker } from 'node:worker_threads';
import type { ExportCounts } from '../hubble/export/exporters.ts';
import type { Limits } from '../model/limits.ts';
import { flowCountOf } from '../observe/flow/wire/decode_batch.ts';
import type { Logger } from '../observe/log/logger.ts';
import type { Timers } from '../platform/platform.ts';
import type { FromHubbleThread, HubbleThreadData, ToHubbleThread } from './hubble_messages.ts';

export interface HubbleThreadOptions {
  readonly data: HubbleThreadData;
  readonly limits: Pick<Limits, 'hubbleQueueBytesMax' | 'hubbleMemoryBytesMax'>;
  readonly log: Logger;
  readonly timers: Timers;
}

const MIB = 1024 * 1024;
const RESTART_MS = 1000;
/** For sinks to write what waits. */
const STOP_WAIT_MS = 2000;

export class HubbleThread {
  readonly #options: HubbleThreadOptions;
  #worker: Worker | null = null;
  #waitingBytes = 0;
  #lostCount = 0;
  #untoldCount = 0;
  #isStopped = false;
  #exported: ExportCounts | null = null;

  constructor(options: HubbleThreadOptions) {
    this.#options = options;
  }

  /** What its files have of flows, since it began; null: none are written. */
  get exported(): ExportCounts | null {
    return this.#exported;
  }

  /** Flows that the thread did not take in time. */
  get lostCount(): number {
    return this.#lostCount;
  }

  start(): void {
    const { data, limits, log, timers } = this.#options;
    const worker = new Worker(new URL('./hubble_thread_main.ts', import.meta.url), {
      workerData: data,
      name: 'hubble',
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(limits.hubbleMemoryBytesMax / MIB) },
    });
    this.#worker = worker;
    this.#waitingBytes = 0;
    worker.on('message', (message: FromHubbleThread) => this.#handle(message));
    worker.on('error', (err) => log.error({ err }, 'hubble: the thread failed'));
    worker.on('exit', () => {
      this.#worker = null;
      if (this.#isStopped) return;
      log.error({ retry_in_ms: RESTART_MS }, 'hubble: the thread ended; it starts again');
      timers.after(RESTART_MS, () => {
        if (!this.#isStopped) this.start();
      });
    });
  }

  push(bytes: Uint8Array): void {
    const isFull = this.#waitingBytes + bytes.length > this.#options.limits.hubbleQueueBytesMax;
    if (this.#worker === null || isFull) {
      const count = flowCountOf(bytes);
      this.#lostCount += count;
      this.#untoldCount += count;
      return;
    }
    if (this.#untoldCount > 0) {
      this.#send({ kind: 'lost', count: this.#untoldCount });
      this.#untoldCount = 0;
    }
    this.#waitingBytes += bytes.length;
    // From a worker's process it is a view of all that was read with it, which would go along, and be kept.
    const own = new Uint8Array(bytes);
    this.#worker.postMessage({ kind: 'flows', bytes: own } satisfies ToHubbleThread, [own.buffer]);
  }

  async stop(): Promise<void> {
    const worker = this.#worker;
    this.#isStopped = true;
    if (worker === null) return;
    const ended = new Promise<void>((resolve) => {
      worker.once('exit', () => resolve());
    });
    this.#send({ kind: 'stop' });
    const cancel = this.#options.timers.after(STOP_WAIT_MS, () => void worker.terminate());
    await ended;
    cancel();
  }

  #send(message: ToHubbleThread): void {
    this.#worker?.postMessage(message);
  }

  #handle(message: FromHubbleThread): void {
    const { log } = this.#options;
    switch (message.kind) {
      case 'taken':
        this.#waitingBytes -= message.byteLength;
        break;
      case 'listening':
        log.info({ hubble: message.addresses }, 'hubble: serving flows');
        break;
      case 'exported':
        this.#exported = message.counts;
        break;
      case 'problem':
        log.error({ problem: message.problem }, 'hubble');
        break;
      case 'error':
        log.error({ where: 'hubble', err: message.message }, 'internal error');
        break;
    }
  }
}
