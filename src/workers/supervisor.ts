/**
 * Keeps N workers running: starts them on the same ports, tells all of them each policy set, sums up
 * what they report, and ends them together. It judges nothing and reads no file.
 */

import type { SentBatch } from '../control/worker/identity_wire.ts';
import { type NumberedSet, newest, type PolicyUpdate } from '../control/worker/live_snapshot.ts';
import type { SentServices } from '../control/worker/service_wire.ts';
import type { Port } from '../model/identity.ts';
import type { Limits } from '../model/limits.ts';
import type { LogLevel } from '../model/log_level.ts';
import type { Platform } from '../platform/platform.ts';
import type { BoundListener } from '../proxy/accept/listener.ts';
import { InForce } from './in_force.ts';
import { KeptServices } from './kept_services.ts';
import type { WorkerLauncher } from './link.ts';
import type { WorkerReport, WorkerSettings } from './messages.ts';
import { probePorts } from './port_probe.ts';
import { ProxyCondition } from './proxy_condition.ts';
import type { SentServiceChange, ServiceFacts } from './service_sender.ts';
import { type NamesFromWorker, type SlotOwner, WorkerSlot, type WorkerStatus } from './slot.ts';

export interface SupervisorOptions {
  readonly workerCount: number;
  /** `index` and the sharing of ports are the supervisor's. */
  readonly settings: Omit<WorkerSettings, 'index' | 'workerCount'>;
  readonly launch: WorkerLauncher;
  readonly platform: Pick<Platform, 'clock' | 'timers'>;
  readonly events: SupervisorEvents;
}

export interface SupervisorEvents {
  onWorkerDied(
    status: WorkerStatus,
    death: { readonly how: string; readonly retryInMs: number },
  ): void;
  /** It gives no sign of life and is being killed; `onWorkerDied` follows. */
  onWorkerHung(status: WorkerStatus): void;
  onWorkerRestarted(status: WorkerStatus): void;
  /** Every worker that runs has taken over the set. */
  onPolicyInForce(revision: number): void;
  onWorkerUpdateFailed(status: WorkerStatus, revision: number, problems: readonly string[]): void;
  /** A batch of a worker's flows, while they are wanted. */
  onFlows?(batch: Uint8Array): void;
  /** What a worker says of names. */
  onNames?(index: number, message: NamesFromWorker): void;
  /** A batch of identities, or of Services, did not fit a worker, which is given everything anew. */
  onIdentitiesBroken(status: WorkerStatus, problem: string): void;
  /** So many batches are kept that the set should be made anew: `rebase`. */
  onManyBatches(): void;
  /** What is wrong with the workers and does not mend itself; null: nothing any more. */
  onCondition(problem: string | null): void;
}

export interface ServiceStatus extends ServiceFacts {
  /** All that was told of them is in force in all workers. */
  readonly areInForce: boolean;
}

export type SupervisorStart =
  | { readonly kind: 'started'; readonly listeners: readonly BoundListener[] }
  /** Nothing is left running. */
  | { readonly kind: 'failed'; readonly message: string };

const ENDED = { kind: 'failed', message: 'told to end while starting' } as const;

export class Supervisor implements SlotOwner {
  readonly limits: Limits;
  readonly launch: WorkerLauncher;
  readonly #options: SupervisorOptions;
  readonly #slots: readonly WorkerSlot[];
  readonly #condition: ProxyCondition;
  /** By listener name: port 0 becomes what the first worker was given, also over restarts. */
  readonly #boundPorts = new Map<string, Port>();
  #policy: NumberedSet | null = null;
  #revisionInForce = 0;
  /** Since `#policy`, in order. */
  #batches: SentBatch[] = [];
  readonly #inForce = new InForce(() => this.#least(({ identitiesInForce }) => identitiesInForce));
  readonly #services = new KeptServices();
  readonly #servicesInForce = new InForce(() => this.#least((slot) => slot.servicesInForce));
  #logLevel: LogLevel;
  #areFlowsWanted = false;
  #isStarted = false;
  #isEnding = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.limits = options.settings.limits;
    this.launch = options.launch;
    this.#logLevel = options.settings.logLevel;
    this.#condition = new ProxyCondition({
      platform: options.platform,
      limits: this.limits,
      isReady: () => this.isReady(),
      tell: (problem) => options.events.onCondition(problem),
    });
    this.#slots = Array.from(
      { length: options.workerCount },
      (_, index) => new WorkerSlot(index, this),
    );
  }

  async start(policy: NumberedSet): Promise<SupervisorStart> {
    // One that came while the app got this far is newer.
    if (this.#isNewer(policy)) this.#policy = policy;
    if (this.#isEnding) return ENDED;
    // A transparent listener, and one that is told to, stands beside the one of the proxy that it replaces.
    const { listeners } = this.#options.settings;
    const own = listeners.filter((one) => !one.isTransparent && !one.isPortShared);
    const inUse = await probePorts(own);
    if (inUse !== null) return { kind: 'failed', message: inUse };
    if (this.#isEnding) return ENDED;
    const [first, ...others] = this.#slots;
    if (first === undefined) return { kind: 'failed', message: 'no workers' };
    const firstStart = await first.start();
    if (firstStart.kind === 'failed') return this.#startFailed(firstStart.message);
    for (const { name, address } of firstStart.listeners) {
      this.#boundPorts.set(name, address.port);
    }
    if (this.#isEnding) return this.#startFailed(ENDED.message);
    const starts = await Promise.all(others.map((slot) => slot.start()));
    for (const start of starts) {
      if (start.kind === 'failed') return this.#startFailed(start.message);
    }
    this.#isStarted = true;
    this.#condition.start();
    this.#announceIfInForce();
    return { kind: 'started', listeners: firstStart.listeners };
  }

  /** Workers that are starting get it too. An older one than is in force changes nothing. */
  update(policy: PolicyUpdate): void {
    if (!this.#isNewer(policy)) return;
    if (policy.parts !== undefined) {
      this.#policy = policy;
      this.#batches = [];
    } else this.#policy = newest(this.policyInForce(), policy);
    for (const slot of this.#slots) slot.update(policy);
  }

  /** Who else is who from now on, for the set that was told last. */
  identities(batch: SentBatch): void {
    this.#batches.push(batch);
    for (const slot of this.#slots) slot.identities(batch);
    const { identityBatchesKeptMax } = this.limits;
    // Once each time: it takes a moment until the set is there.
    if (this.#batches.length % identityBatchesKeptMax === 0) {
      this.#options.events.onManyBatches();
    }
  }

  /** The set that was told last with batches up to `sequence` in it, for workers that start later. */
  rebase(policy: NumberedSet, sequence: number): void {
    if (policy.revision !== this.#policy?.revision) return;
    this.#policy = policy;
    this.#batches = this.#batches.filter((batch) => batch.sequence > sequence);
  }

  /** Who is behind addresses of Services from now on; returns the number of it. */
  services(change: SentServiceChange): number {
    const batch = this.#services.add(change);
    for (const slot of this.#slots) slot.services(batch);
    return batch.sequence;
  }

  /** As `inForce`, of Services. */
  servicesInForce(sequence: number, timeoutMs: number): Promise<boolean> {
    return this.#servicesInForce.wait(sequence, timeoutMs);
  }

  serviceStatus(): ServiceStatus {
    const { facts, sequence } = this.#services;
    return { ...facts, areInForce: this.#servicesInForce.isReached(sequence) };
  }

  /** Resolves when all batches up to `sequence` are in force in all workers; false: not within that time. */
  inForce(sequence: number, timeoutMs: number): Promise<boolean> {
    return this.#inForce.wait(sequence, timeoutMs);
  }

  reopenAccessLog(): void {
    for (const slot of this.#slots) slot.send({ kind: 'reopen-access-log' });
  }

  /** Also for workers that start later. */
  setLogLevel(level: LogLevel): void {
    this.#logLevel = level;
    for (const slot of this.#slots) slot.send({ kind: 'set-log-level', level });
  }

  /** Also for workers that start later. */
  setFlowsWanted(areWanted: boolean): void {
    this.#areFlowsWanted = areWanted;
    const kind = areWanted ? 'subscribe-flows' : 'unsubscribe-flows';
    for (const slot of this.#slots) slot.send({ kind });
  }

  areFlowsWanted(): boolean {
    return this.#areFlowsWanted;
  }

  onFlows(batch: Uint8Array): void {
    this.#options.events.onFlows?.(batch);
  }

  onNames(index: number, message: NamesFromWorker): void {
    this.#options.events.onNames?.(index, message);
  }

  /** To the worker that told them. */
  lookupsInForce(index: number, ids: readonly number[]): void {
    this.#slots[index]?.send({ kind: 'lookups-in-force', ids });
  }

  /** One for each worker that answers. */
  async reports(): Promise<readonly WorkerReport[]> {
    const reports = await Promise.all(this.#slots.map((slot) => slot.report()));
    return reports.filter((report) => report !== null);
  }

  workers(): readonly WorkerStatus[] {
    return this.#slots.map((slot) => slot.status);
  }

  /** True once all workers have listened. */
  get isStarted(): boolean {
    return this.#isStarted;
  }

  /** True while any worker serves. */
  hasListeningWorker(): boolean {
    return this.workers().some(({ state }) => state === 'listening');
  }

  /** True while any worker serves and gives signs of life. */
  hasAnsweringWorker(): boolean {
    return this.#slots.some((slot) => slot.isAnswering);
  }

  /** True while every worker listens with the policy set in force. */
  isReady(): boolean {
    const { revision } = this.policyInForce();
    return (
      this.#isStarted &&
      this.workers().every((status) => status.state === 'listening' && status.revision === revision)
    );
  }

  async drain(): Promise<void> {
    this.#end();
    await Promise.all(this.#slots.map((slot) => slot.drain()));
  }

  async stop(): Promise<void> {
    this.#end();
    await Promise.all(this.#slots.map((slot) => slot.stop()));
  }

  settingsOf(index: number): WorkerSettings {
    const { settings, workerCount } = this.#options;
    const listeners = settings.listeners.map((listener) => ({
      ...listener,
      address: { ...listener.address, port: this.#portOf(listener) },
      isPortShared: workerCount > 1 || listener.isPortShared,
    }));
    return { ...settings, index, workerCount, listeners, logLevel: this.#logLevel };
  }

  policyInForce(): NumberedSet {
    if (this.#policy === null) throw new Error('no policy set before start');
    return this.#policy;
  }

  batchesSince(): readonly SentBatch[] {
    return [...this.#batches];
  }

  keptServices(): readonly SentServices[] {
    return this.#services.all();
  }

  onIdentities(): void {
    this.#inForce.look();
  }

  onServices(): void {
    this.#servicesInForce.look();
  }

  onIdentitiesBroken(status: WorkerStatus, problem: string): void {
    this.#options.events.onIdentitiesBroken(status, problem);
  }

  onDeath(status: WorkerStatus, death: { readonly how: string; readonly retryInMs: number }): void {
    this.#options.events.onWorkerDied(status, death);
    this.#condition.died(status.index, death.how);
    if (this.#isStarted) this.#announceIfInForce();
    this.#inForce.look();
    this.#servicesInForce.look();
  }

  onHung(status: WorkerStatus): void {
    this.#options.events.onWorkerHung(status);
  }

  onRestarted(status: WorkerStatus): void {
    this.#options.events.onWorkerRestarted(status);
    this.#announceIfInForce();
  }

  onUpdated(_status: WorkerStatus): void {
    if (this.#isStarted) this.#announceIfInForce();
  }

  onUpdateFailed(status: WorkerStatus, revision: number, problems: readonly string[]): void {
    this.#options.events.onWorkerUpdateFailed(status, revision, problems);
  }

  #end(): void {
    this.#isEnding = true;
    this.#condition.stop();
    this.#inForce.stop();
    this.#servicesInForce.stop();
  }

  /** Of those that listen. */
  #least(inForceIn: (slot: WorkerSlot) => number | null): number {
    let least = Number.MAX_SAFE_INTEGER;
    for (const slot of this.#slots) {
      least = Math.min(least, inForceIn(slot) ?? Number.MAX_SAFE_INTEGER);
    }
    return least;
  }

  /** One that is starting may listen before we hear of it, with the set that it was launched with. */
  #announceIfInForce(): void {
    const { revision } = this.policyInForce();
    if (revision === this.#revisionInForce) return;
    const running = this.workers().filter(
      ({ state }) => state === 'listening' || state === 'starting',
    );
    if (running.length === 0 || running.some((status) => status.revision !== revision)) return;
    this.#revisionInForce = revision;
    this.#options.events.onPolicyInForce(revision);
  }

  #isNewer({ revision }: PolicyUpdate): boolean {
    return this.#policy === null || revision > this.#policy.revision;
  }

  async #startFailed(message: string): Promise<SupervisorStart> {
    await this.stop();
    return { kind: 'failed', message };
  }

  #portOf(listener: WorkerSettings['listeners'][number]): Port {
    const bound = this.#boundPorts.get(listener.name);
    return listener.address.port === 0 && bound !== undefined ? bound : listener.address.port;
  }
}
