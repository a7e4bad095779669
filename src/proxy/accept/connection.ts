/**
 * One downstream connection through its stages: PROXY header (when the listener wants one), resolve,
 * register, detect, and then a relay or a tunnel. An exception in it ends it and nothing else (guard.ts).
 */

import type { Socket } from 'node:net';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { CloseCause } from '../../model/record.ts';
import { takeOver } from '../../platform/socket_reads.ts';
import { Guard, type Guarded } from '../plane/guard.ts';
import { type Evictable, Share } from '../plane/holders.ts';
import type { ListenerOptions } from '../plane/options.ts';
import type { Plane } from '../plane/plane.ts';
import type { RegisteredConnection, Registry } from '../plane/registry.ts';
import { faultReply, http1Bytes, NOTHING_READ } from '../request/local_reply.ts';
import { CUT_CAUSES, type CutFault, type Relay } from '../request/relay.ts';
import { RequestLife } from '../request/request_life.ts';
import type { Ends } from '../resolve/resolve.ts';
import { Linger } from './linger.ts';
import { Opening, type OpeningOwner } from './opening.ts';
import type { TrustedProxies } from './trusted_proxies.ts';

const STAGE_OPENING = 1;
const STAGE_RELAY = 2;
/** Closing: what was written may still be unread, what comes is dropped. */
const STAGE_LINGER = 3;
const STAGE_CLOSED = 4;

/** One for all connections of a listener. */
export interface ConnectionContext {
  readonly listener: ListenerOptions;
  readonly plane: Plane;
  readonly registry: Registry;
  readonly trustedProxies: TrustedProxies;
}

export interface Accepted {
  /** Unique in the process. */
  readonly id: number;
  /** Paused; the connection takes it over. */
  readonly socket: Socket;
  readonly ends: Ends;
}

export class Connection implements RegisteredConnection, Evictable, Guarded, OpeningOwner {
  readonly #context: ConnectionContext;
  readonly #socket: Socket;
  readonly #acceptedMs: number;
  readonly #share: Share;
  readonly #guard: Guard;
  #stage = STAGE_OPENING;
  readonly #opening: Opening;
  #relay: Relay | null = null;
  #linger: Linger | null = null;
  #wasReset = false;

  constructor(context: ConnectionContext, accepted: Accepted) {
    const { listener, plane } = context;
    this.#context = context;
    this.#acceptedMs = this.#nowMs();
    this.#share = new Share(this, this.#acceptedMs);
    this.#guard = new Guard(this, plane.options.recorder);
    this.#opening = new Opening({
      connectionId: accepted.id,
      ends: accepted.ends,
      listener,
      plane,
      share: this.#share,
      guard: this.#guard,
      owner: this,
      downstream: () => this.#socket,
    });
    // Last: until here an exception leaves the socket with the listener, which ends it.
    this.#socket = takeOver(accepted.socket, {
      onRead: (chunk) => this.#onRead(chunk),
      bufferBytesMax: plane.options.limits.bufferBytesMax,
    });
  }

  /** Registered before the first decision, so that no policy change is missed. */
  start(): void {
    const { registry, listener, plane } = this.#context;
    this.#listen();
    this.#guard.run(() => {
      registry.add(this);
      this.#share.moveTo(this.#opening.holder());
      plane.options.recorder.events.connectionOpened(listener.name);
      if (!this.#context.trustedProxies.has(this.#opening.meta.source)) {
        this.refused('untrusted-proxy', null, null);
      } else {
        this.#opening.judgeEarly();
      }
    });
  }

  /** False: it is to be refused. At the bound of connections it is others that make room, if they have more. */
  isAdmitted(): boolean {
    const { shares } = this.#context.plane;
    const holder = this.#opening.holder();
    if (shares.holders.isOverloaded || holder.isRefused) return false;
    return !shares.isFull || shares.makeRoom(holder, this.#nowMs());
  }

  /**
   * Ends it without looking at what it wants: the process comes first. With 503, or with a reset when
   * even those that wait for their 503 to be read are too many.
   */
  refuseOverloaded(how: 'reply' | 'reset'): void {
    this.#listen();
    this.#guard.run(() => {
      this.#context.registry.add(this);
      this.#context.plane.options.recorder.events.connectionOpened(this.#opening.meta.listener);
      if (how === 'reply') {
        this.answered('overloaded', 'overloaded');
      } else {
        this.newLife(null).finish('overloaded');
        this.closed('overloaded', 'reset');
      }
    });
  }

  // --- stages

  #listen(): void {
    const socket = this.#socket;
    socket.on('drain', () => this.#guard.run(() => this.#relay?.onDownstreamDrain()));
    socket.on('finish', () => this.#guard.run(() => this.#linger?.flushed(this.#nowMs())));
    socket.on('end', () => this.#guard.run(() => this.#onEnd()));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#wasReset = error.code === 'ECONNRESET' || error.code === 'EPIPE';
    });
    socket.on('close', () => this.#guard.run(() => this.#onClose()));
  }

  #onRead(chunk: Buffer): void {
    try {
      this.#onData(chunk);
      this.#context.plane.readMemory.used(chunk.length);
    } catch (error) {
      this.#guard.broken(error);
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#stage === STAGE_RELAY) {
      this.#relay?.onDownstreamData(chunk);
    } else if (this.#stage === STAGE_OPENING) {
      this.#opening.onData(chunk);
    } else {
      this.#linger?.heard(this.#nowMs());
    }
  }

  // --- from the opening

  relayed(relay: Relay, first: Buffer): void {
    this.#relay = relay;
    this.#stage = STAGE_RELAY;
    // A relay that needs no first byte may come before the client has said one.
    if (first.length > 0) relay.onDownstreamData(first);
  }

  refused(fault: Fault | null, decision: Decision | null, cause: Cause | null): void {
    this.newLife(decision).finish(fault, cause);
    this.closed(fault === null ? 'denied' : 'fault', 'reset');
  }

  answered(fault: Fault, cause: CloseCause): void {
    const life = this.newLife(null);
    const reply = faultReply(fault, NOTHING_READ);
    const bytes = http1Bytes(reply, NOTHING_READ);
    this.#socket.write(bytes);
    life.answered(reply, bytes.length);
    life.finish(fault);
    this.closed(cause, 'linger');
  }

  holderChanged(): void {
    this.#share.moveTo(this.#opening.holder());
  }

  newLife(decision: Decision | null): RequestLife {
    const { recorder, platform } = this.#context.plane.options;
    const { meta, subject } = this.#opening;
    const context = { meta, recorder, clock: platform.clock, share: this.#share };
    const life = new RequestLife(context, this.#acceptedMs);
    life.recordJudgement(subject, decision);
    life.shadowDecision = decision === null ? null : subject.shadowConnection();
    return life;
  }

  // --- endings

  /**
   * linger: our FIN follows the last byte, and what the client still sends is read and dropped, so that
   * no reset overtakes our reply.
   */
  closed(cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    if (this.#stage >= STAGE_LINGER) return;
    this.#relay = null;
    this.#opening.end();
    const { recorder } = this.#context.plane.options;
    recorder.events.connectionClosed(this.#opening.meta.listener, cause);
    if (how === 'linger' && !this.#socket.destroyed) {
      this.#stage = STAGE_LINGER;
      const limits = this.#context.plane.options.limits;
      const share = this.#share;
      this.#linger = new Linger(this.#socket, { limits, share, nowMs: this.#nowMs() });
      return;
    }
    this.#leave();
    if (how === 'reset') this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  #onEnd(): void {
    if (this.#stage === STAGE_RELAY) this.#relay?.onDownstreamEnd();
    else if (this.#stage < STAGE_RELAY) this.#endBeforeRelay();
  }

  #onClose(): void {
    if (this.#stage === STAGE_RELAY) {
      this.#relay?.onDownstreamGone(this.#wasReset);
      // A tunnel may have bytes to send to the upstream yet: it is looked after until they are out.
      if (this.#relay !== null) return;
    } else if (this.#stage < STAGE_RELAY) {
      this.#endBeforeRelay();
    }
    this.#leave();
  }

  #leave(): void {
    this.#stage = STAGE_CLOSED;
    this.#share.moveTo(null);
    this.#context.registry.delete(this);
  }

  /** A connection that brought nothing is no request; one that brought half a hello is a record. */
  #endBeforeRelay(): void {
    if (this.#opening.byteLength > 0) this.newLife(null).finish('downstream-closed');
    this.closed('downstream-closed', 'destroy');
  }

  // --- from the registry

  expire(nowMs: number): void {
    this.#guard.run(() => {
      if (this.#stage === STAGE_RELAY) this.#relay?.expire(nowMs);
      else if (this.#stage === STAGE_LINGER) this.#linger?.expire(nowMs);
      else if (this.#stage < STAGE_RELAY) this.#expireBeforeRelay(nowMs);
    });
  }

  lasted(): void {
    this.#guard.run(() => this.#relay?.lasted());
  }

  #expireBeforeRelay(nowMs: number): void {
    const { proxyProtocolTimeoutMs, detectTimeoutMs } = this.#context.plane.options.limits;
    const isHeader = this.#opening.isProxyHeaderExpected;
    if (nowMs < this.#acceptedMs + (isHeader ? proxyProtocolTimeoutMs : detectTimeoutMs)) return;
    this.newLife(null).finish(isHeader ? 'proxy-protocol-timeout' : 'detect-timeout');
    this.closed('timeout', 'destroy');
  }

  get meta(): ConnectionMeta {
    return this.#opening.meta;
  }

  policyChanged(): void {
    this.#guard.run(() => {
      if (this.#opening.isDryRun) return;
      if (this.#stage === STAGE_OPENING) this.#opening.judgeEarly();
      if (this.#relay === null) return;
      const denial = this.#relay.judgeOpen();
      if (denial.verdict === 'allow') return;
      const isRecorded = this.#relay.reject(denial);
      if (!isRecorded) this.newLife(denial).finish('policy-changed');
    });
  }

  drain(): void {
    this.#guard.run(() => {
      if (this.#stage === STAGE_RELAY) this.#relay?.drain();
      else if (this.#stage < STAGE_RELAY) this.closed('drained', 'linger');
    });
  }

  cut(): void {
    this.#cut('draining');
  }

  #cut(fault: CutFault): void {
    this.#guard.run(() => {
      this.#relay?.cut(fault);
      this.closed(CUT_CAUSES[fault], 'destroy');
      this.#socket.destroy();
    });
  }

  // --- from the shares

  evict(): void {
    this.#guard.run(() => {
      if (this.#stage === STAGE_OPENING && this.#opening.byteLength > 0) {
        this.newLife(null).finish('evicted');
      }
      this.#cut('evicted');
      // Whatever it was at, its place is free now.
      this.#socket.destroy();
      this.#leave();
    });
  }

  lastMoveMs(): number {
    return this.#guard.ask(() => this.#relay?.lastMoveMs() ?? this.#acceptedMs, this.#acceptedMs);
  }

  heldBytes(): number {
    return this.#guard.ask(() => {
      const held = this.#relay?.heldBytes() ?? this.#opening.byteLength;
      return this.#socket.writableLength + held;
    }, 0);
  }

  // --- from the guard

  get part(): string {
    return this.#relay?.name ?? 'connection';
  }

  abandon(): void {
    if (this.#relay !== null) this.#relay.abandon();
    else if (this.#stage < STAGE_RELAY) this.newLife(null).finish('internal-error');
    this.closed('fault', 'reset');
  }

  sever(): void {
    const relay = this.#relay;
    const { events } = this.#context.plane.options.recorder;
    this.#relay = null;
    if (this.#stage < STAGE_LINGER) events.connectionClosed(this.#opening.meta.listener, 'fault');
    this.#socket.destroy();
    this.#leave();
    relay?.sever();
  }

  #nowMs(): number {
    return this.#context.plane.options.platform.clock.nowMs();
  }
}
