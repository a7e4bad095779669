/**
 * One place for a worker: launches it, tells it the policy in force, and launches it again when it
 * dies, waiting longer each time. What the slot knows of its worker is what the worker said.
 */
import type { SentBatch } from '../control/worker/identity_wire.ts';
import type { NumberedSet, PolicyUpdate } from '../control/worker/live_snapshot.ts';
import type { SentServices } from '../control/worker/service_wire.ts';
import type { Limits } from '../model/limits.ts';
import type { BoundListener } from '../proxy/accept/listener.ts';
import { BatchQueue } from './batch_queue.ts';
import { Heartbeat } from './heartbeat.ts';
import type { WorkerLauncher, WorkerLink } from './link.ts';
import type { FromWorker, ToWorker, WorkerReport, WorkerSettings } from './messages.ts';
import { PatientTimeout } from './patient_timeout.ts';

export type SlotState = 'idle' | 'starting' | 'listening' | 'waiting' | 'draining' | 'ended';

export interface WorkerStatus {
  readonly index: number;
  readonly state: SlotState;
  readonly pid: number;
  /** Of the policy set that it enforces; 0 before the first. */
  readonly revision: number;
  readonly restartCount: number;
}

/** What the supervisor gives to its slots, and hears from them. */
export interface SlotOwner {
  readonly limits: Limits;
  readonly launch: WorkerLauncher;
  settingsOf(index: number): WorkerSettings;
  policyInForce(): NumberedSet;
  /** Whether workers are to send flows. */
  areFlowsWanted(): boolean;
  onFlows(batch: Uint8Array): void;
  /** What the worker says of names. */
  onNames(index: number, message: NamesFromWorker): void;
  /** Since that set, in order. */
  batchesSince(): readonly SentBatch[];
  /** See `ToWorker`. */
  keptServices(): readonly SentServices[];
  /** A worker that was listening, or was to listen again, has died. */
  onDeath(status: WorkerStatus, death: { readonly how: string; readonly retryInMs: number }): void;
  /** A worker without a sign of life: it is being killed. */
  onHung(status: WorkerStatus): void;
  onRestarted(status: WorkerStatus): void;
  onUpdated(status: WorkerStatus): void;
  onUpdateFailed(status: WorkerStatus, revision: number, problems: readonly string[]): void;
  /** More batches are in force in the worker. */
  onIdentities(): void;
  /** A batch, also of Services, did not fit: the worker gets everything anew. */
  onIdentitiesBroken(status: WorkerStatus, problem: string): void;
  /** The same of Services. */
  onServices(): void;
}

export type NamesFromWorker = Extract<FromWorker, { kind: 'lookups' | 'open-addresses' }>;

export type SlotStart =
  | { readonly kind: 'listening'; readonly listeners: readonly BoundListener[] }
  | { readonly kind: 'failed'; readonly message: string };

interface PendingReport {
  readonly resolve: (report: WorkerReport | null) => void;
  readonly timer: NodeJS.Timeout;
}

export class WorkerSlot {
  readonly #index: number;
  readonly #owner: SlotOwner;
  readonly #reports = new Map<number, PendingReport>();
  #state: SlotState = 'idle';
  #link: WorkerLink | null = null;
  #revision = 0;
  #restartCount = 0;
  /** Deaths since a worker last lived as long as the longest back-off. */
  #deathsInARow = 0;
  #listeningSinceMs = 0;
  /** Why we killed it; empty when it ended by itself. */
  #killedBecause = '';
  #heartbeat: Heartbeat | null = null;
  #onStart: ((start: SlotStart) => void) | null = null;
  #onEnded: (() => void)[] = [];
  readonly #startTimeout = new PatientTimeout();
  #restartTimer: NodeJS.Timeout | null = null;
  readonly #updateTimeout = new PatientTimeout();
  readonly #batches: BatchQueue;
  readonly #services: BatchQueue;
  #nextRequestId = 1;

  constructor(index: number, owner: SlotOwner) {
    this.#index = index;
    this.#owner = owner;
    const queueOf = (what: string): BatchQueue =>
      new BatchQueue({ limits: owner.limits, what, onBehind: (why) => this.#hangs(why) });
    this.#batches = queueOf('identities');
    this.#services = queueOf('Services');
  }

  get status(): WorkerStatus {
    return {
      index: this.#index,
      state: this.#state,
      pid: this.#link?.pid ?? 0,
      revision: this.#revision,
      restartCount: this.#restartCount,
    };
  }

  /** It serves, and its last sign of life is not long ago. */
  get isAnswering(): boolean {
    return this.#state === 'listening' && this.#heartbeat?.isAnswering === true;
  }

  /** The first start: a failure is told, not retried. */
  start(): Promise<SlotStart> {
    return new Promise((resolve) => {
      this.#onStart = resolve;
      this.#launch();
    });
  }

  update(policy: PolicyUpdate): void {
    if (this.#link === null || this.#state === 'draining') return;
    this.#link.send({ kind: 'update', policy });
    if (!this.#updateTimeout.isRunning) this.#awaitUpdate();
  }

  /** Up to which all batches are in force; null: it does not listen, and when it does they are. */
  get identitiesInForce(): number | null {
    return this.#state === 'listening' ? this.#batches.inForce : null;
  }

  identities(batch: SentBatch): void {
    if (this.#link === null || this.#state === 'draining') return;
    this.#link.send({ kind: 'identities', batch });
    this.#batches.sent(batch.sequence);
  }

  /** As `identitiesInForce`. */
  get servicesInForce(): number | null {
    return this.#state === 'listening' ? this.#services.inForce : null;
  }

  services(batch: SentServices): void {
    if (this.#link === null || this.#state === 'draining') return;
    this.#link.send({ kind: 'services', batch });
    this.#services.sent(batch.sequence);
  }

  send(
    message: Extract<
      ToWorker,
      {
        kind:
          | 'reopen-access-log'
          | 'set-log-level'
          | 'subscribe-flows'
          | 'unsubscribe-flows'
          | 'lookups-in-force';
      }
    >,
  ): void {
    this.#link?.send(message);
  }

  /** Null when the worker is not there or does not answer in time. */
  report(): Promise<WorkerReport | null> {
    const link = this.#link;
    if (link === null || this.#state === 'starting') return Promise.resolve(null);
    const requestId = this.#nextRequestId++;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#reports.delete(requestId);
        resolve(null);
      }, this.#owner.limits.workerReplyTimeoutMs);
      this.#reports.set(requestId, { resolve, timer });
      link.send({ kind: 'report', requestId });
    });
  }

  /** Resolves when the worker has ended; it is killed when it is not done by the deadline. */
  drain(): Promise<void> {
    if (this.#link === null || this.#state === 'starting') return this.stop();
    const { drainTimeoutMs, workerReplyTimeoutMs } = this.#owner.limits;
    this.#state = 'draining';
    this.#link.send({ kind: 'drain' });
    const timer = setTimeout(() => this.#link?.kill(), drainTimeoutMs + workerReplyTimeoutMs);
    return this.#ended().finally(() => clearTimeout(timer));
  }

  /** Ends the worker at once, without a new one. */
  stop(): Promise<void> {
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    this.#restartTimer = null;
    if (this.#link === null) {
      this.#state = 'ended';
      return Promise.resolve();
    }
    this.#state = 'draining';
    this.#link.kill();
    return this.#ended();
  }

  #ended(): Promise<void> {
    if (this.#link === null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEnded.push(resolve);
    });
  }

  #launch(): void {
    const { limits, launch } = this.#owner;
    this.#state = 'starting';
    this.#killedBecause = '';
    this.#link = launch(this.#index, {
      onMessage: (message) => this.#onMessage(message),
      onEnd: (how) => this.#onEnd(how),
    });
    this.#startTimeout.start(limits.workerStartTimeoutMs, () => {
      this.#killedBecause = `not listening within ${limits.workerStartTimeoutMs} ms`;
      this.#link?.kill();
    });
    const settings = this.#owner.settingsOf(this.#index);
    const policy = this.#owner.policyInForce();
    const batches = this.#owner.batchesSince();
    const services = this.#owner.keptServices();
    this.#link.send({ kind: 'start', settings, policy, batches, services });
    if (this.#owner.areFlowsWanted()) this.#link.send({ kind: 'subscribe-flows' });
  }

  #onMessage(message: FromWorker): void {
    this.#heartbeat?.heard();
    switch (message.kind) {
      case 'listening':
        this.#onListening(message.listeners);
        break;
      case 'start-failed':
        this.#killedBecause = message.message;
        this.#link?.kill();
        break;
      case 'updated':
        this.#onUpdated(message.revision);
        break;
      case 'update-failed':
        this.#updateTimeout.clear();
        this.#owner.onUpdateFailed(this.status, message.revision, message.problems);
        this.#link?.kill();
        break;
      case 'identities-in-force':
        this.#batches.acknowledged(message.sequence);
        this.#owner.onIdentities();
        break;
      case 'identities-broken':
        this.#owner.onIdentitiesBroken(this.status, message.problem);
        this.#sendAll();
        break;
      case 'services-in-force':
        this.#services.acknowledged(message.sequence);
        this.#owner.onServices();
        break;
      case 'services-broken':
        this.#owner.onIdentitiesBroken(this.status, message.problem);
        for (const batch of this.#owner.keptServices()) this.services(batch);
        break;
      case 'report':
        this.#settleReport(message.requestId, message.report);
        break;
      case 'lookups':
      case 'open-addresses':
        this.#owner.onNames(this.#index, message);
        break;
      case 'flows':
        this.#owner.onFlows(message.batch);
        break;
      case 'alive':
      case 'drained':
        break;
    }
  }

  #onListening(listeners: readonly BoundListener[]): void {
    this.#startTimeout.clear();
    if (this.#state === 'starting') this.#state = 'listening';
    this.#listeningSinceMs = performance.now();
    this.#heartbeat = this.#startHeartbeat();
    if (this.#onStart === null) this.#owner.onRestarted(this.status);
    this.#onStart?.({ kind: 'listening', listeners });
    this.#onStart = null;
  }

  /** Who is who anew, with the set that it belongs to. */
  #sendAll(): void {
    this.update(this.#owner.policyInForce());
    for (const batch of this.#owner.batchesSince()) this.identities(batch);
  }

  #hangs(why: string): void {
    // One that drains has a deadline of its own.
    if (this.#state !== 'listening') return;
    this.#killedBecause = why;
    this.#owner.onHung(this.status);
    this.#link?.kill();
  }

  #startHeartbeat(): Heartbeat {
    const { limits } = this.#owner;
    return new Heartbeat({
      limits,
      ask: () => this.#link?.send({ kind: 'are-you-alive' }),
      onSilent: () => this.#hangs(`no sign of life for ${limits.workerSilenceTimeoutMs} ms`),
    });
  }

  #onUpdated(revision: number): void {
    this.#revision = revision;
    this.#updateTimeout.clear();
    if (revision === this.#owner.policyInForce().revision) this.#owner.onUpdated(this.status);
    else this.#awaitUpdate();
  }

  /** A worker that does not answer would go on enforcing an old set; a new one begins with the set in force. */
  #awaitUpdate(): void {
    const timeoutMs = this.#owner.limits.workerUpdateTimeoutMs;
    this.#updateTimeout.start(timeoutMs, () => {
      const { revision } = this.#owner.policyInForce();
      this.#owner.onUpdateFailed(this.status, revision, [`no answer within ${timeoutMs} ms`]);
      this.#link?.kill();
    });
  }

  #onEnd(how: string): void {
    const wasDraining = this.#state === 'draining';
    this.#link = null;
    this.#heartbeat?.stop();
    this.#heartbeat = null;
    this.#revision = 0;
    this.#startTimeout.clear();
    this.#updateTimeout.clear();
    this.#batches.reset();
    this.#services.reset();
    for (const requestId of [...this.#reports.keys()]) this.#settleReport(requestId, null);
    this.#state = 'ended';
    const why = this.#killedBecause === '' ? how : this.#killedBecause;
    const onStart = this.#onStart;
    this.#onStart = null;
    if (onStart !== null) onStart({ kind: 'failed', message: why });
    else if (!wasDraining) this.#restartLater(why);
    const waiting = this.#onEnded;
    this.#onEnded = [];
    for (const resolve of waiting) resolve();
  }

  #restartLater(how: string): void {
    const { restartBackoffMinMs, restartBackoffMaxMs } = this.#owner.limits;
    const livedMs = this.#listeningSinceMs === 0 ? 0 : performance.now() - this.#listeningSinceMs;
    this.#listeningSinceMs = 0;
    this.#deathsInARow = livedMs >= restartBackoffMaxMs ? 1 : this.#deathsInARow + 1;
    const doublings = Math.min(this.#deathsInARow - 1, 30);
    const retryInMs = Math.min(restartBackoffMinMs * 2 ** doublings, restartBackoffMaxMs);
    this.#state = 'waiting';
    this.#owner.onDeath(this.status, { how, retryInMs });
    this.#restartTimer = setTimeout(() => {
      this.#restartTimer = null;
      this.#restartCount++;
      this.#launch();
    }, retryInMs);
  }

  #settleReport(requestId: number, report: WorkerReport | null): void {
    const pending = this.#reports.get(requestId);
    if (pending === undefined) return;
    this.#reports.delete(requestId);
    clearTimeout(pending.timer);
    pending.resolve(report);
  }
}
