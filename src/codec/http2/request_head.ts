/**
 * hot path
 *
 * One accepted HTTP/2 request head: what policy judges, and what is sent upstream. Its strings are
 * those of the HPACK table wherever a field was repeated, its bytes those of an earlier request.
 */
import { applyMutations, type HeaderMutation, NO_MUTATIONS } from '../../model/decision.ts';
import { isFixedField } from '../../model/field_alias.ts';
import {
  HOP_FIELDS,
  type HttpVersion,
  joinField,
  type RequestHead,
} from '../../model/request_head.ts';
import { isFieldValue } from '../http1/syntax.ts';
import { isSettableName, KIND_NEVER_INDEXED, nameCode } from './field_kind.ts';
import type { FieldSource } from './frame_writer.ts';

/** What `request_rules.ts` found out. */
export interface Http2RequestFacts {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** Normalised. */
  readonly path: string;
  readonly methodBytes: Uint8Array;
  readonly authorityBytes: Uint8Array;
  readonly pathBytes: Uint8Array;
  readonly redirectTo: string;
  readonly isGrpc: boolean;
  readonly contentLength: number;
  readonly expectsContinue: boolean;
  readonly byteLength: number;
  /** Flat, the four pseudo-fields first, as they are to be sent. */
  readonly sent: readonly string[];
  /** By field. */
  readonly kinds: readonly number[];
}

/** Elements of the pseudo-fields :method, :scheme, :authority and :path. */
const PSEUDO_ELEMENTS = 8;

export class Http2RequestHead implements RequestHead {
  readonly version: HttpVersion = 'HTTP/2';
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly methodBytes: Uint8Array;
  readonly authorityBytes: Uint8Array;
  readonly pathBytes: Uint8Array;
  /** Where the client is sent because its path held %2F or %5C; '' when it held none. */
  readonly redirectTo: string;
  /** Content type application/grpc, with or without a suffix. */
  readonly isGrpc: boolean;
  /** -1 when the client did not say. */
  readonly contentLength: number;
  /** The client waits for 100 (Continue) before its content. */
  readonly expectsContinue: boolean;
  /** Of the field list, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  readonly byteLength: number;
  readonly #sent: readonly string[];
  readonly #kinds: readonly number[];
  #fields: readonly string[] | null = null;

  constructor(facts: Http2RequestFacts) {
    this.method = facts.method;
    this.scheme = facts.scheme;
    this.authority = facts.authority;
    this.path = facts.path;
    this.methodBytes = facts.methodBytes;
    this.authorityBytes = facts.authorityBytes;
    this.pathBytes = facts.pathBytes;
    this.redirectTo = facts.redirectTo;
    this.isGrpc = facts.isGrpc;
    this.contentLength = facts.contentLength;
    this.expectsContinue = facts.expectsContinue;
    this.byteLength = facts.byteLength;
    this.#sent = facts.sent;
    this.#kinds = facts.kinds;
  }

  field(name: string): string | null {
    return joinField(this.fields(), name);
  }

  fields(): readonly string[] {
    this.#fields ??= this.#sent.slice(PSEUDO_ELEMENTS);
    return this.#fields;
  }

  /**
   * The head as it goes upstream, after `mutations`. Null when one of them names the host or a framing
   * field, or holds what no field may hold: such a rule cannot be enforced, so nothing may be sent.
   * Those that name a field of the hop do nothing, as for HTTP/1.1.
   */
  source(mutations: readonly HeaderMutation[] = NO_MUTATIONS): FieldSource | null {
    if (mutations.length === 0) return { fields: this.#sent, kinds: this.#kinds, from: 0 };
    const applied = mutations.filter(({ name }) => !HOP_FIELDS.has(name));
    if (!applied.every(isEnforceable)) return null;
    const pseudo = this.#sent.slice(0, PSEUDO_ELEMENTS);
    const fields = [...pseudo, ...applyMutations(this.fields(), applied)];
    return { fields, kinds: this.#kindsOf(fields), from: 0 };
  }

  /** A name that came never-indexed once stays so, whatever became of its lines. */
  #kindsOf(fields: readonly string[]): number[] {
    const secretNames = new Set<string>();
    this.#kinds.forEach((kind, i) => {
      if ((kind & KIND_NEVER_INDEXED) !== 0) secretNames.add(this.#sent[2 * i] as string);
    });
    const kinds: number[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] as string;
      kinds.push(nameCode(name) | (secretNames.has(name) ? KIND_NEVER_INDEXED : 0));
    }
    return kinds;
  }
}

function isEnforceable({ kind, name, value }: HeaderMutation): boolean {
  return isSettableName(name) && !isFixedField(name) && (kind === 'delete' || isFieldValue(value));
}
