/**
 * Server name and ALPN of a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3, RFC 7301), for SNI rules.
 * Nothing is decrypted or answered. The hello may be spread over records (RFC 8446 5.1): they are
 * put together first, as a server would, so that no fragmentation hides the name from policy.
 * The caller bounds how many bytes it hands over (`detectBytesMax`).
 */
import { ByteCursor } from './byte_cursor.ts';
import { latin1 } from './http1/syntax.ts';

export type ClientHello =
  | { readonly kind: 'need-more' }
  /** `serverName` is lower case, '' when absent; `alpn` in the client's order. */
  | { readonly kind: 'hello'; readonly serverName: string; readonly alpn: readonly string[] }
  | { readonly kind: 'malformed'; readonly message: string };

const RECORD_HEADER_BYTES = 5;
const RECORD_BYTES_MAX = 16_384;
const HANDSHAKE_HEADER_BYTES = 4;
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const TLS_MAJOR = 3;
const SESSION_ID_BYTES_MAX = 32;
/** Of a DNS name in text form (RFC 1035 2.3.4). */
const SERVER_NAME_LENGTH_MAX = 253;
const SERVER_NAME_EXTENSION = 0;
const ALPN_EXTENSION = 16;
const HOST_NAME_TYPE = 0;
const NEED_MORE: ClientHello = Object.freeze({ kind: 'need-more' });

/** `bytes` is everything read so far, from the first byte of the connection. */
export function parseClientHello(bytes: Buffer): ClientHello {
  const fragments: Buffer[] = [];
  let gathered = 0;
  let needed = HANDSHAKE_HEADER_BYTES;
  for (let at = 0; ; ) {
    const wrong = recordHeaderError(bytes, at);
    if (wrong !== null) return malformed(wrong);
    if (bytes.length - at < RECORD_HEADER_BYTES) return NEED_MORE;
    const start = at + RECORD_HEADER_BYTES;
    const end = start + bytes.readUInt16BE(at + 3);
    const fragment = bytes.subarray(start, end);
    if (gathered === 0 && fragment.length > 0 && fragment[0] !== CLIENT_HELLO) {
      return malformed('a handshake message that is no ClientHello');
    }
    fragments.push(fragment);
    // The header is put together once, the message once: many tiny records cost no more than one.
    const isHeaderNew = gathered < HANDSHAKE_HEADER_BYTES;
    gathered += fragment.length;
    if (isHeaderNew && gathered >= HANDSHAKE_HEADER_BYTES) {
      const header = Buffer.concat(fragments, HANDSHAKE_HEADER_BYTES);
      needed = HANDSHAKE_HEADER_BYTES + header.readUIntBE(1, 3);
    }
    if (gathered >= needed && gathered >= HANDSHAKE_HEADER_BYTES) {
      const message = Buffer.concat(fragments, needed);
      return readHello(new ByteCursor(message, HANDSHAKE_HEADER_BYTES));
    }
    if (end > bytes.length) return NEED_MORE;
    at = end;
  }
}

/** Judges as much of a record header as is there, so that garbage is refused at once. */
function recordHeaderError(bytes: Buffer, at: number): string | null {
  const header = bytes.subarray(at, at + RECORD_HEADER_BYTES);
  if (header.length > 0 && header[0] !== HANDSHAKE_RECORD) return 'a record that is no handshake';
  if (header.length > 1 && header[1] !== TLS_MAJOR) return 'a record of an unknown version';
  if (header.length < RECORD_HEADER_BYTES) return null;
  const length = header.readUInt16BE(3);
  if (length === 0) return 'an empty handshake record';
  return length > RECORD_BYTES_MAX ? 'a record longer than 2^14 bytes' : null;
}

function readHello(hello: ByteCursor): ClientHello {
  const major = hello.uint(1);
  hello.part(1 + 32); // minor version, random
  const sessionId = hello.vector(1);
  const cipherSuites = hello.vector(2);
  const compressionMethods = hello.vector(1);
  // TLS 1.2 and older may end here, without extensions.
  const extensions = hello.remaining > 0 ? hello.vector(2) : null;
  if (hello.isSpent || hello.remaining > 0) return malformed('a ClientHello of the wrong length');
  if (major !== TLS_MAJOR) return malformed('a ClientHello of an unknown version');
  if (sessionId.length > SESSION_ID_BYTES_MAX) return malformed('a session id of over 32 bytes');
  if (cipherSuites.length < 2 || cipherSuites.length % 2 !== 0) {
    return malformed('a list of cipher suites of the wrong length');
  }
  if (compressionMethods.length === 0) return malformed('no compression method');
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
    if (seen.has(type)) return malformed(`extension ${type} stands twice`);
    seen.add(type);
    if (type === SERVER_NAME_EXTENSION) {
      serverName = readServerName(new ByteCursor(data));
      if (serverName === null) return malformed('a server_name extension that cannot be read');
    } else if (type === ALPN_EXTENSION) {
      alpn = readAlpn(new ByteCursor(data));
      if (alpn === null) return malformed('an ALPN extension that cannot be read');
    }
  }
  if (extensions.isSpent) return malformed('an extension longer than its list');
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

function malformed(message: string): ClientHello {
  return { kind: 'malformed', message };
}
