/**
 * hot path
 *
 * A connection whose bytes are passed through as they are: TLS whose server name was judged, on a port without HTTP
 * rules; and whatever is said where the rules look at addresses and ports alone. One record for the whole connection.
 */
import { TlsRetryWatch } from '../../codec/tls_retry.ts';
import type { Decision } from '../../model/decision.ts';
import type { Fault } from '../../model/fault.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { Permit } from '../../model/permit.ts';
import type { CloseCause } from '../../model/record.ts';
import { CUT_CAUSES, type CutFault, type Relay, type RelayContext } from '../request/relay.ts';
import type { RequestLife } from '../request/request_life.ts';
import { expiredFault } from '../request/timeouts.ts';
import { Tunnel } from '../transport/tunnel.ts';
import { type UpstreamEvents, UpstreamLink } from '../transport/upstream_link.ts';

export interface PassthroughOptions extends RelayContext {
  readonly permit: Permit;
  /** Of the whole connection. */
  readonly life: RequestLife;
  /** Of the hello that was judged, with which its bytes begin; null: nobody looks at its bytes. */
  readonly helloByteLength: number | null;
}

export class Passthrough implements Relay, UpstreamEvents {
  readonly name: 'tls' | 'plain';
  readonly #options: PassthroughOptions;
  readonly #upstream: UpstreamLink;
  readonly #tunnel: Tunnel;
  /** Null with --dry-run: nothing is refused, whatever the hellos name; and where nobody looks. */
  readonly #watch: TlsRetryWatch | null;
  #lastMoveMs: number;
  /** Judged: not for the watch. */
  #helloBytesLeft: number;
  #isOver = false;

  constructor(options: PassthroughOptions) {
    const { life, subject, guard } = options;
    const { limits } = options.plane.options;
    this.#options = options;
    const { helloByteLength } = options;
    this.name = helloByteLength === null ? 'plain' : 'tls';
    this.#helloBytesLeft = helloByteLength ?? 0;
    this.#watch =
      helloByteLength === null || options.admission.isDryRun
        ? null
        : new TlsRetryWatch(subject.serverName, limits.detectBytesMax);
    this.#lastMoveMs = this.#nowMs();
    this.#upstream = new UpstreamLink(options.permit, options.meta, {
      sockets: options.plane.options.sockets,
      events: this,
      nowMs: this.#lastMoveMs,
      bufferBytesMax: limits.bufferBytesMax,
      readMemory: options.plane.readMemory,
      guard,
      currentSnapshot: options.plane.options.currentSnapshot,
    });
    this.#tunnel = new Tunnel(options.downstream, this.#upstream.socket, {
      guard,
      events: {
        onBytes: (fromDownstream, fromUpstream) => life.passed(fromDownstream, fromUpstream),
        onEnd: (isFailure) => this.#finish(null, 'finished', isFailure ? 'reset' : 'linger'),
      },
    });
  }

  onDownstreamData(chunk: Buffer): void {
    this.#lastMoveMs = this.#nowMs();
    if (this.#helloBytesLeft > 0) {
      const hello = chunk.subarray(0, this.#helloBytesLeft);
      this.#helloBytesLeft -= hello.length;
      this.#tunnel.fromDownstream(hello);
      if (chunk.length > hello.length) this.onDownstreamData(chunk.subarray(hello.length));
      return;
    }
    const watch = this.#watch;
    if (watch === null || watch.isOver) {
      this.#tunnel.fromDownstream(chunk);
      return;
    }
    const result = watch.fromClient(chunk);
    if (result.kind === 'malformed') this.#refuse(result.cause.fault, result.cause);
    else if (result.kind === 'renamed') this.#refuse('server-name-changed');
    else if (result.bytes.length > 0) this.#tunnel.fromDownstream(result.bytes);
  }

  onDownstreamDrain(): void {}

  onDownstreamEnd(): void {
    this.#tunnel.downstreamEnded();
  }

  onDownstreamGone(): void {
    this.#tunnel.fail();
  }

  /** Before a byte is sent: by the rules that are in force by now. */
  onUpstreamConnected(): void {
    this.#countConnect('connected');
    const { admission, life } = this.#options;
    const denial = admission.denialOf(this.judgeOpen());
    if (denial === null) life.responseSource = 'upstream';
    else this.reject(denial);
  }

  onUpstreamData(chunk: Buffer): void {
    this.#lastMoveMs = this.#nowMs();
    this.#watch?.fromServer(chunk);
    this.#tunnel.fromUpstream(chunk);
  }

  onUpstreamDrain(): void {}

  onUpstreamEnd(): void {
    this.#tunnel.upstreamEnded();
  }

  onUpstreamFailed(cause: Cause | null): void {
    if (this.#upstream.isConnected) {
      this.#tunnel.fail();
    } else {
      this.#countConnect('failed');
      this.#refuse('connect-failed', cause);
    }
  }

  expire(nowMs: number): void {
    const times = {
      startedMs: this.#options.life.startedMs,
      connectingSinceMs: this.#upstream.isConnected ? null : this.#upstream.startedMs,
      isContentTooSlow: false,
      isHalfClosed: false,
      lastMoveMs: this.#lastMoveMs,
    };
    const { limits } = this.#options.plane.options;
    const fault = expiredFault(times, nowMs, { ...limits, requestTimeoutMs: 0 });
    if (fault === null) return;
    if (fault === 'connect-timeout') this.#countConnect('timeout');
    this.#finish(fault, 'timeout', 'reset');
  }

  lasted(): void {}

  judgeOpen(): Decision {
    const { subject } = this.#options;
    return this.name === 'plain' ? subject.judgePlain() : subject.judgeOpaque();
  }

  reject(decision: Decision): boolean {
    const { life, subject } = this.#options;
    life.cutBy(subject, decision);
    this.#finish('policy-changed', 'policy-changed', 'reset');
    return true;
  }

  /** A tunnel cannot be asked to end; it is cut at the deadline. */
  drain(): void {}

  cut(fault: CutFault): void {
    this.#finish(fault, CUT_CAUSES[fault], 'destroy');
  }

  lastMoveMs(): number {
    return this.#lastMoveMs;
  }

  heldBytes(): number {
    return this.#upstream.socket.writableLength + (this.#watch?.heldBytes ?? 0);
  }

  abandon(): void {
    this.#finish('internal-error', 'fault', 'reset');
  }

  sever(): void {
    this.#upstream.reset();
  }

  /** Both sides are reset, and nothing more goes upstream; also for a client that changes the name that was judged. */
  #refuse(fault: Fault, cause: Cause | null = null): void {
    this.#options.life.cause = cause;
    this.#finish(fault, 'fault', 'reset');
  }

  #finish(fault: Fault | null, cause: CloseCause, how: 'linger' | 'reset' | 'destroy'): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.life.finish(fault);
    if (how === 'linger') this.#upstream.destroy();
    else this.#upstream.reset();
    this.#options.onClose(cause, how);
  }

  #countConnect(outcome: 'connected' | 'failed' | 'timeout'): void {
    const { meta, plane } = this.#options;
    const durationMs = this.#nowMs() - this.#upstream.startedMs;
    plane.options.recorder.events.upstreamConnected(meta.listener, outcome, durationMs);
  }

  #nowMs(): number {
    return this.#options.plane.options.platform.clock.nowMs();
  }
}
