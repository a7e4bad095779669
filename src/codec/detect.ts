/**
 * Tells from the first bytes of a connection what is spoken on it. It only sorts: each protocol's own
 * parser then accepts or refuses. Fewer bytes than decide give 'need-more', never a guess, so that
 * no cut of the stream changes the answer.
 */
import { CR, LF, TOKEN } from './http1/syntax.ts';

export type DetectedProtocol = 'need-more' | 'http1' | 'http2' | 'tls' | 'other';

/** RFC 9113 3.4. */
const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;
const CLIENT_HELLO = 0x01;
/** Content type, version, length, and the handshake's own type. */
const TLS_BYTES = 6;

export function detectProtocol(bytes: Buffer): DetectedProtocol {
  if (bytes.length === 0) return 'need-more';
  if (bytes[0] === TLS_HANDSHAKE) return detectTls(bytes);
  const length = Math.min(bytes.length, HTTP2_PREFACE.length);
  if (bytes.compare(HTTP2_PREFACE, 0, length, 0, length) === 0) {
    return length === HTTP2_PREFACE.length ? 'http2' : 'need-more';
  }
  return detectHttp1(bytes);
}

/** A record of type handshake, version 3.x, that begins with a ClientHello (RFC 8446 5.1). */
function detectTls(bytes: Buffer): DetectedProtocol {
  if (bytes.length > 1 && bytes[1] !== TLS_MAJOR) return 'other';
  if (bytes.length < TLS_BYTES) return 'need-more';
  return bytes[5] === CLIENT_HELLO ? 'tls' : 'other';
}

/**
 * HTTP/1 begins with a method, which is a token, or with the one CRLF that may precede it. The
 * first byte is enough: the request parser answers 400 to what turns out to be something else.
 */
function detectHttp1(bytes: Buffer): DetectedProtocol {
  if (bytes[0] !== CR) return isTokenByte(bytes[0] as number) ? 'http1' : 'other';
  if (bytes.length === 1) return 'need-more';
  if (bytes[1] !== LF) return 'other';
  if (bytes.length === 2) return 'need-more';
  return isTokenByte(bytes[2] as number) ? 'http1' : 'other';
}

function isTokenByte(byte: number): boolean {
  return TOKEN[byte] === 1;
}
