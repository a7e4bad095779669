/**
 * One downstream connection through its stages: PROXY header (when the listener wants one), resolve,
 * register, detect, and then a relay or a tunnel. An exception in it ends it and nothing else (guard.ts).
 */
import type { Socket } from 'node:net';
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import { type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import type { Permit } from '../../model/permit.ts';
import type { CloseCause } from '../../model/record.ts';
import { takeOver } from '../../platform/socket_reads.ts';
import { Http1Relay } from '../http1/relay.ts';
import { Http2Relay } from '../http2/relay.ts';
import { Admission } from '../judge/admission.ts';
import { isForAnyName, PolicySubject } from '../judge/policy_subject.ts';
import { Guard, type Guarded } from '../plane/guard.ts';
import { type AddressHolder, type Evictable, Share } from '../plane/holders.ts';
import type { ListenerOptions } from '../plane/options.ts';
import type { RegisteredConnection, Registry } from '../plane/registry.ts';
import type { Shared } from '../plane/shared.ts';
import { faultReply, http1Bytes, NOTHING_READ } from '../request/local_reply.ts';
import { CUT_CAUSES, type CutFault, type Relay, type RelayContext } from '../request/relay.ts';
import { RequestLife } from '../request/request_life.ts';
import { type Ends, resolveMeta, sourceIdentity } from '../resolve/resolve.ts';
import { TlsRelay } from '../tls/passthrough.ts';
import { FirstBytes, type FirstStep } from './first_bytes.ts';
import { Linger } from './linger.ts';
import type { TrustedProxies } from './trusted_proxies.ts';

const STAGE_FIRST_BYTES = 1;
const STAGE_RELAY = 2;
/** Closing: what was written may still be unread, what comes is dropped. */
const STAGE_LINGER = 3;
const STAGE_CLOSED = 4;

/** No client is of it: unknown ones are world. */
const NOT_KNOWN_YET = RESERVED_IDENTITIES.unknown as Identity;

/** One for all connections of a listener. */
export interface ConnectionContext {
  readonly listener: ListenerOptions;
  readonly shared: Shared;
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

export class Connection implements RegisteredConnection, Evictable, Guarded {
  readonly #context: ConnectionContext;
  readonly #id: number;
  readonly #socket: Socket;
  readonly #acceptedMs: number;
  readonly #share: Share;
  readonly #guard: Guard;
  #stage = STAGE_FIRST_BYTES;
  readonly #first: FirstBytes;
  #meta: ConnectionMeta;
  #subject: PolicySubject;
  #admission: Admission;
  #relay: Relay | null = null;
  #linger: Linger | null = null;
  #wasReset = false;

  constructor(context: ConnectionContext, accepted: Accepted) {
    const { listener, shared } = context;
    this.#context = context;
    this.#id = accepted.id;
    this.#acceptedMs = this.#nowMs();
    this.#share = new Share(this, this.#acceptedMs);
    this.#guard = new Guard(this, shared.options.recorder);
    this.#meta = this.#resolve(accepted.ends);
    this.#subject = this.#newSubject();
    this.#admission = new Admission(this.#subject, shared.options.behaviour.isDryRun);
    this.#first = new FirstBytes(shared.options.limits, {
      isProxyHeaderExpected: listener.destination.kind === 'proxy-protocol',
    });
    // Last: until here an exception leaves the socket with the listener, which ends it.
    this.#socket = takeOver(accepted.socket, {
      onRead: (chunk) => this.#onRead(chunk),
      bufferBytesMax: shared.options.limits.bufferBytesMax,
    });
  }

  /** Registered before the first decision, so that no policy change is missed. */
  start(): void {
    const { registry, listener, shared } = this.#context;
    this.#listen();
    this.#guard.run(() => {
      registry.add(this);
      this.#share.moveTo(this.#holder());
      shared.options.recorder.events.connectionOpened(listener.name);
      if (!this.#context.trustedProxies.has(this.#meta.source)) {
        this.#refuse('untrusted-proxy', null);
      } else if (!this.#first.isProxyHeaderExpected) {
        this.#refuseEarly();
      }
    });
  }

  /** False: it is to be refused. At the bound of connections it is others that make room, if they have more. */
  isAdmitted(): boolean {
    const { shares } = this.#context.shared;
    const holder = this.#holder();
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
      this.#context.shared.options.recorder.events.connectionOpened(this.#meta.listener);
      if (how === 'reply') {
        this.#replyAndClose('overloaded', 'overloaded');
      } else {
        this.#newLife(null).finish('overloaded');
        this.#finish('overloaded', 'reset');
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
      this.#context.shared.readMemory.used(chunk.length);
    } catch (error) {
      this.#guard.broken(error);
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#stage === STAGE_RELAY) {
      this.#relay?.onDownstreamData(chunk);
    } else if (this.#stage === STAGE_FIRST_BYTES) {
      this.#first.append(chunk);
      // Each step may end this stage.
      while (this.#stage === STAGE_FIRST_BYTES && this.#takeStep(this.#first.next()));
    } else {
      this.#linger?.heard(this.#nowMs());
    }
  }

  /** False: nothing more can be told before further bytes come. */
  #takeStep(step: FirstStep): boolean {
    switch (step.kind) {
      case 'need-more':
        return false;
      case 'malformed':
        this.#refuse(step.cause.fault, null, step.cause);
        return false;
      case 'proxied':
      case 'local':
        this.#takeProxyHeader(step);
        return true;
      case 'protocol':
        this.#startProtocol(step.protocol);
        return false;
      case 'hello':
        this.#takeHello(step);
        return false;
    }
  }

  #takeProxyHeader(header: Extract<FirstStep, { kind: 'proxied' | 'local' }>): void {
    if (header.kind === 'proxied') {
      const { source, destination } = header;
      this.#meta = this.#resolve({ source, destination, record: null });
      this.#subject = this.#newSubject();
      this.#admission = new Admission(this.#subject, this.#admission.isDryRun);
      // Until here it was the sender's of the header.
      this.#share.moveTo(this.#holder());
    } else if (this.#context.listener.upstream.kind === 'original-destination') {
      // LOCAL names no original destination, so there is nowhere to go.
      this.#refuse('no-destination', null);
      return;
    }
    this.#refuseEarly();
  }

  /** What no server name could change is refused without waiting for a byte. */
  #refuseEarly(): void {
    const { listener, shared } = this.#context;
    const isForwarded = listener.upstream.kind === 'original-destination';
    if (listener.direction === 'by-record' && this.#meta.recorded === null) {
      this.#refuse('no-redirect-record', null);
      return;
    }
    if (isForwarded && shared.ownAddresses.has(this.#meta.upstream)) {
      this.#refuse('no-destination', null);
      return;
    }
    const denial = this.#admission.denialOf(this.#subject.judgeConnection());
    if (denial !== null && isForAnyName(denial)) this.#refuse(null, denial);
  }

  #startProtocol(protocol: 'http1' | 'http2' | 'other'): void {
    // Without TLS there is no server name to wait for. Who is refused is told nothing, not even 400.
    const denial = this.#admission.denialOf(this.#subject.judgeConnection());
    if (denial !== null) {
      this.#refuse(null, denial);
      return;
    }
    switch (protocol) {
      case 'http1':
        this.#startHttp(new Http1Relay(this.#relayContext()));
        return;
      case 'http2':
        this.#startHttp(new Http2Relay(this.#relayContext()));
        return;
      default:
        this.#replyAndClose('unknown-protocol', 'fault');
    }
  }

  #startHttp(relay: Relay): void {
    const first = this.#first.take();
    this.#relay = relay;
    this.#stage = STAGE_RELAY;
    relay.onDownstreamData(first);
  }

  #relayContext(): RelayContext {
    return {
      ...this.#lifeContext(),
      share: this.#share,
      shared: this.#context.shared,
      downstream: this.#socket,
      subject: this.#subject,
      admission: this.#admission,
      guard: this.#guard,
      onClose: (cause, how) => this.#finish(cause, how),
    };
  }

  #takeHello({ serverName, byteLength }: Extract<FirstStep, { kind: 'hello' }>): void {
    this.#subject.serverName = serverName;
    const decision = this.#subject.judgeOpaque();
    const permit = this.#admission.permitFor(decision);
    if (permit === null) this.#refuse(null, decision);
    else this.#startTls(decision, permit, byteLength);
  }

  #startTls(decision: Decision, permit: Permit, helloByteLength: number): void {
    const first = this.#first.take();
    const life = this.#newLife(decision);
    life.isDryRun = permit.isDryRun;
    const relay = new TlsRelay({
      permit,
      admission: this.#admission,
      life,
      meta: this.#meta,
      subject: this.#subject,
      shared: this.#context.shared,
      downstream: this.#socket,
      guard: this.#guard,
      onClose: (cause, how) => this.#finish(cause, how),
    });
    this.#relay = relay;
    this.#stage = STAGE_RELAY;
    relay.start(first, helloByteLength);
  }

  // --- endings

  /** Refused before its first request: one record, a reset, and not a byte to anybody. */
  #refuse(fault: Fault | null, decision: Decision | null, cause: Cause | null = null): void {
    this.#newLife(decision).finish(fault, cause);
    this.#finish(fault === null ? 'denied' : 'fault', 'reset');
  }

  #replyAndClose(fault: Fault, cause: CloseCause): void {
    const life = this.#newLife(null);
    const reply = faultReply(fault, NOTHING_READ);
    const bytes = http1Bytes(reply, NOTHING_READ);
    this.#socket.write(bytes);
    life.answered(reply, bytes.length);
    life.finish(fault);
    this.#finish(cause, 'linger');
  }

  /**
   * linger: our FIN follows the last byte, and what the client still sends is read and dropped, so that
   * no reset overtakes our reply.
   */
  #finish(cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    if (this.#stage >= STAGE_LINGER) return;
    this.#relay = null;
    this.#first.take();
    const { recorder } = this.#context.shared.options;
    recorder.events.connectionClosed(this.#meta.listener, cause);
    if (how === 'linger' && !this.#socket.destroyed) {
      this.#stage = STAGE_LINGER;
      const limits = this.#context.shared.options.limits;
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
    if (this.#first.byteLength > 0) this.#newLife(null).finish('downstream-closed');
    this.#finish('downstream-closed', 'destroy');
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
    const { proxyProtocolTimeoutMs, detectTimeoutMs } = this.#context.shared.options.limits;
    const isHeader = this.#first.isProxyHeaderExpected;
    if (nowMs < this.#acceptedMs + (isHeader ? proxyProtocolTimeoutMs : detectTimeoutMs)) return;
    this.#newLife(null).finish(isHeader ? 'proxy-protocol-timeout' : 'detect-timeout');
    this.#finish('timeout', 'destroy');
  }

  policyChanged(): void {
    this.#guard.run(() => {
      if (this.#admission.isDryRun) return;
      if (this.#stage === STAGE_FIRST_BYTES && !this.#first.isProxyHeaderExpected) {
        this.#refuseEarly();
      }
      if (this.#relay === null) return;
      const denial = this.#relay.judgeOpen();
      if (denial.verdict === 'allow') return;
      const isRecorded = this.#relay.reject(denial);
      if (!isRecorded) this.#newLife(denial).finish('policy-changed');
    });
  }

  drain(): void {
    this.#guard.run(() => {
      if (this.#stage === STAGE_RELAY) this.#relay?.drain();
      else if (this.#stage < STAGE_RELAY) this.#finish('drained', 'linger');
    });
  }

  cut(): void {
    this.#cut('draining');
  }

  #cut(fault: CutFault): void {
    this.#guard.run(() => {
      this.#relay?.cut(fault);
      this.#finish(CUT_CAUSES[fault], 'destroy');
      this.#socket.destroy();
    });
  }

  // --- from the shares

  evict(): void {
    this.#guard.run(() => {
      if (this.#stage === STAGE_FIRST_BYTES && this.#first.byteLength > 0) {
        this.#newLife(null).finish('evicted');
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
      const held = this.#relay?.heldBytes() ?? this.#first.byteLength;
      return this.#socket.writableLength + held;
    }, 0);
  }

  // --- from the guard

  get part(): string {
    return this.#relay?.name ?? 'connection';
  }

  abandon(): void {
    if (this.#relay !== null) this.#relay.abandon();
    else if (this.#stage < STAGE_RELAY) this.#newLife(null).finish('internal-error');
    this.#finish('fault', 'reset');
  }

  sever(): void {
    const relay = this.#relay;
    const { events } = this.#context.shared.options.recorder;
    this.#relay = null;
    if (this.#stage < STAGE_LINGER) events.connectionClosed(this.#meta.listener, 'fault');
    this.#socket.destroy();
    this.#leave();
    relay?.sever();
  }

  // --- helpers

  #resolve(ends: Ends): ConnectionMeta {
    const { listener, shared } = this.#context;
    const { currentSnapshot, cilium } = shared.options;
    return resolveMeta(this.#id, ends, { options: listener, snapshot: currentSnapshot(), cilium });
  }

  #newSubject(): PolicySubject {
    const { listener, shared } = this.#context;
    const { currentSnapshot, cilium } = shared.options;
    return new PolicySubject(this.#meta, { currentSnapshot, identity: listener.identity, cilium });
  }

  #newLife(decision: Decision | null): RequestLife {
    const life = new RequestLife(this.#lifeContext(), this.#acceptedMs);
    life.judgedBy(this.#subject, decision);
    life.shadowDecision = decision === null ? null : this.#subject.shadowConnection();
    return life;
  }

  #lifeContext() {
    const { recorder, platform } = this.#context.shared.options;
    return { meta: this.#meta, recorder, clock: platform.clock, share: this.#share };
  }

  /** Whose connection it is, as far as it is known. */
  #holder(): AddressHolder {
    const { shares, options } = this.#context.shared;
    // Before its PROXY header it is nobody's, lest the sender's share be that of all behind it.
    const identity = this.#first.isProxyHeaderExpected
      ? NOT_KNOWN_YET
      : sourceIdentity(this.#meta, options.currentSnapshot());
    return shares.holders.of(identity, this.#meta.source);
  }

  #nowMs(): number {
    return this.#context.shared.options.platform.clock.nowMs();
  }
}
