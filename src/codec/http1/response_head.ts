/**
 * hot path
 *
 * One accepted response head. Fields of the upstream hop and those that its Connection nominates are
 * not to be seen here and are not sent downstream.
 */
import { joinField } from '../../model/request_head.ts';
import type { ResponseFraming } from './events.ts';
import { type SentLines, sentLines } from './field_lines.ts';
import { latin1 } from './syntax.ts';

export interface ResponseFacts {
  readonly raw: Buffer;
  readonly status: number;
  readonly reasonStart: number;
  readonly reasonEnd: number;
  readonly fieldsStart: number;
  readonly isHttp10: boolean;
  readonly isCanonical: boolean;
  readonly isLiberal: boolean;
  readonly framing: ResponseFraming;
  readonly contentLength: number;
  readonly isPersistent: boolean;
  readonly upgrade: string;
  /** As in the lines that are sent. */
  readonly connection: string;
  readonly sentContentLength: string | null;
  /** Transfer-Encoding is not sent. */
  readonly isCodingDropped: boolean;
  readonly isTrailerKept: boolean;
  readonly nominated: ReadonlySet<string>;
}

export class Http1ResponseHead {
  readonly status: number;
  readonly raw: Buffer;
  /** `raw` is what `serialiseResponseHead(head, { isClosing: false })` writes. */
  readonly isCanonical: boolean;
  readonly framing: ResponseFraming;
  /** -1 unless `framing` is 'length'. */
  readonly contentLength: number;
  /** The upstream keeps the connection after this response. */
  readonly isPersistent: boolean;
  /** 1xx but for 101: another head follows. */
  readonly isInformational: boolean;
  /** Of a 101, the protocol switched to, lower case; else ''. */
  readonly upgrade: string;
  readonly #facts: ResponseFacts;
  #lines: SentLines | null = null;

  constructor(facts: ResponseFacts) {
    this.status = facts.status;
    this.raw = facts.raw;
    this.isCanonical = facts.isCanonical;
    this.framing = facts.framing;
    this.contentLength = facts.contentLength;
    this.isPersistent = facts.isPersistent;
    this.isInformational = facts.status < 200 && facts.status !== 101;
    this.upgrade = facts.upgrade;
    this.#facts = facts;
  }

  get byteLength(): number {
    return this.raw.length;
  }

  /** It was read more liberally than a request would be. */
  get isLiberal(): boolean {
    return this.#facts.isLiberal;
  }

  get version(): 'HTTP/1.0' | 'HTTP/1.1' {
    return this.#facts.isHttp10 ? 'HTTP/1.0' : 'HTTP/1.1';
  }

  get reasonPhrase(): string {
    return latin1(this.raw, this.#facts.reasonStart, this.#facts.reasonEnd);
  }

  /** All values of the field joined with ","; `name` in lower case. */
  field(name: string): string | null {
    return joinField(this.fields(), name);
  }

  /** Flat [name, value, ...] in order of arrival. */
  fields(): readonly string[] {
    return this.#sentLines().fields;
  }

  /** The same with what is the hop's own: every line that goes downstream. */
  lines(): readonly string[] {
    return this.#sentLines().all;
  }

  #sentLines(): SentLines {
    if (this.#lines !== null) return this.#lines;
    const facts = this.#facts;
    this.#lines = sentLines(this.raw, facts.fieldsStart, {
      connection: facts.connection,
      contentLength: facts.sentContentLength,
      authority: null,
      isUpgradeKept: facts.upgrade !== '',
      isTrailerKept: facts.isTrailerKept,
      areUnderscoresDropped: false,
      isCodingDropped: facts.isCodingDropped,
      nominated: facts.nominated,
    });
    return this.#lines;
  }
}
