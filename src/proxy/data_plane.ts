/**
 * The data plane of one process: listeners, the registry of connections, policy changes, overload and
 * drain. It is given the snapshot in force and a recorder; it knows nothing of files, processes or
 * configuration.
 */

import type { IpText } from '../model/address.ts';
import { residentBytes } from '../platform/resident_memory.ts';
import type { IdentityBatch } from '../policy/identity/delta.ts';
import type { ServiceBatch } from '../policy/identity/service_table.ts';
import type { BoundListener } from './accept/listener.ts';
import { Listener } from './accept/listener.ts';
import { ConnectionMemory } from './plane/memory/connection_memory.ts';
import type { DataPlaneOptions } from './plane/options.ts';
import { newPlane, type Plane } from './plane/plane.ts';
import { Registry } from './plane/registry.ts';

export class DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #plane: Plane;
  readonly #registry: Registry;
  readonly #listeners: readonly Listener[];
  readonly #connectionMemory: ConnectionMemory;
  #connectionCount = 0;

  constructor(options: DataPlaneOptions) {
    const { platform, limits } = options;
    this.#options = options;
    this.#connectionMemory = new ConnectionMemory(platform.memory?.releaseAll ?? null);
    this.#plane = newPlane(options);
    this.#registry = new Registry({
      platform,
      sweepIntervalMs: limits.sweepIntervalMs,
      turnMs: limits.policyTurnMs,
      onSweep: () => this.#sampleMemory(),
    });
    this.#listeners = options.listeners.map(
      (listener) =>
        new Listener({
          options: listener,
          plane: this.#plane,
          registry: this.#registry,
          nextConnectionId: () => ++this.#connectionCount,
        }),
    );
  }

  /** Rejects with the first error; then nothing is left listening. */
  async start(): Promise<readonly BoundListener[]> {
    const bound: BoundListener[] = [];
    try {
      for (const listener of this.#listeners) bound.push(await listener.listen());
    } catch (error) {
      this.stop();
      throw error;
    }
    return bound;
  }

  /** Where they go, each as often as there are connections. */
  openAddresses(): Iterable<IpText> {
    return this.#registry.destinations();
  }

  /** Open downstream connections, those that are only waiting for their last bytes included. */
  get connectionCount(): number {
    return this.#registry.size;
  }

  /**
   * After a swap: connections that are no longer allowed at L3/L4 are closed, a few milliseconds of them at a
   * time when there are many.
   */
  policyChanged(onDone: () => void = () => {}): void {
    this.#registry.policyChanged(onDone);
  }

  /** After a batch of identities: those whom it is about are judged again. */
  identitiesChanged(batch: IdentityBatch): void {
    this.#registry.identitiesChanged(batch);
  }

  /** After a batch of Services: the same. */
  servicesChanged(batch: ServiceBatch): void {
    this.#registry.servicesChanged(batch);
  }

  /** Stops accepting, lets what is in flight finish, cuts the rest at `drainTimeoutMs`. */
  async drain(): Promise<void> {
    const { timers } = this.#options.platform;
    const { drainTimeoutMs } = this.#options.limits;
    const cancel = timers.after(drainTimeoutMs, () => this.#cut());
    // Already while we linger each response says that it is the last on its connection.
    this.#plane.isDraining = true;
    await this.#lingerAtListeners();
    const closing = this.#listeners.map((listener) => listener.close());
    this.#registry.drain();
    await Promise.all([this.#registry.empty(), ...closing]);
    cancel();
    this.#registry.stop();
  }

  /**
   * Connections that the kernel has handed us may still be on their way when the next proxy takes over:
   * closing the listener at once would reset them.
   */
  #lingerAtListeners(): Promise<void> {
    const { listeners, platform, limits } = this.#options;
    if (!listeners.some(({ isTransparent }) => isTransparent)) return Promise.resolve();
    const { drainTimeoutMs, listenerLingerMs } = limits;
    return new Promise((resolve) => {
      platform.timers.after(Math.min(listenerLingerMs, drainTimeoutMs), resolve);
    });
  }

  /** Everything is closed now. */
  stop(): void {
    this.#plane.isDraining = true;
    this.#cut();
    this.#registry.stop();
  }

  #cut(): void {
    for (const listener of this.#listeners) listener.cut();
    this.#registry.cut();
  }

  /** It is of no connection: when it fails, all go on, and their deadlines are looked at. */
  #sampleMemory(): void {
    const { recorder } = this.#options;
    try {
      this.#connectionMemory.counted(this.#registry.size);
      this.#plane.shares.sweep(residentBytes());
      recorder.events.held(this.#plane.shares.counts());
    } catch (error) {
      recorder.internalError('sweep', error);
    }
  }
}
