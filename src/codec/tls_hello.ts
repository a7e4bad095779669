/**
 * Server name and ALPN of a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301), for SNI rules.
 * Nothing is decrypted or answered. The hello may be spread over records (RFC 8446 5.1): they are
 * put together first, as a server would, so that no fragmentation hides the name from policy. Bytes are
 * looked at once each, in their order, so that no cut of the stream changes the answer or its cost.
 */
import { type Cause, causeOf, type Detail } from '../model/fault_detail.ts';
import { ByteCursor } from './byte_cursor.ts';
import { latin1 } from './http1/syntax.ts';

export type ClientHello =
  | { readonly kind: 'need-more' }
  /** `serverName` is lower case, '' when absent; `alpn` in the client's order. */
  | { readonly kind: 'hello'; readonly serverName: string; readonly alpn: readonly string[] }
  | { readonly kind: 'malformed'; readonly cause: Cause };

export const RECORD_HEADER_BYTES = 5;
export const HANDSHAKE_RECORD = 22;
export const HANDSHAKE_HEADER_BYTES = 4;
export const TLS_MAJOR = 3;
const RECORD_BYTES_MAX = 16_384;
const CLIENT_HELLO = 1;
const SESSION_ID_BYTES_MAX = 32;
/** Of a DNS name in text form (RFC 1035 2.3.4). */
const SERVER_NAME_LENGTH_MAX = 253;
const SERVER_NAME_EXTENSION = 0;
const ALPN_EXTENSION = 16;
const HOST_NAME_TYPE = 0;
const NEED_MORE: ClientHello = Object.freeze({ kind: 'need-more' });

/** `bytes` is everything read so far, from the first byte of the connection. */
export function parseClientHello(bytes: Buffer, bytesMax = Number.POSITIVE_INFINITY): ClientHello {
  return new ClientHelloReader(bytesMax).read(bytes);
}

/** Reads one hello as it comes. It keeps no bytes: its caller does, and hands them over at each call. */
export class ClientHelloReader {
  readonly #bytesMax: number;
  /** Of all bytes: those that have been looked at. */
  #at = 0;
  #headerBytes = 0;
  /** Of the record that is being read. */
  #recordLength = 0;
  #recordLeft = 0;
  /** Of the handshake message, its header included. */
  #gathered = 0;
  #needed = HANDSHAKE_HEADER_BYTES;
  #result: ClientHello = NEED_MORE;

  /** A hello that ends later than `bytesMax`, headers of records included, is malformed. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Where the hello ends; of use once it is told. */
  get byteLength(): number {
    return this.#at;
  }

  /** `bytes` begins with all that was handed over before. The first result other than need-more stays. */
  read(bytes: Buffer): ClientHello {
    const end = Math.min(bytes.length, this.#bytesMax);
    while (this.#result === NEED_MORE && this.#at < end) {
      if (this.#recordLeft === 0) this.#readHeaderByte(bytes[this.#at] as number);
      else this.#readFragment(bytes, end);
    }
    if (this.#result === NEED_MORE && this.#at >= this.#bytesMax) this.#fail('hello-too-long');
    return this.#result;
  }

  #readHeaderByte(byte: number): void {
    this.#at += 1;
    this.#headerBytes += 1;
    if (this.#headerBytes === 1 && byte !== HANDSHAKE_RECORD) {
      this.#fail('hello-record');
    } else if (this.#headerBytes === 2 && byte !== TLS_MAJOR) {
      this.#fail('hello-record');
    } else if (this.#headerBytes === 4) {
      this.#recordLength = byte << 8;
    } else if (this.#headerBytes === RECORD_HEADER_BYTES) {
      this.#headerBytes = 0;
      this.#recordLength |= byte;
      this.#recordLeft = this.#recordLength;
      if (this.#recordLength === 0) this.#fail('hello-record');
      if (this.#recordLength > RECORD_BYTES_MAX) this.#fail('hello-record');
    }
  }

  #readFragment(bytes: Buffer, end: number): void {
    // Byte by byte to where the message tells how long it is.
    if (this.#gathered < HANDSHAKE_HEADER_BYTES) {
      this.#readMessageHeaderByte(bytes[this.#at] as number);
      this.#took(1);
    } else {
      this.#took(Math.min(end - this.#at, this.#recordLeft, this.#needed - this.#gathered));
    }
    const isWhole = this.#gathered >= HANDSHAKE_HEADER_BYTES && this.#gathered === this.#needed;
    if (this.#result !== NEED_MORE || !isWhole) return;
    // A second message there would be read by the server, and by nobody here.
    if (this.#recordLeft > 0) this.#fail('hello-behind');
    else this.#result = readHello(new ByteCursor(messageOf(bytes, this.#at, this.#needed), 4));
  }

  #took(byteCount: number): void {
    this.#at += byteCount;
    this.#gathered += byteCount;
    this.#recordLeft -= byteCount;
  }

  #readMessageHeaderByte(byte: number): void {
    if (this.#gathered === 0) {
      if (byte !== CLIENT_HELLO) this.#fail('hello-message');
      return;
    }
    const shift = 8 * (HANDSHAKE_HEADER_BYTES - 1 - this.#gathered);
    this.#needed += byte << shift;
    if (this.#needed > this.#bytesMax) this.#fail('hello-too-long');
  }

  #fail(detail: Detail): void {
    this.#result = malformed(detail);
  }
}

/** The handshake message of `length` bytes, out of whole records that end at `end`. */
function messageOf(bytes: Buffer, end: number, length: number): Buffer {
  const message = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  for (let at = 0; at < end; ) {
    const start = at + RECORD_HEADER_BYTES;
    at = start + bytes.readUInt16BE(at + 3);
    filled += bytes.copy(message, filled, start, at);
  }
  return message;
}

function readHello(hello: ByteCursor): ClientHello {
  const major = hello.uint(1);
  hello.part(1 + 32); // minor version, random
  const sessionId = hello.vector(1);
  const cipherSuites = hello.vector(2);
  const compressionMethods = hello.vector(1);
  // TLS 1.2 and older may end here, without extensions.
  const extensions = hello.remaining > 0 ? hello.vector(2) : null;
  if (hello.isSpent || hello.remaining > 0) return malformed('hello-form');
  if (major !== TLS_MAJOR) return malformed('hello-version');
  if (sessionId.length > SESSION_ID_BYTES_MAX) return malformed('hello-form');
  if (cipherSuites.length < 2 || cipherSuites.length % 2 !== 0) {
    return malformed('hello-form');
  }
  if (compressionMethods.length === 0) return malformed('hello-form');
  return extensions === null ? helloOf('', []) : readExtensions(new ByteCursor(extensions));
}

/** An extension that stands twice would have two readings (RFC 8446 4.2: it must not). */
function readExtensions(extensions: ByteCursor): ClientHello {
  let serverName: string | null = null;
  let alpn: readonly string[] | null = null;
  const seen = new Set<number>();
  while (extensions.remaining > 0) {
    const type = extensions.uint(2);
    const data = extensions.vector(2);
    if (extensions.isSpent) break;
    if (seen.has(type)) return malformed('hello-extensions');
    seen.add(type);
    if (type === SERVER_NAME_EXTENSION) {
      serverName = readServerName(new ByteCursor(data));
      if (serverName === null) return malformed('hello-server-name');
    } else if (type === ALPN_EXTENSION) {
      alpn = readAlpn(new ByteCursor(data));
      if (alpn === null) return malformed('hello-alpn');
    }
  }
  if (extensions.isSpent) return malformed('hello-extensions');
  return helloOf(serverName ?? '', alpn ?? []);
}

/** Exactly one name of type host_name, without a final dot (RFC 6066 3); else null. */
function readServerName(data: ByteCursor): string | null {
  const list = new ByteCursor(data.vector(2));
  const type = list.uint(1);
  const name = list.vector(2);
  if (data.isSpent || data.remaining > 0 || list.isSpent || list.remaining > 0) return null;
  if (type !== HOST_NAME_TYPE) return null;
  const text = latin1(name, 0, name.length).toLowerCase();
  if (text.length > SERVER_NAME_LENGTH_MAX) return null;
  return /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(text) ? text : null;
}

function readAlpn(data: ByteCursor): readonly string[] | null {
  const list = new ByteCursor(data.vector(2));
  const protocols: string[] = [];
  while (list.remaining > 0) {
    const name = list.vector(1);
    if (list.isSpent || name.length === 0) return null;
    protocols.push(latin1(name, 0, name.length));
  }
  const isWhole = !data.isSpent && data.remaining === 0 && !list.isSpent;
  return isWhole && protocols.length > 0 ? protocols : null;
}

function helloOf(serverName: string, alpn: readonly string[]): ClientHello {
  return { kind: 'hello', serverName, alpn };
}

function malformed(detail: Detail): ClientHello {
  return { kind: 'malformed', cause: causeOf(detail) };
}
