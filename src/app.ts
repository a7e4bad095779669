/**
 * The composition root: configuration → a running proxy. Every long-lived part is made here: the thread that reads
 * and checks policy sets, the workers, the admin server, the log.
 *
 *     policy thread (files, texts, the set checked whole) ──rules, revision──► workers (compile, swap)
 *
 * A set that is rejected never reaches a worker: the last good one stays in force everywhere.
 */

import { AdminServer, type AdminStart } from './admin/admin_server.ts';
import type { PolicySetState } from './admin/backend.ts';
import { changedFields } from './config/changed_fields.ts';
import type { Config } from './config/config.ts';
import type { ConfigResult } from './config/load.ts';
import { StateLock } from './control/source/files/state_lock.ts';
import { emptySetText, type RejectedSet } from './control/source/policy_feed.ts';
import { formatSocketAddress } from './model/address.ts';
import type { LogLevel } from './model/log_level.ts';
import { createLogger, type Logger } from './observe/log/logger.ts';
import { MetricsHub } from './observe/metrics/hub.ts';
import { nodePlatform } from './platform/node_platform.ts';
import type { BoundListener } from './proxy/accept/listener.ts';
import { notedWaits } from './redirect/interfaces/wait_note.ts';
import { serviceCounters } from './redirect/services/inspect_services.ts';
import { SupervisorBackend } from './workers/admin_backend.ts';
import { FlowHub } from './workers/flow_hub.ts';
import { inProcessLauncher } from './workers/in_process_worker.ts';
import { NameReports } from './workers/name_reports.ts';
import {
  PROXY_STATE,
  type SentIdentities,
  type SentRead,
  type SentSet,
  type SentStart,
} from './workers/policy_messages.ts';
import { policySettingsOf } from './workers/policy_settings.ts';
import { PolicyThread } from './workers/policy_thread.ts';
import { processLauncher } from './workers/process_worker.ts';
import { logRefusals } from './workers/refusal_log.ts';
import { logHealth } from './workers/source_health_log.ts';
import { Supervisor } from './workers/supervisor.ts';
import { workerLimits } from './workers/worker_limits.ts';

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
const NO_SET: PolicySetState = {
  revision: 0,
  policyCount: 0,
  endpointCount: 0,
  dryRunPolicies: [],
};

export function createApp(config: Config, options: AppOptions): App {
  return new SallyportApp(config, options);
}

class SallyportApp implements App {
  readonly ended: Promise<void>;
  readonly #config: Config;
  readonly #options: AppOptions;
  readonly #log: Logger;
  readonly #policyThread: PolicyThread;
  /** Null: nothing is kept on disk. */
  readonly #stateLock: StateLock | null;
  readonly #metrics: MetricsHub;
  readonly #supervisor: Supervisor;
  readonly #names: NameReports;
  readonly #flows: FlowHub;
  readonly #admin: AdminServer | null;
  #toldWarnings: ReadonlySet<string> = new Set();
  #boundListeners: readonly BoundListener[] = [];
  /** That the workers were told last. */
  #policySet = NO_SET;
  /** How long the last set took to be checked, and when the workers were told of it. */
  #checkMs = 0;
  #sentMs = 0;
  #logLevel: LogLevel;
  #ending: Promise<void> | null = null;
  #resolveEnded: () => void = () => {};

  constructor(config: Config, options: AppOptions) {
    this.#config = config;
    this.#options = options;
    this.#logLevel = config.logLevel;
    this.#log = createLogger({ level: config.logLevel, write: options.writeLines });
    this.#policyThread = this.#makePolicyThread();
    const { stateDir: folder } = config;
    const { timers } = nodePlatform();
    this.#stateLock = folder === null ? null : new StateLock({ folder, name: PROXY_STATE, timers });
    this.#metrics = new MetricsHub({
      version: options.version,
      clock: nodePlatform().clock,
      isPolicyCurrent: () => this.#policyThread.staleness === null,
      refusedObjectCount: () => this.#policyThread.refused.count,
      interfaceWaits: () => notedWaits(config.redirect.root),
      serviceCounts: () => serviceCounters(config.redirect.root),
      clusterHealth: () => {
        if (config.kubernetes === null) return null;
        const { health, unwrittenCount } = this.#policyThread;
        return { ...health, unwrittenCount };
      },
    });
    this.#supervisor = this.#makeSupervisor();
    this.#names = this.#makeNames();
    this.#flows = new FlowHub({
      config,
      version: options.version,
      log: this.#log,
      nameSides: (sides) => this.#policyThread.nameSides(sides),
      onDemand: (isWanted) => this.#supervisor.setFlowsWanted(isWanted),
    });
    this.#admin = this.#makeAdmin();
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  async start(): Promise<AppStart> {
    const refusal = await this.#takeState();
    if (this.#ending !== null) return await this.#startEnded(this.#ending);
    if (refusal !== null) return await this.#startFailed([refusal]);
    const first = await this.#policyThread.start();
    if (this.#ending !== null) return await this.#startEnded(this.#ending);
    if (first.kind === 'rejected') return await this.#startFailed(first.problems);
    this.#tellFirst(first);
    const admin = await this.#startAdmin();
    if (admin?.kind === 'failed') return await this.#startFailed([admin.message]);
    this.#flows.start();
    const started = await this.#supervisor.start(first.sent.set);
    if (this.#ending !== null) return await this.#startEnded(this.#ending);
    if (started.kind === 'failed') {
      await this.#admin?.stop();
      return await this.#startFailed([started.message]);
    }
    this.#boundListeners = started.listeners;
    this.#policyThread.follow();
    const adminAddress = admin?.address ?? null;
    this.#tellReady(adminAddress);
    return { kind: 'started', listeners: started.listeners, admin: adminAddress };
  }

  async #startEnded(ending: Promise<void>): Promise<AppStart> {
    await ending;
    return { kind: 'ended' };
  }

  /** Leaves nothing running. */
  async #startFailed(problems: readonly string[]): Promise<AppStart> {
    await Promise.all([this.#policyThread.stop(), this.#flows.end()]);
    this.#stateLock?.release();
    return { kind: 'failed', problems };
  }

  /**
   * A proxy that starts beside the one before it (`reusePort`) finds that one's admin server on the address. It
   * listens without one until the other has ended.
   */
  async #startAdmin(): Promise<AdminStart | null> {
    const started = (await this.#admin?.start()) ?? null;
    if (started?.kind !== 'failed' || !started.isInUse || !this.#isBesideAnother) return started;
    this.#log.warn({ problem: started.message }, 'admin: waiting for the proxy before to end');
    this.#startAdminLater();
    return null;
  }

  /** Null: it may start. Else why not. */
  async #takeState(): Promise<string | null> {
    const lock = await this.#stateLock?.take();
    if (lock?.kind === 'taken' && !this.#isBesideAnother) {
      return `stateDir ${this.#config.stateDir}: another proxy uses it; give each a folder of its own`;
    }
    if (lock?.kind === 'taken') {
      this.#log.warn({}, 'state folder: waiting for the proxy before to end');
      this.#stateLock?.takeLater(() => this.#policyThread.ownState());
      return null;
    }
    if (lock?.kind === 'error') {
      this.#log.warn({ problem: lock.message }, 'state folder: it cannot be locked');
    }
    this.#policyThread.ownState();
    return null;
  }

  /** It may be started while the proxy that it replaces still serves. */
  get #isBesideAnother(): boolean {
    return this.#config.listeners.some((one) => one.isPortShared || one.isTransparent);
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
    return this.#policyThread.reload();
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
    const stopped = this.#policyThread.stop();
    await endWorkers();
    await stopped;
    this.#stateLock?.release();
    await this.#flows.end();
    await this.#admin?.stop();
    this.#log.info({}, 'ended');
    this.#resolveEnded();
  }

  #take(read: SentRead, isAsked: boolean): void {
    switch (read.kind) {
      case 'same':
        if (isAsked) this.#log.info({}, 'sources read; nothing changed');
        break;
      case 'rejected':
        this.#tellRejected(read);
        break;
      case 'changed':
        this.#tellAccepted(read.sent);
        this.#checkMs = read.sent.checkMs;
        this.#sentMs = performance.now();
        this.#supervisor.update(read.sent.set);
        break;
      case 'identities':
        this.#takeIdentities(read.sent);
        break;
    }
  }

  #takeIdentities({ batch, endpointCount }: SentIdentities): void {
    const { sequence } = batch;
    this.#policySet = { ...this.#policySet, endpointCount };
    this.#metrics.identitiesChanged();
    this.#supervisor.identities(batch);
    this.#log.debug({ sequence, endpoints: endpointCount }, 'who is who has changed');
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

  #makePolicyThread(): PolicyThread {
    const config = this.#config;
    const { timers, clock } = nodePlatform();
    return new PolicyThread({
      settings: policySettingsOf(config),
      timers,
      wallMs: () => clock.wallMs(),
      events: {
        onRead: (read, isAsked) => this.#take(read, isAsked),
        onRebased: (set, sequence) => this.#supervisor.rebase(set, sequence),
        onServices: (change) => this.#supervisor.services(change),
        onRefused: (refused, before) => logRefusals(this.#log, refused, before),
        onHealth: (health, before) => logHealth(this.#log, health, before),
        onNotice: (message) => this.#log.warn({}, message),
        onLearned: (ids, sequence) => void this.#names.learned(ids, sequence),
        onNamesLost: () => this.#names.again(),
        onNotKept: (problem) =>
          this.#log.error({ problem }, 'the last good policy set could not be kept'),
        onDied: (problem) => this.#log.error({ problem }, 'policy thread ended; it starts again'),
      },
    });
  }

  #makeNames(): NameReports {
    return new NameReports({
      limits: this.#config.limits,
      toThread: (message) => this.#policyThread.tellNames(message),
      inForce: (sequence, timeoutMs) => this.#supervisor.inForce(sequence, timeoutMs),
      toWorker: (index, ids) => this.#supervisor.lookupsInForce(index, ids),
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
        limits: workerLimits(config, this.#log),
        accessLog: config.accessLog,
        logLevel: config.logLevel,
      },
      platform: nodePlatform(),
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
        onFlows: (batch) => this.#flows.push(batch),
        onNames: (index, message) => this.#names.take(index, message),
        onPolicyInForce: (revision) => this.#tellInForce(revision),
        onIdentitiesBroken: ({ index }, problem) => {
          this.#metrics.identitiesBroken();
          this.#log.error({ worker: index, problem }, 'identities did not fit; all are sent anew');
        },
        onManyBatches: () => this.#policyThread.rebase(),
        onCondition: (problem) => this.#policyThread.tellCondition(problem),
        onWorkerUpdateFailed: ({ index }, revision, problems) =>
          this.#log.error({ worker: index, revision, problems }, 'worker refused a policy set'),
      },
    });
  }

  #makeAdmin(): AdminServer | null {
    const config = this.#config;
    if (config.admin.kind === 'none') return null;
    const backend = new SupervisorBackend({
      config,
      policyThread: this.#policyThread,
      supervisor: this.#supervisor,
      metrics: this.#metrics,
      flows: this.#flows,
      policySet: () => this.#policySet,
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
        revision: this.#policySet.revision,
        version: this.#options.version,
      },
      'ready',
    );
  }

  #tellInForce(revision: number): void {
    const fields = { revision, policies: this.#policySet.policyCount };
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

  #tellFirst(first: Exclude<SentStart, RejectedSet>): void {
    this.#tellAccepted(first.sent);
    if (first.kind !== 'restored') return;
    const { rejected, savedAt } = first;
    const { problems } = rejected;
    this.#metrics.policyUpdated(rejected.result, first.sent.set.revision);
    if (savedAt === null) this.#log.error({ problems }, 'policy rejected; everything is denied');
    else
      this.#log.error(
        { problems, saved_at: savedAt },
        'policy rejected; the last good set is in force',
      );
  }

  #tellAccepted({ set, summary, warnings, isEmpty }: SentSet): void {
    const { revision } = set;
    this.#policySet = { revision, ...summary };
    this.#metrics.policyUpdated('accepted', revision);
    // Sets of a cluster come one after the other: what was told of the last one is not told again.
    for (const problem of warnings) {
      if (!this.#toldWarnings.has(problem)) this.#log.warn({ problem }, 'policy');
    }
    this.#toldWarnings = new Set(warnings);
    if (isEmpty) this.#log.warn({}, emptySetText(this.#config.isEmptySetOpen));
  }

  #tellRejected({ result, problems }: RejectedSet): void {
    this.#metrics.policyUpdated(result, this.#policySet.revision);
    this.#log.error({ problems }, 'policy rejected; the last good set stays in force');
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
