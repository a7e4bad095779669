/**
 * What an HTTP/1.1 connection is after 101 (Switching Protocols): a tunnel, which belongs to the exchange that
 * asked for it. Until then there is none, and nothing is given to it.
 */
import type { Tunnel } from '../transport/tunnel.ts';
import type { Http1Exchange } from './exchange.ts';
import type { Http1Upstream } from './upstream.ts';

export interface SwitchedOptions {
  readonly upstream: Http1Upstream;
  /** Both sides have ended, or one has failed. */
  readonly onEnd: (isFailure: boolean) => void;
}

export class Switched {
  readonly #options: SwitchedOptions;
  #tunnel: Tunnel | null = null;

  constructor(options: SwitchedOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#tunnel !== null;
  }

  /** `held`: what the client sent ahead, on the strength of the answer that it hoped for. */
  open(exchange: Http1Exchange, held: Buffer, isDownstreamEnded: boolean): void {
    const { life } = exchange;
    const tunnel = this.#options.upstream.openTunnel({
      onBytes: (fromDownstream, fromUpstream) => life.passed(fromDownstream, fromUpstream),
      onEnd: (isFailure) => this.#end(exchange, isFailure),
    });
    if (tunnel === null) return;
    this.#tunnel = tunnel;
    if (held.length > 0) tunnel.fromDownstream(held);
    if (isDownstreamEnded) tunnel.downstreamEnded();
  }

  /** False: there is none. */
  fromDownstream(chunk: Buffer): boolean {
    this.#tunnel?.fromDownstream(chunk);
    return this.#tunnel !== null;
  }

  /** False: there is none. */
  downstreamEnded(): boolean {
    this.#tunnel?.downstreamEnded();
    return this.#tunnel !== null;
  }

  /** False: there is none. */
  fail(): boolean {
    this.#tunnel?.fail();
    return this.#tunnel !== null;
  }

  #end(exchange: Http1Exchange, isFailure: boolean): void {
    exchange.life.finish(null);
    if (!isFailure) exchange.isResponseComplete = true;
    this.#options.onEnd(isFailure);
  }
}
