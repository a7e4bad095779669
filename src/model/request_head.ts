/**
 * What policy sees of a request, whichever protocol it came by. `codec/http1` and `codec/http2`
 * each have a lazy form; `plainHead` is the plain one for tools and tests.
 *
 * Strings are latin1 views of the bytes on the wire: one char a byte, so that a regex on bytes and
 * a comparison of strings see the same thing.
 */
export interface RequestHead {
  readonly version: HttpVersion;
  readonly method: string;
  readonly scheme: string;
  /** Host or :authority, as the client sent it, port included. */
  readonly authority: string;
  /** The request target in origin form after normalisation, query included: Envoy's `:path`. */
  readonly path: string;
  readonly methodBytes: Uint8Array;
  readonly authorityBytes: Uint8Array;
  readonly pathBytes: Uint8Array;
  /** By its content type, as the codec read it (codec/grpc/content_type.ts). */
  readonly isGrpc: boolean;
  /**
   * All values of the field `name` (lower case, never a pseudo-field) joined with ",", as Envoy
   * joins them before a match; null when the field is absent. A host line is not a field here.
   */
  field(name: string): string | null;
  /** Flat [name, value, name, value, ...] in order of arrival; no pseudo-fields, no host line. */
  fields(): readonly string[];
}

export type HttpVersion = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';

/** Fields of the hop, lower case: they never come from, and never go, by a rule. */
export const HOP_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'http2-settings',
  'expect',
]);

export interface PlainHead {
  readonly version?: HttpVersion;
  readonly method: string;
  readonly scheme?: string;
  readonly authority: string;
  readonly path: string;
  readonly isGrpc?: boolean;
  readonly fields?: readonly string[];
}

export function plainHead(from: PlainHead): RequestHead {
  return new PlainRequestHead(from);
}

/** `values` of one field joined as Envoy does, or null. Shared by every form of head. */
export function joinField(fields: readonly string[], name: string): string | null {
  let joined: string | null = null;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const fieldName = fields[i] as string;
    if (fieldName.length !== name.length) continue;
    if (fieldName !== name && fieldName.toLowerCase() !== name) continue;
    joined = joined === null ? (fields[i + 1] as string) : `${joined},${fields[i + 1] as string}`;
  }
  return joined;
}

/** One byte a char; chars above 0xff cannot come from the wire and are refused at the border. */
export function latin1Bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

class PlainRequestHead implements RequestHead {
  readonly version: HttpVersion;
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly path: string;
  readonly methodBytes: Uint8Array;
  readonly authorityBytes: Uint8Array;
  readonly pathBytes: Uint8Array;
  readonly isGrpc: boolean;
  readonly #fields: readonly string[];

  constructor(from: PlainHead) {
    this.version = from.version ?? 'HTTP/1.1';
    this.method = from.method;
    this.scheme = from.scheme ?? 'http';
    this.authority = from.authority;
    this.path = from.path;
    this.methodBytes = latin1Bytes(from.method);
    this.authorityBytes = latin1Bytes(from.authority);
    this.pathBytes = latin1Bytes(from.path);
    this.isGrpc = from.isGrpc ?? false;
    this.#fields = from.fields ?? [];
  }

  field(name: string): string | null {
    return joinField(this.#fields, name);
  }

  fields(): readonly string[] {
    return this.#fields;
  }
}
