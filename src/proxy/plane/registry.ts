/**
 * Every open downstream connection, from before its first decision to its end: who is told of a policy
 * change, looked at for time-outs, and drained.
 */
import type { IpText } from '../../model/address.ts';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import { ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';
import type { Platform } from '../../platform/platform.ts';
import { Turns } from '../../platform/turns.ts';
import type { IdentityBatch } from '../../policy/identity/delta.ts';
import type { ServiceBatch } from '../../policy/identity/service_table.ts';
import { IdentityScope } from './identity_scope.ts';

export interface RegisteredConnection {
  /** Acts on every deadline that has passed. */
  expire(nowMs: number): void;
  /** It is still there after that. */
  lasted(): void;
  /** Judges the connection again; one that is no longer allowed is closed at once. */
  policyChanged(): void;
  /** Whose connection it is. */
  readonly meta: ConnectionMeta;
  /** No further request is taken; an idle connection is closed at once. */
  drain(): void;
  /** Closed now, whatever it is doing. */
  cut(): void;
}

export class Registry {
  readonly #connections = new Set<RegisteredConnection>();
  readonly #judging: Turns;
  readonly #judgingSome: Turns;
  /** Whom batches were about that came while others were judged for those before. */
  #scope: IdentityScope | null = null;
  #isJudgingSome = false;
  readonly #stopSweep: () => void;
  #whenEmpty: (() => void) | null = null;

  constructor(options: {
    readonly platform: Platform;
    readonly sweepIntervalMs: number;
    /** Of judging again, before other work has its turn. */
    readonly turnMs: number;
    readonly onSweep: () => void;
  }) {
    const { clock, timers } = options.platform;
    this.#judging = new Turns(options.platform, options.turnMs);
    this.#judgingSome = new Turns(options.platform, options.turnMs);
    this.#stopSweep = timers.every(options.sweepIntervalMs, () => {
      options.onSweep();
      const now = clock.nowMs();
      for (const connection of this.#connections) connection.expire(now);
      for (const connection of this.#connections) connection.lasted();
    });
  }

  get size(): number {
    return this.#connections.size;
  }

  *destinations(): Generator<IpText> {
    for (const { meta } of this.#connections) yield meta.destination.ip;
  }

  add(connection: RegisteredConnection): void {
    this.#connections.add(connection);
  }

  delete(connection: RegisteredConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  /**
   * Judges again all that are open now; one that comes later is judged by the new policy anyway, as is every
   * request from now on, whenever its connection has its turn. A call takes the place of one that is still
   * at it, whose `onDone` is not called then.
   */
  policyChanged(onDone: () => void): void {
    this.#judging.begin({ steps: this.#judgeEach(), onDone });
  }

  *#judgeEach(): Steps<void> {
    for (const connection of [...this.#connections]) {
      // One that has ended meanwhile has nothing left to be judged.
      if (this.#connections.has(connection)) connection.policyChanged();
      yield;
    }
  }

  /**
   * Judges again those whom the batch is about. Batches that come faster than connections are judged are taken
   * together, so that each is judged for all of them in the end.
   */
  identitiesChanged(batch: IdentityBatch): void {
    this.#scope ??= new IdentityScope();
    this.#scope.add(batch);
    if (!this.#isJudgingSome) this.#judgeSome();
  }

  /** The same for a batch of Services. */
  servicesChanged(batch: ServiceBatch): void {
    this.#scope ??= new IdentityScope();
    this.#scope.addServices(batch);
    if (!this.#isJudgingSome) this.#judgeSome();
  }

  #judgeSome(): void {
    const scope = this.#scope;
    if (scope === null) return;
    this.#scope = null;
    this.#isJudgingSome = true;
    this.#judgingSome.begin({
      steps: this.#judgeConcerned(scope),
      onDone: () => {
        this.#isJudgingSome = false;
        this.#judgeSome();
      },
    });
  }

  *#judgeConcerned(scope: IdentityScope): Steps<void> {
    let count = 0;
    // One that comes meanwhile is judged by who is who now; one that ended is not there any more.
    for (const connection of this.#connections) {
      if (scope.concerns(connection.meta)) {
        connection.policyChanged();
        yield;
      } else if (++count % ITEMS_PER_STEP === 0) yield;
    }
  }

  drain(): void {
    for (const connection of [...this.#connections]) connection.drain();
  }

  cut(): void {
    for (const connection of [...this.#connections]) connection.cut();
  }

  /** Resolves when no connection is left. */
  empty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
    });
  }

  stop(): void {
    this.#stopSweep();
    this.#judging.stop();
    this.#judgingSome.stop();
  }
}
