/** The bytes of each attack. Pure. */

export interface AttackCase {
  /** Unique in the suite. */
  readonly id: string;
  readonly title: string;
  readonly greeting: Buffer;
  readonly piece: Buffer;
  readonly streamIdsAt?: readonly number[];
  readonly isQuick: boolean;
}

const NOTHING = Buffer.alloc(0);
const CRLF = '\r\n';

export const HTTP1_ATTACKS: readonly AttackCase[] = [
  http1(
    'malformed',
    'heads with a blank before the colon',
    'GET /orders/1 HTTP/1.1\r\nhost : x\r\n\r\n',
    '',
    true,
  ),
  http1(
    'denials',
    'denied requests, pipelined',
    '',
    `GET /no HTTP/1.1${CRLF}host: x${CRLF}${CRLF}`,
    true,
  ),
  http1('small-fields', 'denied requests of 80 short fields', '', denied('a: b\r\n'.repeat(80))),
  http1(
    'long-field',
    'denied requests with a field of 16 KiB',
    '',
    denied(`a: ${'b'.repeat(16_000)}\r\n`),
  ),
  http1(
    'dots',
    'paths of dot segments and escapes',
    '',
    `GET /${'%2e%2e/a/'.repeat(200)} HTTP/1.1\r\nhost: x\r\n\r\n`,
  ),
  http1(
    'slow-path',
    'long paths that nearly match',
    '',
    `GET /orders/${'1'.repeat(8000)}x HTTP/1.1\r\nhost: x\r\n\r\n`,
  ),
  http1(
    'small-chunks',
    'chunks of one byte',
    `POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n`,
    '1\r\nx\r\n',
    true,
  ),
  http1('empty-lines', 'empty lines before a request', '', CRLF),
];

const STREAM_ID_AT = 5;
const FRAME_HEAD_BYTES = 9;
const HEADERS = 1;
const PRIORITY = 2;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(SETTINGS, 0, 0, NOTHING),
]);
/** GET, http, a path that is denied, authority x: RFC 7541 A and 6.2.2. */
const DENIED_BLOCK = Buffer.concat([
  Buffer.from([0x82, 0x86]),
  Buffer.from([0x04, 3]),
  Buffer.from('/no'),
  Buffer.from([0x01, 1, 0x78]),
]);

export const HTTP2_ATTACKS: readonly AttackCase[] = [
  http2('h2-denials', 'denied requests', headers(END_STREAM | END_HEADERS), [STREAM_ID_AT], true),
  http2(
    'h2-rapid-reset',
    'requests that are reset at once (CVE-2023-44487)',
    Buffer.concat([
      headers(END_STREAM | END_HEADERS),
      frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, 8])),
    ]),
    [STREAM_ID_AT, FRAME_HEAD_BYTES + DENIED_BLOCK.length + STREAM_ID_AT],
    true,
  ),
  http2('h2-ping', 'PING', frame(PING, 0, 0, Buffer.alloc(8)), [], true),
  http2('h2-settings', 'empty SETTINGS', frame(SETTINGS, 0, 0, NOTHING)),
  http2('h2-priority', 'PRIORITY', frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 0, 1]))),
  http2(
    'h2-window',
    'WINDOW_UPDATE of one byte',
    frame(WINDOW_UPDATE, 0, 0, Buffer.from([0, 0, 0, 1])),
  ),
  {
    ...http2(
      'h2-continuation',
      'empty CONTINUATION without an end',
      frame(CONTINUATION, 0, 1, NOTHING),
    ),
    greeting: Buffer.concat([PREFACE, headers(END_STREAM)]),
  },
  http2('h2-unknown', 'frames of an unknown type', frame(0x77, 0, 0, Buffer.alloc(8))),
];

function http1(
  id: string,
  title: string,
  greeting: string,
  piece: string,
  isQuick = false,
): AttackCase {
  return { id, title, greeting: Buffer.from(greeting), piece: Buffer.from(piece), isQuick };
}

function denied(fields: string): string {
  return `GET /no HTTP/1.1\r\nhost: x\r\n${fields}\r\n`;
}

function http2(
  id: string,
  title: string,
  piece: Buffer,
  streamIdsAt: readonly number[] = [],
  isQuick = false,
): AttackCase {
  return { id, title, greeting: PREFACE, piece, streamIdsAt, isQuick };
}

function headers(flags: number): Buffer {
  return frame(HEADERS, flags, 1, DENIED_BLOCK);
}

/** RFC 9113 4.1. */
function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, STREAM_ID_AT);
  return Buffer.concat([head, payload]);
}
