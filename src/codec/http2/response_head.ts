/**
 * hot path
 *
 * One accepted HTTP/2 response head.
 */
import { joinField } from '../../model/request_head.ts';

export interface Http2ResponseFacts {
  readonly status: number;
  readonly contentLength: number;
  /** Flat, `:status` first. */
  readonly fields: readonly string[];
  readonly byteLength: number;
}

/** Elements of `:status`. */
const PSEUDO_ELEMENTS = 2;

export class Http2ResponseHead {
  readonly status: number;
  /** -1 when the upstream did not say. */
  readonly contentLength: number;
  /** 1xx: another head follows. */
  readonly isInformational: boolean;
  /** Of the field list, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly byteLength: number;
  readonly #sent: readonly string[];
  #fields: readonly string[] | null = null;

  constructor(facts: Http2ResponseFacts) {
    this.status = facts.status;
    this.contentLength = facts.contentLength;
    this.isInformational = facts.status < 200;
    this.byteLength = facts.byteLength;
    this.#sent = facts.fields;
  }

  /** Flat [name, value, ...] without `:status`. */
  fields(): readonly string[] {
    this.#fields ??= this.#sent.slice(PSEUDO_ELEMENTS);
    return this.#fields;
  }

  field(name: string): string | null {
    return joinField(this.#sent, name);
  }
}
