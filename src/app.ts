/**
 * The composition root: configuration → a running proxy. Every long-lived part is made here: the
 * sources, the store that checks policy sets, the workers, the admin server, the log.
 *
 *     sources ──texts──► store (checks the set whole) ──rules, revision──► workers (compile, swap)
 *
 * A set that is rejected never reaches a worker: the last good one stays in force everywhere.
 */
import { isDeepStrictEqual } from 'node:util';
import { AdminServer, type AdminStart } from './admin/admin_server.ts';
import { judgeOptions } from './cli/judge_options.ts';
import type { Config, LogLevel } from './config/config.ts';
import type { ConfigResult } from './config/load.ts';
import { formatProblem } from './control/decode/problem.ts';
import { FileSource, RESTLESS } from './control/file_source.ts';
import { LastGoodSet } from './control/last_good_set.ts';
import {
  emptySetText,
  type FeedStart,
  type NewSet,
  PolicyFeed,
  type RejectedSet,
} from './control/policy_feed.ts';
import type { SourceBundle } from './control/policy_set.ts';
import { PolicyStore } from './control/policy_store.ts';
import { encodeResolved } from './control/resolved_wire.ts';
import type { NumberedSet } from './control/snapshot_store.ts';
import { formatSocketAddress } from './model/address.ts';
import { descriptorsFor, limitsWithin } from './model/descriptors.ts';
import type { Limits } from './model/limits.ts';
import { createLogger, type Logger } from './observe/logger.ts';
import { MetricsHub } from './observe/metrics_hub.ts';
import { toldProblems } from './observe/told_problems.ts';
import { nodePlatform } from './platform/node_platform.ts';
import { openFileCountMax } from './platform/open_files.ts';
import { createRe2Engine } from './regex/re2_engine.ts';
import { type AcceptedBundle, SupervisorBackend } from './workers/admin_backend.ts';
import { inProcessLauncher } from './workers/in_process_worker.ts';
import type { BoundListener } from './workers/messages.ts';
import { processLauncher } from './workers/process_worker.ts';
import { Supervisor } from './workers/supervisor.ts';

export interface AppOptions {
  /** Reads the configuration again, for SIGHUP. */
  readonly load: () => ConfigResult;
  readonly version: string;
  /** Workers in this process instead of forks of it: for tests. */
  readonly isInProcess: boolean;
  /** Where log lines go. */
  readonly writeLines: (lines: Buffer | string) => void;
  /** Lines that did not get there. */
  readonly droppedLineCount: () => number;
}

export type AppStart =
  | {
      readonly kind: 'started';
      readonly listeners: readonly BoundListener[];
      /** "127.0.0.1:9901", "unix:/path", or null without one. */
      readonly admin: string | null;
    }
  /** It was told to end before it was ready, and has. */
  | { readonly kind: 'ended' }
  /** Nothing is left running. Each problem is one line. */
  | { readonly kind: 'failed'; readonly problems: readonly string[] };

export interface App {
  start(): Promise<AppStart>;
  /**
   * Reads the configuration again, as on SIGHUP, and the sources once they are settled; resolves then.
   * One that is asked for while another waits is answered by the same reading.
   */
  reload(): Promise<void>;
  reopenAccessLog(): void;
  /** Resolves when everything has ended; what is open at the deadline is cut. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  stop(): Promise<void>;
  /** Resolves after a drain or a stop. */
  readonly ended: Promise<void>;
}

/** Between two tries to take over the admin address of the proxy before. */
const ADMIN_RETRY_MS = 250;
const EMPTY_BUNDLE: SourceBundle = { policies: [], endpoints: null, secrets: null };

export function createApp(config: Config, options: AppOptions): App {
  return new SallyportApp(config, options);
}

class SallyportApp implements App {
  readonly ended: Promise<void>;
  readonly #config: Config;
  readonly #options: AppOptions;
  readonly #log: Logger;
  readonly #source: FileSource;
  readonly #store: PolicyStore;
  readonly #feed: PolicyFeed;
  readonly #metrics: MetricsHub;
  readonly #supervisor: Supervisor;
  readonly #admin: AdminServer | null;
  #boundListeners: readonly BoundListener[] = [];
  #accepted: AcceptedBundle = { revision: 0, bundle: EMPTY_BUNDLE };
  /** How long the last set took to be checked, and when the workers were told of it. */
  #checkMs = 0;
  #sentMs = 0;
  #logLevel: LogLevel;
  #ending: Promise<void> | null = null;
  #resolveEnded: () => void = () => {};
  #reloading: Promise<void> | null = null;
  #endReload: () => void = () => {};

  constructor(config: Config, options: AppOptions) {
    this.#config = config;
    this.#options = options;
    this.#logLevel = config.logLevel;
    this.#log = createLogger({ level: config.logLevel, write: options.writeLines });
    this.#source = new FileSource({
      policies: config.policyPaths,
      endpoints: config.endpointsPath,
      secrets: config.secretsPath,
      hasNodeLabels: config.hasNodeLabels,
      limits: config.limits,
      timers: nodePlatform().timers,
    });
    this.#store = new PolicyStore({
      regexEngine: createRe2Engine(config.limits),
      limits: config.limits,
      isEmptySetOpen: config.isEmptySetOpen,
      isHostJudged: config.redirect.isHostJudged,
    });
    this.#feed = this.#makeFeed();
    this.#metrics = new MetricsHub({
      version: options.version,
      clock: nodePlatform().clock,
      isPolicyCurrent: () => this.#feed.staleness === null,
    });
    this.#supervisor = this.#makeSupervisor();
    this.#admin = this.#makeAdmin();
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  async start(): Promise<AppStart> {
    const first = this.#feed.start();
    if (first.kind === 'rejected') return failed(first.problems);
    this.#tellFirst(first);
    const admin = await this.#startAdmin();
    if (admin?.kind === 'failed') return failed([admin.message]);
    const started = await this.#supervisor.start(this.#accept(first));
    if (this.#ending !== null) {
      await this.#ending;
      return { kind: 'ended' };
    }
    if (started.kind === 'failed') {
      await this.#admin?.stop();
      return failed([started.message]);
    }
    this.#boundListeners = started.listeners;
    // Files may have changed since they were read.
    this.#readSources();
    this.#source.watch(
      () => this.#readSources(),
      () => this.#log.warn({}, RESTLESS),
    );
    const adminAddress = admin?.address ?? null;
    this.#tellReady(adminAddress);
    return { kind: 'started', listeners: started.listeners, admin: adminAddress };
  }

  /**
   * A proxy that starts beside the one before it (`reusePort`) finds that one's admin server on the address. It
   * listens without one until the other has ended.
   */
  async #startAdmin(): Promise<AdminStart | null> {
    const started = (await this.#admin?.start()) ?? null;
    const isBesideAnother = this.#config.listeners.some(({ isPortShared }) => isPortShared);
    if (started?.kind !== 'failed' || !started.isInUse || !isBesideAnother) return started;
    this.#log.warn({ problem: started.message }, 'admin: waiting for the proxy before to end');
    this.#startAdminLater();
    return null;
  }

  #startAdminLater(): void {
    nodePlatform().timers.after(ADMIN_RETRY_MS, async () => {
      if (this.#ending !== null) return;
      const started = (await this.#admin?.start()) ?? null;
      if (started?.kind === 'failed' && started.isInUse) this.#startAdminLater();
      else if (started?.kind === 'failed') this.#log.error({ problem: started.message }, 'admin');
      else this.#log.info({ admin: started?.address }, 'admin: listening');
    });
  }

  reload(): Promise<void> {
    if (this.#ending !== null) return Promise.resolve();
    this.#reloadConfig();
    this.#reloading ??= new Promise((resolve) => {
      this.#endReload = resolve;
      this.#source.whenSettled(() => {
        this.#finishReload();
        if (!this.#readSources()) this.#log.info({}, 'sources read; nothing changed');
      });
    });
    return this.#reloading;
  }

  #finishReload(): void {
    this.#reloading = null;
    this.#endReload();
  }

  reopenAccessLog(): void {
    this.#supervisor.reopenAccessLog();
  }

  drain(): Promise<void> {
    this.#ending ??= this.#end(() => {
      const { drainTimeoutMs } = this.#config.limits;
      this.#log.info({ timeout_ms: drainTimeoutMs }, 'draining');
      return this.#supervisor.drain();
    });
    return this.#ending;
  }

  async stop(): Promise<void> {
    // Ends a drain that is under way too: it waits for workers that this kills.
    const stopped = this.#supervisor.stop();
    this.#ending ??= this.#end(() => stopped);
    await this.#ending;
  }

  async #end(endWorkers: () => Promise<void>): Promise<void> {
    const stopped = this.#feed.stop();
    this.#finishReload();
    await endWorkers();
    await stopped;
    await this.#admin?.stop();
    this.#log.info({}, 'ended');
    this.#resolveEnded();
  }

  /** True when a set was accepted or rejected; false when nothing changed. */
  #readSources(): boolean {
    const startedMs = performance.now();
    const read = this.#feed.read();
    if (read.kind === 'same') return false;
    if (read.kind === 'rejected') {
      this.#tellRejected(read);
      return true;
    }
    this.#tellAccepted(read);
    const policy = this.#accept(read);
    this.#checkMs = performance.now() - startedMs;
    this.#sentMs = performance.now();
    this.#supervisor.update(policy);
    return true;
  }

  #accept({ accepted, bundle }: Pick<NewSet, 'accepted' | 'bundle'>): NumberedSet {
    const { revision, set } = accepted;
    this.#accepted = { revision, bundle };
    return { revision, parts: encodeResolved(set) };
  }

  #reloadConfig(): void {
    const loaded = this.#options.load();
    if (loaded.kind === 'rejected') {
      this.#log.error({ problems: loaded.problems }, 'configuration rejected; it stays as it was');
      return;
    }
    const { logLevel } = loaded.config;
    if (logLevel !== this.#logLevel) this.#setLogLevel(logLevel);
    const fields = changedFields(this.#config, loaded.config);
    if (fields.length > 0) this.#log.warn({ fields }, 'configuration changed; restart to apply');
  }

  #setLogLevel(level: LogLevel): void {
    this.#logLevel = level;
    this.#log.level = level;
    this.#supervisor.setLogLevel(level);
    this.#log.info({ level }, 'log level changed');
  }

  #makeFeed(): PolicyFeed {
    const { stateDir: folder } = this.#config;
    const wallMs = (): number => nodePlatform().clock.wallMs();
    const onError = (problem: string): void =>
      this.#log.error({ problem }, 'the last good policy set could not be kept');
    return new PolicyFeed({
      source: this.#source,
      store: this.#store,
      lastGood:
        folder === null ? null : new LastGoodSet({ folder, name: 'proxy', wallMs, onError }),
      wallMs,
    });
  }

  #makeSupervisor(): Supervisor {
    const config = this.#config;
    const { writeLines } = this.#options;
    return new Supervisor({
      workerCount: config.workerCount,
      settings: {
        listeners: config.listeners,
        redirectRoot: config.redirect.root,
        cilium: config.cilium,
        behaviour: config.behaviour,
        limits: this.#workerLimits(),
        accessLog: config.accessLog,
        logLevel: config.logLevel,
      },
      launch: this.#options.isInProcess
        ? inProcessLauncher()
        : processLauncher({ lineBytesMax: config.limits.workerOutputLineBytesMax, writeLines }),
      events: {
        onWorkerDied: ({ index }, { how, retryInMs }) =>
          this.#log.error({ worker: index, how, retry_in_ms: retryInMs }, 'worker died'),
        onWorkerHung: ({ index, pid }) => {
          this.#metrics.workerHung();
          this.#log.error({ worker: index, pid }, 'worker hangs; it is killed');
        },
        onWorkerRestarted: ({ index, pid }) => {
          this.#metrics.workerRestarted();
          this.#log.warn({ worker: index, pid }, 'worker restarted');
        },
        onPolicyInForce: (revision) => this.#tellInForce(revision),
        onWorkerUpdateFailed: ({ index }, revision, problems) =>
          this.#log.error({ worker: index, revision, problems }, 'worker refused a policy set'),
      },
    });
  }

  /** With no more connections than there are file descriptors for, so that a bound of ours is met before the system's. */
  #workerLimits(): Limits {
    const { limits } = this.#config;
    const countMax = openFileCountMax();
    const within = limitsWithin(limits, countMax);
    if (within !== limits) {
      const { connectionCountMax: allowed } = within;
      this.#log.warn(
        { open_files_max: countMax, connection_count_max: limits.connectionCountMax, allowed },
        `a worker may have ${countMax} open files, which is enough for ${allowed} connections in place of the ` +
          `${limits.connectionCountMax} of limits.connectionCountMax: raise it to ${descriptorsFor(limits)} ` +
          '(ulimit -n, LimitNOFILE= of systemd), or lower connectionCountMax',
      );
    }
    return within;
  }

  #makeAdmin(): AdminServer | null {
    const config = this.#config;
    if (config.admin.kind === 'none') return null;
    const backend = new SupervisorBackend({
      config,
      store: this.#store,
      supervisor: this.#supervisor,
      metrics: this.#metrics,
      accepted: () => this.#accepted,
      staleness: () => this.#feed.staleness,
      judgeOptions: {
        ...judgeOptions(),
        limits: config.limits,
        isEmptySetOpen: config.isEmptySetOpen,
        isHostJudged: config.redirect.isHostJudged,
      },
      log: this.#log,
      version: this.#options.version,
      droppedLineCount: this.#options.droppedLineCount,
      boundListeners: () => this.#boundListeners,
      isDraining: () => this.#ending !== null,
      drain: () => void this.drain(),
      logLevel: () => this.#logLevel,
      setLogLevel: (level) => this.#setLogLevel(level),
    });
    return new AdminServer({
      address: config.admin,
      allowRemote: config.isAdminRemoteAllowed,
      limits: config.limits,
      backend,
    });
  }

  /** Whoever started us waits for this line, and learns the bound ports from it: at every level. */
  #tellReady(admin: string | null): void {
    if (this.#logLevel === 'silent') return;
    const pids = this.#supervisor.workers().map(({ pid }) => pid);
    createLogger({ level: 'info', write: this.#options.writeLines }).info(
      {
        listeners: this.#boundListeners.map(({ name, address }) => ({
          name,
          address: formatSocketAddress(address.ip, address.port),
        })),
        admin,
        workers: this.#config.workerCount,
        worker_pids: pids,
        // The name before; it goes with the next release.
        workerPids: pids,
        revision: this.#store.current().revision,
        version: this.#options.version,
      },
      'ready',
    );
  }

  #tellInForce(revision: number): void {
    const { policyNames } = this.#store.current();
    const fields = { revision, policies: policyNames.length };
    if (this.#sentMs === 0) {
      this.#log.info(fields, 'policy in force');
      return;
    }
    const times = {
      check_ms: rounded(this.#checkMs),
      swap_ms: rounded(performance.now() - this.#sentMs),
    };
    this.#log.info({ ...fields, ...times }, 'policy in force');
  }

  #tellFirst(first: Exclude<FeedStart, RejectedSet>): void {
    this.#tellAccepted(first);
    if (first.kind !== 'restored') return;
    const { rejected, savedAt } = first;
    this.#metrics.policyUpdated(rejected.result, first.accepted.revision);
    const problems = toldProblems(rejected.problems);
    if (savedAt === null) this.#log.error({ problems }, 'policy rejected; everything is denied');
    else
      this.#log.error(
        { problems, saved_at: savedAt },
        'policy rejected; the last good set is in force',
      );
  }

  #tellAccepted({ accepted }: Pick<NewSet, 'accepted'>): void {
    this.#metrics.policyUpdated('accepted', accepted.revision);
    for (const warning of accepted.warnings) {
      this.#log.warn({ problem: formatProblem(warning) }, 'policy');
    }
    if (accepted.isEmpty) this.#log.warn({}, emptySetText(this.#config.isEmptySetOpen));
  }

  #tellRejected({ result, problems }: RejectedSet): void {
    this.#metrics.policyUpdated(result, this.#store.current().revision);
    this.#log.error(
      { problems: toldProblems(problems) },
      'policy rejected; the last good set stays in force',
    );
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Names of the file's fields whose values differ and take a restart. */
function changedFields(before: Config, after: Config): readonly string[] {
  const names = {
    admin: 'admin',
    isAdminRemoteAllowed: 'adminAllowRemote',
    workerCount: 'workers',
    accessLog: 'accessLog',
    policyPaths: 'policies',
    endpointsPath: 'endpoints',
    secretsPath: 'secrets',
    isEmptySetOpen: 'allowEmptyPolicySet',
    stateDir: 'stateDir',
    behaviour: 'behaviour',
    redirect: 'redirect',
    cilium: 'cilium',
    limits: 'limits',
    listeners: 'listeners',
  } as const satisfies Partial<Record<keyof Config, string>>;
  const keys = Object.keys(names) as (keyof typeof names)[];
  return keys.filter((key) => !isDeepStrictEqual(before[key], after[key])).map((key) => names[key]);
}

function failed(problems: readonly string[]): AppStart {
  return { kind: 'failed', problems };
}
