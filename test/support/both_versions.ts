/** One logical request as HTTP/1.1 and as HTTP/2 have it on the wire, decoded by our own codecs. */
import { expect } from 'vitest';
import { HEAD, FAULT as HTTP1_FAULT } from '../../src/codec/http1/events.ts';
import type { Http1RequestHead } from '../../src/codec/http1/request_head.ts';
import { RequestParser } from '../../src/codec/http1/request_parser.ts';
import type { Http2RequestHead } from '../../src/codec/http2/request_head.ts';
import type { UnderscoreAction } from '../../src/model/field_alias.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { drive, greetedServer, headers } from '../codec/http2/wire.ts';

export interface LogicalRequest {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly fields: readonly (readonly [string, string])[];
}

/** Null when it is refused. */
export function byHttp1(
  { method, path, authority, fields }: LogicalRequest,
  underscores: UnderscoreAction = 'allow',
) {
  const parser = new RequestParser({
    limits: DEFAULT_LIMITS,
    isHttp10Enabled: false,
    areTrailersForwarded: false,
    isPathNormalised: true,
    underscores,
  });
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const text = `${method} ${path} HTTP/1.1\r\nhost: ${authority}\r\n${lines}\r\n`;
  const event = parser.next(Buffer.from(text, 'latin1'), 0);
  if (event === HTTP1_FAULT) return null;
  expect(event).toBe(HEAD);
  return parser.head satisfies Http1RequestHead;
}

/** Names are sent in lower case, as HTTP/2 must. */
export function byHttp2(
  { method, path, authority, fields }: LogicalRequest,
  underscores: UnderscoreAction = 'allow',
): Http2RequestHead | null {
  const connection = greetedServer(DEFAULT_LIMITS, underscores);
  const pseudo = [':method', method, ':scheme', 'http', ':authority', authority, ':path', path];
  const regular = fields.flatMap(([name, value]) => [name.toLowerCase(), value]);
  const [line] = drive(connection, headers(1, [...pseudo, ...regular], 4));
  return line?.startsWith('malformed') === true ? null : connection.facts.requestHead;
}
