/**
 * hot path
 *
 * One accepted request head: what policy judges, and what is sent. Strings are made when they are
 * first asked for. Fields that Connection nominates and those of this hop are not to be seen here:
 * upstream will not see them either.
 */
import {
  type HttpVersion,
  joinField,
  latin1Bytes,
  type RequestHead,
} from '../../model/request_head.ts';
import type { RequestFraming } from './events.ts';
import { type SentLines, sentLines } from './field_lines.ts';
import { equalsText, latin1 } from './syntax.ts';

/** What `request_rules.ts` found out; offsets are into `raw`. */
export interface RequestFacts {
  readonly raw: Buffer;
  readonly methodEnd: number;
  /** Where the path lies in `raw`, unless `path` gives it. */
  readonly pathStart: number;
  readonly pathEnd: number;
  /** The path when it is not as it was read; else null. */
  readonly path: string | null;
  readonly redirectTo: string;
  readonly scheme: string;
  readonly authorityStart: number;
  readonly authorityEnd: number;
  readonly fieldsStart: number;
  readonly isHttp10: boolean;
  readonly isCanonical: boolean;
  readonly framing: RequestFraming;
  readonly contentLength: number;
  readonly isPersistent: boolean;
  readonly expectsContinue: boolean;
  readonly upgrade: string;
  readonly isUpgradeRefused: boolean;
  readonly isGrpc: boolean;
  /** There is a traceparent line. */
  readonly isTraced: boolean;
  readonly connection: string;
  readonly isTrailerKept: boolean;
  /** Lines whose name holds "_" are not sent, and not seen. */
  readonly areUnderscoresDropped: boolean;
  readonly nominated: ReadonlySet<string>;
}

export class Http1RequestHead implements RequestHead {
  #facts: RequestFacts;
  #method: string | null = null;
  #path: string | null;
  #authority: string | null = null;
  #lines: SentLines | null = null;

  constructor(facts: RequestFacts) {
    this.#facts = facts;
    this.#path = facts.path;
  }

  /** The head as it was read, its last CRLF CRLF included. */
  get raw(): Buffer {
    return this.#facts.raw;
  }

  /** For a request that lasts: `raw` becomes what `copyOf` makes of it. */
  keepAs(copyOf: (raw: Buffer) => Buffer): void {
    const raw = copyOf(this.raw);
    if (raw !== this.raw) this.#facts = { ...this.#facts, raw };
  }

  /** `raw` is what `serialiseRequestHead(head, NO_MUTATIONS)` writes: it may be sent as it is. */
  get isCanonical(): boolean {
    return this.#facts.isCanonical;
  }

  get framing(): RequestFraming {
    return this.#facts.framing;
  }

  /** -1 unless `framing` is 'length'. */
  get contentLength(): number {
    return this.#facts.contentLength;
  }

  /** The client wants the connection kept (RFC 9112 9.3). */
  get isPersistent(): boolean {
    return this.#facts.isPersistent;
  }

  /** The client waits for 100 (Continue) before its content. */
  get expectsContinue(): boolean {
    return this.#facts.expectsContinue;
  }

  /** The one protocol asked for, lower case, such as "websocket"; '' for a plain request. */
  get upgrade(): string {
    return this.#facts.upgrade;
  }

  /** A switch to a protocol was asked for of which no tunnel is offered. */
  get isUpgradeRefused(): boolean {
    return this.#facts.isUpgradeRefused;
  }

  /** Content type application/grpc, with or without a suffix. */
  get isGrpc(): boolean {
    return this.#facts.isGrpc;
  }

  /** Where the client is sent because its path held %2F or %5C; '' when it held none. */
  get redirectTo(): string {
    return this.#facts.redirectTo;
  }

  get version(): HttpVersion {
    return this.#facts.isHttp10 ? 'HTTP/1.0' : 'HTTP/1.1';
  }

  get byteLength(): number {
    return this.raw.length;
  }

  get method(): string {
    if (this.#method === null) this.#method = methodOf(this.raw, this.#facts.methodEnd);
    return this.#method;
  }

  /** "http", or the scheme of an absolute-form target. */
  get scheme(): string {
    return this.#facts.scheme;
  }

  get authority(): string {
    if (this.#authority === null)
      this.#authority = latin1(this.raw, this.#facts.authorityStart, this.#facts.authorityEnd);
    return this.#authority;
  }

  get path(): string {
    if (this.#path === null)
      this.#path = latin1(this.raw, this.#facts.pathStart, this.#facts.pathEnd);
    return this.#path;
  }

  get methodBytes(): Uint8Array {
    return this.raw.subarray(0, this.#facts.methodEnd);
  }

  get authorityBytes(): Uint8Array {
    return this.raw.subarray(this.#facts.authorityStart, this.#facts.authorityEnd);
  }

  get pathBytes(): Uint8Array {
    if (this.#facts.path !== null) return latin1Bytes(this.#facts.path);
    return this.raw.subarray(this.#facts.pathStart, this.#facts.pathEnd);
  }

  field(name: string): string | null {
    // Asked for each request that is logged, and most have none: no reason to make strings of all fields.
    if (name === 'traceparent' && !this.#facts.isTraced) return null;
    return joinField(this.fields(), name);
  }

  fields(): readonly string[] {
    return this.#sentLines().fields;
  }

  /** Flat [name, value, ...] of every line that goes upstream, Host and framing included. */
  lines(): readonly string[] {
    return this.#sentLines().all;
  }

  #sentLines(): SentLines {
    if (this.#lines !== null) return this.#lines;
    const facts = this.#facts;
    this.#lines = sentLines(this.raw, facts.fieldsStart, {
      connection: facts.connection,
      contentLength: facts.framing === 'length' ? String(facts.contentLength) : null,
      authority: this.authority,
      isUpgradeKept: facts.upgrade !== '',
      isTrailerKept: facts.isTrailerKept,
      areUnderscoresDropped: facts.areUnderscoresDropped,
      isCodingDropped: false,
      nominated: facts.nominated,
    });
    return this.#lines;
  }
}

/** The usual methods without making a string. */
function methodOf(raw: Buffer, end: number): string {
  for (const method of USUAL_METHODS) if (equalsText(raw, 0, end, method)) return method;
  return latin1(raw, 0, end);
}

const USUAL_METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS'];
