/**
 * hot path
 *
 * Decoded fields → a request head, or what is wrong (RFC 9113 8.2, 8.3). A malformed request is never
 * seen by policy. As strict as HTTP/1.1 and by the same grammars, so that one logical request has
 * one verdict whichever version asked.
 */
import { Cause, causeOf } from '../../model/fault_detail.ts';
import type { UnderscoreAction } from '../../model/field_alias.ts';
import type { Limits } from '../../model/limits.ts';
import type { PathParameterAction } from '../../model/path_parameters.ts';
import { isGrpcType } from '../grpc/content_type.ts';
import { hasPathParameter } from '../hidden_dots.ts';
import { hostCause, isHost } from '../http1/host.ts';
import { isToken, latin1 } from '../http1/syntax.ts';
import { normalisePath, pathCause, pathOf } from '../path.ts';
import { LENGTH_MALFORMED, LENGTH_UNKNOWN, parseContentLength } from './content_length.ts';
import { fieldCause } from './field_cause.ts';
import {
  KIND_AUTHORITY,
  KIND_BAD_VALUE,
  KIND_CODE_MASK,
  KIND_CONNECTION_SPECIFIC,
  KIND_CONTENT_LENGTH,
  KIND_CONTENT_TYPE,
  KIND_COOKIE,
  KIND_EXPECT,
  KIND_HOST,
  KIND_MALFORMED,
  KIND_METHOD,
  KIND_PATH,
  KIND_PSEUDO_MAX,
  KIND_SCHEME,
  KIND_TE,
  KIND_UNKNOWN_PSEUDO,
} from './field_kind.ts';
import type { HpackDecoder } from './hpack_decoder.ts';
import { Http2RequestHead } from './request_head.ts';

export interface RequestRuleOptions {
  readonly limits: Limits;
  readonly isPathNormalised: boolean;
  /** By default allow. */
  readonly underscores?: UnderscoreAction;
  /** By default kept. */
  readonly pathParameters?: PathParameterAction;
}

/** What is known of a path that was seen before on the connection. */
interface KnownPath {
  /** Normalised. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly redirectTo: string;
}

/** Paths remembered on a connection, and the longest that is. */
const KNOWN_PATH_COUNT_MAX = 16;
const KNOWN_PATH_LENGTH_MAX = 256;

export class RequestRules {
  readonly #options: RequestRuleOptions;
  readonly #knownPaths = new Map<string, KnownPath>();
  #knownAuthority = '';
  #authorityBytes: Buffer = NO_BYTES;

  // Of the head being read. Empty means absent: no pseudo-field may be empty.
  #method = '';
  #scheme = '';
  #authority = '';
  #path = '';
  #host: string | null = null;
  #contentLength = LENGTH_UNKNOWN;
  #cookieCount = 0;
  #expectCount = 0;
  #isGrpc = false;
  #contentTypeCount = 0;

  constructor(options: RequestRuleOptions) {
    this.#options = options;
  }

  /** `decoder` has just decoded the head; its arrays are kept. */
  read(decoder: HpackDecoder): Http2RequestHead | Cause {
    this.#method = '';
    this.#scheme = '';
    this.#authority = '';
    this.#path = '';
    this.#host = null;
    this.#contentLength = LENGTH_UNKNOWN;
    this.#cookieCount = 0;
    this.#expectCount = 0;
    this.#isGrpc = false;
    this.#contentTypeCount = 0;
    const { fields, kinds } = decoder;
    let pseudoCount = 0;
    for (let i = 0; i < kinds.length; i++) {
      const kind = kinds[i] as number;
      const code = kind & KIND_CODE_MASK;
      const isPseudo = code <= KIND_PSEUDO_MAX || code === KIND_UNKNOWN_PSEUDO;
      if (isPseudo && pseudoCount !== i) return causeOf('pseudo-late');
      const value = fields[2 * i + 1] as string;
      if ((kind & KIND_BAD_VALUE) !== 0) {
        return isPseudo ? pseudoValueCause(code, value) : fieldCause(decoder, i);
      }
      if (isPseudo) {
        if (!this.#readPseudo(code, value)) return pseudoCause(code, value);
        pseudoCount++;
      } else if (isForbidden(code, value)) {
        return fieldCause(decoder, i);
      } else {
        const cause = this.#readField(code, value);
        if (cause !== null) return cause;
      }
    }
    return this.#finish(decoder, pseudoCount);
  }

  /** False for a duplicate, an empty or an unknown one. */
  #readPseudo(code: number, value: string): boolean {
    if (value === '') return false;
    switch (code) {
      case KIND_METHOD:
        if (this.#method !== '') return false;
        this.#method = value;
        return true;
      case KIND_SCHEME:
        if (this.#scheme !== '') return false;
        this.#scheme = value;
        return true;
      case KIND_AUTHORITY:
        if (this.#authority !== '') return false;
        this.#authority = value;
        return true;
      case KIND_PATH:
        if (this.#path !== '') return false;
        this.#path = value;
        return true;
      default:
        // :protocol too: extended CONNECT (RFC 8441) is not offered, so nobody may use it.
        return false;
    }
  }

  #readField(code: number, value: string): Cause | null {
    switch (code) {
      case KIND_HOST:
        if (this.#host !== null) return causeOf('host-repeated');
        this.#host = value;
        return null;
      case KIND_CONTENT_LENGTH:
        if (this.#contentLength !== LENGTH_UNKNOWN) return causeOf('length-repeated');
        this.#contentLength = parseContentLength(value);
        return this.#contentLength === LENGTH_MALFORMED ? causeOf('length-form') : null;
      case KIND_CONTENT_TYPE:
        // As for HTTP/1.1, the first one tells.
        this.#isGrpc = this.#contentTypeCount === 0 ? isGrpcType(value) : this.#isGrpc;
        this.#contentTypeCount++;
        return null;
      case KIND_COOKIE:
        this.#cookieCount++;
        return null;
      case KIND_EXPECT:
        this.#expectCount++;
        return this.#expectCount === 1 && value.toLowerCase() === '100-continue'
          ? null
          : causeOf('expectation-unknown');
      default:
        return null;
    }
  }

  #finish(decoder: HpackDecoder, pseudoCount: number): Http2RequestHead | Cause {
    const method = this.#method;
    if (method === 'CONNECT') return causeOf('method-connect');
    const isWhole = method !== '' && this.#scheme !== '' && this.#path !== '';
    if (!isWhole) return causeOf('pseudo-missing');
    if (method !== 'GET' && method !== 'POST') {
      const wrong = methodCause(method, this.#options.limits.methodBytesMax);
      if (wrong !== null) return wrong;
    }
    // Others have no reading here: what an ftp: or file: request means is nobody's guess.
    if (this.#scheme !== 'http' && this.#scheme !== 'https') return causeOf('pseudo-value');
    const authority = this.#authority === '' ? (this.#host ?? '') : this.#authority;
    if (this.#host !== null && this.#host !== authority) return causeOf('host-differs');
    if (!this.#isKnownHost(authority)) {
      const isThere = this.#host !== null || authority !== '';
      return isThere ? authorityCause(authority) : causeOf('host-missing');
    }
    const path = this.#readPath(this.#path);
    if (path instanceof Cause) return path;
    const underscores = this.#options.underscores ?? 'allow';
    const areUnderscoresDropped = underscores !== 'allow' && hasUnderscoreName(decoder.fields);
    if (areUnderscoresDropped && underscores === 'refuse') return causeOf('field-name-underscore');
    const reading = { authority, path: path.path, pseudoCount, areUnderscoresDropped };
    const sent = this.#sent(decoder, reading);
    return new Http2RequestHead({
      method,
      scheme: this.#scheme,
      authority,
      path: path.path,
      methodBytes: METHOD_BYTES.get(method) ?? Buffer.from(method, 'latin1'),
      authorityBytes: this.#authorityBytes,
      pathBytes: path.bytes,
      redirectTo: path.redirectTo,
      isGrpc: this.#isGrpc,
      contentLength: this.#contentLength,
      expectsContinue: this.#expectCount > 0,
      byteLength: decoder.listBytes,
      sent: sent.fields,
      kinds: sent.kinds,
    });
  }

  #isKnownHost(authority: string): boolean {
    if (authority === this.#knownAuthority && authority !== '') return true;
    const bytes = Buffer.from(authority, 'latin1');
    if (!isHost(bytes, 0, bytes.length)) return false;
    this.#knownAuthority = authority;
    this.#authorityBytes = bytes;
    return true;
  }

  #readPath(path: string): KnownPath | Cause {
    const known = this.#knownPaths.get(path);
    if (known !== undefined) return known;
    if (path.length > this.#options.limits.targetBytesMax) return causeOf('target-too-long');
    if (path === '*') return this.#method === 'OPTIONS' ? ASTERISK : causeOf('target-asterisk');
    const bytes = Buffer.from(path, 'latin1');
    const normalised = normalisePath(bytes);
    if (normalised.kind === 'malformed') return pathCause(bytes, 0, bytes.length);
    if (this.#options.pathParameters === 'refuse') {
      if (hasPathParameter(pathOf(bytes, 0, bytes.length))) return causeOf('path-parameter');
    }
    let read: KnownPath = { path, bytes, redirectTo: '' };
    if (this.#options.isPathNormalised) {
      if (normalised.kind === 'redirect') read = redirectedPath(normalised.path);
      else if (normalised.kind === 'changed') read = changedPath(normalised.path);
    }
    if (path.length <= KNOWN_PATH_LENGTH_MAX) {
      if (this.#knownPaths.size === KNOWN_PATH_COUNT_MAX) this.#knownPaths.clear();
      this.#knownPaths.set(path, read);
    }
    return read;
  }

  /** The fields as they go upstream: those received when they are already in that form. */
  #sent(
    decoder: HpackDecoder,
    read: {
      readonly authority: string;
      readonly path: string;
      readonly pseudoCount: number;
      readonly areUnderscoresDropped: boolean;
    },
  ): { readonly fields: readonly string[]; readonly kinds: readonly number[] } {
    const isAsReceived =
      this.#host === null &&
      this.#cookieCount < 2 &&
      read.pseudoCount === 4 &&
      !read.areUnderscoresDropped &&
      read.path === this.#path;
    if (isAsReceived) return decoder;
    const fields = [':method', this.#method, ':scheme', this.#scheme];
    fields.push(':authority', read.authority, ':path', read.path);
    const kinds = [KIND_METHOD, KIND_SCHEME, KIND_AUTHORITY, KIND_PATH];
    let cookieAt = -1;
    for (let i = read.pseudoCount; i < decoder.kinds.length; i++) {
      const kind = decoder.kinds[i] as number;
      const code = kind & KIND_CODE_MASK;
      const value = decoder.fields[2 * i + 1] as string;
      if (code === KIND_HOST) continue;
      const name = decoder.fields[2 * i] as string;
      if (read.areUnderscoresDropped && name.includes('_')) continue;
      if (code === KIND_COOKIE && cookieAt !== -1) {
        // RFC 9113 8.2.3: crumbs of one cookie string.
        fields[cookieAt] = `${fields[cookieAt] as string}; ${value}`;
        continue;
      }
      if (code === KIND_COOKIE) cookieAt = fields.length + 1;
      fields.push(name, value);
      kinds.push(kind);
    }
    return { fields, kinds };
  }
}

const NO_BYTES: Buffer = Buffer.alloc(0);

const METHOD_BYTES: ReadonlyMap<string, Buffer> = new Map(
  ['GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS'].map((name) => [
    name,
    Buffer.from(name),
  ]),
);

const ASTERISK: KnownPath = { path: '*', bytes: Buffer.from('*'), redirectTo: '' };

/** RFC 9113 8.2.1, 8.2.2: in no request, or in none with this value. */
function isForbidden(code: number, value: string): boolean {
  if (code === KIND_TE) return value !== 'trailers';
  return code === KIND_CONNECTION_SPECIFIC || code === KIND_MALFORMED;
}

/** Why a pseudo-field was not taken. */
function pseudoCause(code: number, value: string): Cause {
  if (code > KIND_SCHEME) return causeOf('pseudo-unknown');
  return causeOf(value === '' ? 'pseudo-empty' : 'pseudo-repeated');
}

/** A value that no field may have. */
function pseudoValueCause(code: number, value: string): Cause {
  if (code === KIND_AUTHORITY) return authorityCause(value);
  if (code !== KIND_PATH) return causeOf('pseudo-value');
  const bytes = Buffer.from(value, 'latin1');
  return pathCause(bytes, 0, bytes.length);
}

function authorityCause(authority: string): Cause {
  const bytes = Buffer.from(authority, 'latin1');
  return hostCause(bytes, 0, bytes.length);
}

function methodCause(method: string, bytesMax: number): Cause | null {
  if (method.length > bytesMax) return causeOf('method-too-long');
  return isToken(method) ? null : causeOf('pseudo-value');
}

function changedPath(bytes: Buffer): KnownPath {
  return { path: latin1(bytes, 0, bytes.length), bytes, redirectTo: '' };
}

/** As for HTTP/1.1, policy judges the path that the client would be sent to. */
function redirectedPath(path: string): KnownPath {
  return { path, bytes: Buffer.from(path, 'latin1'), redirectTo: path };
}

function hasUnderscoreName(fields: readonly string[]): boolean {
  return fields.some((text, i) => i % 2 === 0 && text.includes('_'));
}
