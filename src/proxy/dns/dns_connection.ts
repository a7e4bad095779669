/**
 * One TCP connection of a client with DNS questions: registered before its first decision, counted among the connections
 * of its source, closed when policy no longer allows it, when it is idle, or when it does not read. An exception in it
 * ends it and nothing else (plane/guard.ts).
 */
import type { Socket } from 'node:net';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision, DenyDecision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { CloseCause } from '../../model/record.ts';
import { takeOver } from '../../platform/socket_reads.ts';
import { Admission } from '../judge/admission.ts';
import { isForAnyName, PolicySubject } from '../judge/policy_subject.ts';
import { Guard, type Guarded } from '../plane/guard.ts';
import { type AddressHolder, type Evictable, Share } from '../plane/holders.ts';
import type { ListenerOptions } from '../plane/options.ts';
import type { Plane } from '../plane/plane.ts';
import type { RegisteredConnection, Registry } from '../plane/registry.ts';
import { RequestLife } from '../request/request_life.ts';
import { type Ends, resolveMeta, sourceIdentity } from '../resolve/resolve.ts';
import type { QuestionIds } from './question_ids.ts';
import { QuestionStream } from './question_stream.ts';

const STAGE_OPEN = 1;
/** Our FIN follows the last answer; what comes is dropped. */
const STAGE_ENDING = 2;
const STAGE_CLOSED = 3;

export interface DnsConnectionContext {
  readonly listener: ListenerOptions;
  readonly plane: Plane;
  readonly registry: Registry;
  readonly ids: QuestionIds;
}

export interface AcceptedDns {
  readonly id: number;
  /** Paused; the connection takes it over. */
  readonly socket: Socket;
  readonly ends: Ends;
}

export class DnsConnection implements RegisteredConnection, Evictable, Guarded {
  readonly part = 'dns';
  readonly #context: DnsConnectionContext;
  readonly #socket: Socket;
  readonly #subject: PolicySubject;
  readonly #admission: Admission;
  readonly #share: Share;
  readonly #guard: Guard;
  readonly #stream: QuestionStream;
  readonly #acceptedMs: number;
  #stage = STAGE_OPEN;
  #hasClientEnded = false;
  #isDraining = false;

  constructor(context: DnsConnectionContext, { id, socket, ends }: AcceptedDns) {
    const { listener, plane, ids } = context;
    const { currentSnapshot, cilium, behaviour, limits, recorder } = plane.options;
    this.#context = context;
    this.#acceptedMs = this.#nowMs();
    const known = { options: listener, snapshot: currentSnapshot(), cilium };
    const { identity } = listener;
    const meta = resolveMeta(id, ends, known);
    this.#subject = new PolicySubject(meta, { currentSnapshot, identity, cilium });
    this.#admission = new Admission(this.#subject, behaviour.isDryRun);
    this.#share = new Share(this, this.#acceptedMs);
    this.#guard = new Guard(this, recorder);
    this.#stream = new QuestionStream({
      plane,
      subject: this.#subject,
      admission: this.#admission,
      downstream: () => this.#socket,
      share: this.#share,
      guard: this.#guard,
      ids,
      onIdle: () => this.#onIdle(),
      onBroken: (fault) => this.#onBroken(fault),
    });
    // Last: until here an exception leaves the socket with the listener, which ends it.
    this.#socket = takeOver(socket, {
      onRead: (chunk) => this.#onRead(chunk),
      bufferBytesMax: limits.bufferBytesMax,
    });
  }

  start(): void {
    const { registry, listener, plane } = this.#context;
    this.#listen();
    this.#guard.run(() => {
      registry.add(this);
      this.#share.moveTo(this.#holder());
      plane.options.recorder.events.connectionOpened(listener.name);
      this.#judge();
    });
  }

  /** False: it is to be refused. At the bound of connections it is others that make room, if they have more. */
  isAdmitted(): boolean {
    const { shares } = this.#context.plane;
    const holder = this.#holder();
    if (shares.holders.isOverloaded || holder.isRefused) return false;
    return !shares.isFull || shares.makeRoom(holder, this.#nowMs());
  }

  /** Whoever asks by TCP asks again, or another server: there is nothing to answer before a question. */
  refuseOverloaded(): void {
    this.#listen();
    this.#guard.run(() => {
      this.#context.registry.add(this);
      this.#context.plane.options.recorder.events.connectionOpened(this.#context.listener.name);
      this.#record('overloaded', null);
      this.#closed('overloaded', 'reset');
    });
  }

  #holder(): AddressHolder {
    const { shares, options } = this.#context.plane;
    const identity = sourceIdentity(this.#subject.meta, options.currentSnapshot());
    return shares.holders.of(identity, this.#subject.meta.source);
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on('drain', () => this.#guard.run(() => this.#stream.onDrain()));
    socket.on('end', () => this.#guard.run(() => this.#onEnd()));
    socket.on('error', () => {});
    socket.on('close', () => this.#guard.run(() => this.#onClose()));
  }

  #onRead(chunk: Buffer): void {
    try {
      if (this.#stage === STAGE_OPEN) this.#stream.onData(chunk);
      this.#context.plane.readMemory.used(chunk.length);
    } catch (error) {
      this.#guard.broken(error);
    }
  }

  /** Null: it stays. */
  #judge(): DenyDecision | null {
    const { direction } = this.#context.listener;
    if (direction === 'by-record' && this.meta.recorded === null) {
      this.#record('no-redirect-record', null);
      this.#closed('denied', 'reset');
      return null;
    }
    const denial = this.#admission.denialOf(this.#subject.judgeConnection());
    if (denial === null || !isForAnyName(denial)) return null;
    this.#record(null, denial);
    this.#closed('denied', 'reset');
    return denial;
  }

  // --- from the stream

  #onIdle(): void {
    if (this.#hasClientEnded) this.#closed('finished', 'end');
    else if (this.#isDraining) this.#closed('drained', 'end');
  }

  #onBroken(fault: Fault | null): void {
    if (fault !== null) this.#record(fault, null);
    this.#closed(fault === null ? 'upstream-closed' : 'fault', fault === null ? 'end' : 'reset');
  }

  // --- endings

  #onEnd(): void {
    this.#hasClientEnded = true;
    if (this.#stage === STAGE_OPEN && this.#stream.isIdle) this.#closed('finished', 'end');
  }

  #onClose(): void {
    this.#closed('downstream-closed', 'destroy');
    this.#leave();
  }

  /** Of the connection itself; each question has its own. */
  #record(fault: Fault | null, decision: Decision | null): void {
    const { recorder, platform } = this.#context.plane.options;
    const context = {
      meta: this.#subject.meta,
      recorder,
      clock: platform.clock,
      share: this.#share,
    };
    const life = new RequestLife(context, this.#acceptedMs);
    life.recordJudgement(this.#subject, decision);
    life.finish(fault);
  }

  #closed(cause: CloseCause, how: 'end' | 'reset' | 'destroy', fault?: Fault): void {
    if (this.#stage !== STAGE_OPEN) return;
    this.#stage = how === 'end' ? STAGE_ENDING : STAGE_CLOSED;
    this.#stream.end(fault ?? 'downstream-closed');
    const { recorder } = this.#context.plane.options;
    recorder.events.connectionClosed(this.#context.listener.name, cause);
    if (how === 'end') {
      this.#socket.end();
      this.#socket.resume();
      return;
    }
    this.#leave();
    if (how === 'reset') this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  #leave(): void {
    this.#stage = STAGE_CLOSED;
    this.#share.moveTo(null);
    this.#context.registry.delete(this);
  }

  // --- from the registry

  expire(nowMs: number): void {
    this.#guard.run(() => {
      const { dnsTcpIdleTimeoutMs } = this.#context.plane.options.limits;
      if (this.#stage === STAGE_OPEN) this.#stream.expire(nowMs);
      if (nowMs < this.#stream.movedMs + dnsTcpIdleTimeoutMs) return;
      if (this.#stage === STAGE_ENDING) {
        this.#socket.destroy();
      } else if (this.#socket.writableNeedDrain) {
        this.#closed('timeout', 'destroy', 'downstream-closed');
      } else if (this.#stream.isIdle) {
        this.#closed('timeout', 'end');
      }
    });
  }

  lasted(): void {}

  get meta(): ConnectionMeta {
    return this.#subject.meta;
  }

  /** What is in flight is judged again when its answer comes. */
  policyChanged(): void {
    this.#guard.run(() => {
      if (this.#stage !== STAGE_OPEN || this.#admission.isDryRun) return;
      const denial = this.#admission.denialOf(this.#subject.judgeConnection());
      if (denial === null || !isForAnyName(denial)) return;
      this.#record('policy-changed', denial);
      this.#closed('policy-changed', 'reset', 'policy-changed');
    });
  }

  drain(): void {
    this.#guard.run(() => {
      if (this.#stage !== STAGE_OPEN) return;
      this.#isDraining = true;
      this.#stream.stopTaking();
      if (this.#stream.isIdle) this.#closed('drained', 'end');
    });
  }

  cut(): void {
    this.#guard.run(() => {
      this.#closed('drained', 'destroy', 'draining');
      this.#socket.destroy();
    });
  }

  // --- from the shares

  evict(): void {
    this.#guard.run(() => {
      this.#closed('evicted', 'destroy', 'evicted');
      this.#socket.destroy();
      this.#leave();
    });
  }

  lastMoveMs(): number {
    return this.#stream.movedMs;
  }

  heldBytes(): number {
    return this.#socket.writableLength + this.#stream.heldBytes;
  }

  // --- from the guard

  abandon(): void {
    this.#closed('fault', 'reset', 'internal-error');
  }

  sever(): void {
    this.#socket.destroy();
    this.#leave();
  }

  #nowMs(): number {
    return this.#context.plane.options.platform.clock.nowMs();
  }
}
