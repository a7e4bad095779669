/**
 * The stage between accept and a relay. It reads the PROXY header, finds out who the two sides are and which protocol
 * is spoken, reads the ClientHello, and judges the connection before its first request. Its bytes come from any
 * stream, so it can run again on the plaintext of a stream that was decrypted.
 *
 *     bytes ──► FirstBytes ──► step ──┬─► proxied: other ends, and with them another subject
 *                                     ├─► http1, http2: a relay
 *                                     ├─► hello: judged by its server name, passed through
 *                                     ├─► nothing that rules look at: passed through without waiting for a byte
 *                                     └─► refused, or answered and closed: the owner's to do
 */
import type { ConnectionMeta } from '../../model/connection_meta.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import { type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import type { Permit } from '../../model/permit.ts';
import type { CloseCause } from '../../model/record.ts';
import type { Stream } from '../../platform/stream.ts';
import { Http1Relay } from '../http1/relay.ts';
import { Http2Relay } from '../http2/relay.ts';
import { Admission } from '../judge/admission.ts';
import { isForAnyName, PolicySubject } from '../judge/policy_subject.ts';
import type { Guard } from '../plane/guard.ts';
import type { AddressHolder, Share } from '../plane/holders.ts';
import type { ListenerOptions } from '../plane/options.ts';
import type { Plane } from '../plane/plane.ts';
import type { Relay, RelayContext } from '../request/relay.ts';
import type { RequestLife } from '../request/request_life.ts';
import { type Ends, resolveMeta, sourceIdentity } from '../resolve/resolve.ts';
import { Passthrough } from '../tls/passthrough.ts';
import { FirstBytes, type FirstStep } from './first_bytes.ts';

/** No client is of it: unknown ones are world. */
const NOT_KNOWN_YET = RESERVED_IDENTITIES.unknown as Identity;

/** What comes of the opening; its owner does what is to be done to the connection. */
export interface OpeningOwner {
  /** From now on the bytes are the relay's, those that were read included: `first`. */
  relayed(relay: Relay, first: Buffer): void;
  /** One record, and not a byte to anybody. */
  refused(fault: Fault | null, decision: Decision | null, cause: Cause | null): void;
  answered(fault: Fault, cause: CloseCause): void;
  /** It is another's since its PROXY header was read. */
  holderChanged(): void;
  newLife(decision: Decision | null): RequestLife;
  closed(cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void;
}

export interface OpeningOptions {
  /** Unique in the process. */
  readonly connectionId: number;
  readonly ends: Ends;
  readonly listener: ListenerOptions;
  readonly plane: Plane;
  readonly share: Share;
  readonly guard: Guard;
  readonly owner: OpeningOwner;
  /** Asked for once a relay is made: until then it may not be there. */
  readonly downstream: () => Stream;
}

export class Opening {
  readonly #options: OpeningOptions;
  readonly #first: FirstBytes;
  #subject: PolicySubject;
  #admission: Admission;
  #isOver = false;

  constructor(options: OpeningOptions) {
    const { listener, plane } = options;
    this.#options = options;
    this.#subject = this.#newSubject(options.ends);
    this.#admission = new Admission(this.#subject, plane.options.behaviour.isDryRun);
    this.#first = new FirstBytes(plane.options.limits, {
      isProxyHeaderExpected: listener.destination.kind === 'proxy-protocol',
    });
  }

  get meta(): ConnectionMeta {
    return this.#subject.meta;
  }

  get subject(): PolicySubject {
    return this.#subject;
  }

  get isDryRun(): boolean {
    return this.#admission.isDryRun;
  }

  /** Kept until a relay takes them over. */
  get byteLength(): number {
    return this.#first.byteLength;
  }

  get isProxyHeaderExpected(): boolean {
    return this.#first.isProxyHeaderExpected;
  }

  /** Whose connection it is, as far as it is known. */
  holder(): AddressHolder {
    const { shares, options } = this.#options.plane;
    // Before its PROXY header it is nobody's, lest the sender's share be that of all behind it.
    const identity = this.isProxyHeaderExpected
      ? NOT_KNOWN_YET
      : sourceIdentity(this.meta, options.currentSnapshot());
    return shares.holders.of(identity, this.meta.source);
  }

  onData(chunk: Buffer): void {
    this.#first.append(chunk);
    // Each step may end this stage.
    while (!this.#isOver && this.#takeStep(this.#first.next()));
  }

  /** Nothing is kept, and no step is taken any more. */
  end(): void {
    this.#isOver = true;
    this.#first.take();
  }

  /**
   * What no server name could change is refused without waiting for a byte. What came by the kernel's redirect and is
   * judged by its ends alone is passed through as if the kernel had: its server may be the first to speak. The kernel
   * sends such connections here where it does not know who has the name of a rule (`toFQDNs`).
   */
  judgeEarly(): void {
    if (this.isProxyHeaderExpected) return;
    const { listener, plane, owner } = this.#options;
    const isForwarded = listener.upstream.kind === 'original-destination';
    if (listener.direction === 'by-record' && this.meta.recorded === null) {
      owner.refused('no-redirect-record', null, null);
      return;
    }
    if (isForwarded && plane.ownAddresses.has(this.meta.upstream)) {
      owner.refused('no-destination', null, null);
      return;
    }
    const decision = this.#subject.judgeConnection();
    const denial = this.#admission.denialOf(decision);
    if (denial !== null && isForAnyName(denial)) {
      owner.refused(null, denial, null);
    } else if (listener.direction === 'by-record' && decision.verdict === 'allow') {
      if (this.#subject.isPlain) this.#passPlain(decision);
    }
  }

  /** False: nothing more can be told before further bytes come. */
  #takeStep(step: FirstStep): boolean {
    switch (step.kind) {
      case 'need-more':
        return false;
      case 'malformed':
        this.#options.owner.refused(step.cause.fault, null, step.cause);
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
    const { listener, owner } = this.#options;
    if (header.kind === 'proxied') {
      const { source, destination } = header;
      this.#subject = this.#newSubject({ source, destination, record: null });
      this.#admission = new Admission(this.#subject, this.isDryRun);
      // Until here it was the sender's of the header.
      owner.holderChanged();
    } else if (listener.upstream.kind === 'original-destination') {
      // LOCAL names no original destination, so there is nowhere to go.
      owner.refused('no-destination', null, null);
      return;
    }
    this.judgeEarly();
  }

  #startProtocol(protocol: 'http1' | 'http2' | 'other'): void {
    const { owner } = this.#options;
    // Without TLS there is no server name to wait for. Who is refused is told nothing, not even 400.
    const denial = this.#admission.denialOf(this.#subject.judgeConnection());
    if (denial !== null) {
      owner.refused(null, denial, null);
      return;
    }
    switch (protocol) {
      case 'http1':
        this.#hand(new Http1Relay(this.#relayContext()));
        return;
      case 'http2':
        this.#hand(new Http2Relay(this.#relayContext()));
        return;
      default:
        owner.answered('unknown-protocol', 'fault');
    }
  }

  #takeHello({ serverName, byteLength }: Extract<FirstStep, { kind: 'hello' }>): void {
    this.#subject.serverName = serverName;
    const decision = this.#subject.judgeOpaque();
    const permit = this.#admission.permitFor(decision);
    if (permit === null) this.#options.owner.refused(null, decision, null);
    else this.#passThrough(decision, permit, byteLength);
  }

  #passPlain(decision: Decision): void {
    const permit = this.#admission.permitFor(decision);
    if (permit !== null) this.#passThrough(decision, permit, null);
  }

  #passThrough(decision: Decision, permit: Permit, helloByteLength: number | null): void {
    const life = this.#options.owner.newLife(decision);
    life.isDryRun = permit.isDryRun;
    const context = this.#relayContext();
    this.#hand(new Passthrough({ ...context, permit, life, helloByteLength }));
  }

  #hand(relay: Relay): void {
    this.#isOver = true;
    this.#options.owner.relayed(relay, this.#first.take());
  }

  #relayContext(): RelayContext {
    const { plane, share, guard, owner, downstream } = this.#options;
    const { recorder, platform } = plane.options;
    return {
      meta: this.meta,
      recorder,
      clock: platform.clock,
      share,
      plane,
      downstream: downstream(),
      subject: this.#subject,
      admission: this.#admission,
      guard,
      onClose: (cause, how) => owner.closed(cause, how),
    };
  }

  #newSubject(ends: Ends): PolicySubject {
    const { connectionId, listener, plane } = this.#options;
    const { currentSnapshot, cilium } = plane.options;
    const snapshot = currentSnapshot();
    const meta = resolveMeta(connectionId, ends, { options: listener, snapshot, cilium });
    return new PolicySubject(meta, { currentSnapshot, identity: listener.identity, cilium });
  }
}
