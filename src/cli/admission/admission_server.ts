/** The parts of the webhook and their order: certificates first, then the server, and its end. */
import type { KubeClient } from '../../kube/client.ts';
import { formatSocketAddress } from '../../model/address.ts';
import type { Logger } from '../../observe/log/logger.ts';
import type { Clock, Timers } from '../../platform/platform.ts';
import type { KeyPair } from './certificate.ts';
import { CertificateKeeper } from './certificate_keeper.ts';
import type { CertificateTimes } from './certificate_state.ts';
import type { ReviewOutcome } from './reply.ts';
import { ReviewServer } from './review_server.ts';
import { type ReviewSettings, ReviewThreads } from './review_threads.ts';

export interface ListenAddress {
  /** Null: every address of the machine. */
  readonly host: string | null;
  readonly port: number;
}

export interface AdmissionServerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly settings: ReviewSettings;
  readonly threadCount: number;
  readonly listen: ListenAddress;
  /** See `CertificateKeeperOptions`. */
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly secretName: string;
  readonly webhookName: string;
  readonly times: CertificateTimes;
  readonly intervalMs: number;
}

export class AdmissionServer {
  readonly #options: AdmissionServerOptions;
  readonly #keeper: CertificateKeeper;
  readonly #threads: ReviewThreads;
  readonly #ended: Promise<void>;
  readonly #counts = new Map<ReviewOutcome, number>();
  /** Null until it listens. */
  port: number | null = null;
  #server: ReviewServer | null = null;
  #listening: Promise<void> = Promise.resolve();
  #end: (error?: Error) => void = () => {};
  #isEnding = false;

  constructor(options: AdmissionServerOptions) {
    this.#options = options;
    const { settings, threadCount, clock, timers } = options;
    this.#ended = new Promise((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.#threads = new ReviewThreads({
      settings,
      threadCount,
      clock,
      timers,
    });
    this.#keeper = new CertificateKeeper({
      ...options,
      onServer: (pair) => this.#serve(pair),
    });
  }

  /** See `CertificateKeeper`. */
  get problem(): string | null {
    return this.#keeper.problem;
  }

  /** Resolves when it has ended; rejects when it cannot listen. */
  async run(): Promise<void> {
    const { log } = this.#options;
    // Keeps the process alive until there is a socket, too.
    const counts = setInterval(() => this.#tellCounts(), COUNTS_MS);
    log.info({ server: this.#options.client.server }, 'admission webhook starts');
    try {
      await this.#keeper.start();
      await this.#ended;
    } finally {
      clearInterval(counts);
      this.#keeper.end();
      await this.#listening.catch(() => {});
      await this.#threads.end();
      this.#tellCounts();
      log.info({}, 'ended');
    }
  }

  /** Goes on to answer for a while, as API servers learn late that a pod has gone; then ends. */
  async drain(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    const { log, settings, timers } = this.#options;
    const server = this.#server;
    if (server !== null) {
      log.info({}, 'drains');
      server.drain();
      await new Promise<void>((resolve) => {
        timers.after(settings.limits.admissionDrainMs, resolve);
      });
      await server.close();
    }
    this.#end();
  }

  /** At once. */
  stop(): void {
    this.#isEnding = true;
    this.#server?.closeAll();
    void this.#server?.close();
    this.#end();
  }

  #serve(pair: KeyPair): void {
    if (this.#server !== null) {
      this.#server.renew(pair);
      return;
    }
    const { listen, log, settings } = this.#options;
    const server = new ReviewServer(
      {
        limits: settings.limits,
        threads: this.#threads,
        notReady: () => (this.#keeper.isTrusted ? null : this.#keeper.problem),
        onReview: (outcome) => this.#counts.set(outcome, (this.#counts.get(outcome) ?? 0) + 1),
      },
      pair,
    );
    this.#server = server;
    this.#listening = server.listen(listen).then(
      (port) => {
        this.port = port;
        log.info({ address: formatSocketAddress(listen.host ?? '::', port) }, 'listening');
      },
      (error: Error) => this.#end(error),
    );
  }

  #tellCounts(): void {
    if (this.#counts.size === 0) return;
    this.#options.log.info(Object.fromEntries(this.#counts), 'reviews since the last line');
    this.#counts.clear();
  }
}

const COUNTS_MS = 3_600_000;
