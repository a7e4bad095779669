/**
 * The first bytes of a connection, until it is known what is spoken on it: the PROXY header (when the listener
 * wants one), the protocol, and the ClientHello of TLS. What comes is kept here until a relay takes it over.
 *
 *     proxy-header ──► protocol ──┬─► http1, http2, other
 *                                 └─► hello ──► hello
 *
 * The owner acts on each step and asks on, or not. No cut of the stream changes a step, and each byte is kept once.
 */
import { type DetectedProtocol, detectProtocol } from '../../codec/detect.ts';
import { GrowingBytes } from '../../codec/growing_bytes.ts';
import { type ProxyHeader, parseProxyHeader } from '../../codec/proxy_protocol.ts';
import { type ClientHello, ClientHelloReader } from '../../codec/tls_hello.ts';
import type { Cause } from '../../model/fault_detail.ts';
import type { Limits } from '../../model/limits.ts';

export type FirstStep =
  | { readonly kind: 'need-more' }
  | Exclude<ProxyHeader, { kind: 'need-more' | 'malformed' }>
  | { readonly kind: 'protocol'; readonly protocol: Exclude<DetectedProtocol, 'need-more' | 'tls'> }
  /** Of so many bytes, headers of records included; more may follow. */
  | (Extract<ClientHello, { kind: 'hello' }> & { readonly byteLength: number })
  | { readonly kind: 'malformed'; readonly cause: Cause };

type Expected = 'proxy-header' | 'protocol' | 'hello' | 'nothing';

const NEED_MORE: FirstStep = Object.freeze({ kind: 'need-more' });

export class FirstBytes {
  readonly #limits: Limits;
  readonly #bytes = new GrowingBytes();
  #expected: Expected;
  #hello: ClientHelloReader | null = null;

  constructor(limits: Limits, options: { readonly isProxyHeaderExpected: boolean }) {
    this.#limits = limits;
    this.#expected = options.isProxyHeaderExpected ? 'proxy-header' : 'protocol';
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  get isProxyHeaderExpected(): boolean {
    return this.#expected === 'proxy-header';
  }

  append(chunk: Buffer): void {
    this.#bytes.append(chunk);
  }

  /** What the bytes so far say, one step at a time; need-more when they say no more than was told. */
  next(): FirstStep {
    switch (this.#expected) {
      case 'proxy-header':
        return this.#readProxyHeader();
      case 'protocol':
        return this.#detect();
      case 'hello':
        return this.#readHello();
      case 'nothing':
        return NEED_MORE;
    }
  }

  /** All that was read, but for the PROXY header; nothing is kept. */
  take(): Buffer {
    this.#expected = 'nothing';
    return this.#bytes.take();
  }

  #readProxyHeader(): FirstStep {
    const header = parseProxyHeader(this.#bytes.view(), this.#limits.proxyProtocolBytesMax);
    if (header.kind === 'need-more') return NEED_MORE;
    if (header.kind === 'malformed') return this.#malformed(header.cause);
    const rest = this.#bytes.take().subarray(header.byteLength);
    if (rest.length > 0) this.#bytes.append(rest);
    this.#expected = 'protocol';
    return header;
  }

  #detect(): FirstStep {
    const protocol = detectProtocol(this.#bytes.view());
    if (protocol === 'need-more') return NEED_MORE;
    if (protocol === 'tls') {
      this.#expected = 'hello';
      return this.#readHello();
    }
    this.#expected = 'nothing';
    return { kind: 'protocol', protocol };
  }

  #readHello(): FirstStep {
    this.#hello ??= new ClientHelloReader(this.#limits.detectBytesMax);
    const hello = this.#hello.read(this.#bytes.view());
    if (hello.kind === 'malformed') return this.#malformed(hello.cause);
    if (hello.kind === 'need-more') return NEED_MORE;
    this.#expected = 'nothing';
    return { ...hello, byteLength: this.#hello.byteLength };
  }

  #malformed(cause: Cause): FirstStep {
    this.#expected = 'nothing';
    return { kind: 'malformed', cause };
  }
}
