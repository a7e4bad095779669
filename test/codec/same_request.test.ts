import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FAULT, HEAD } from '../../src/codec/http1/events.ts';
import { RequestParser } from '../../src/codec/http1/request_parser.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { RequestHead } from '../../src/model/request_head.ts';
import { drive, greetedServer, headers } from './http2/wire.ts';

interface Request {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly fields: readonly (readonly [string, string])[];
}

interface Seen {
  readonly head: RequestHead;
  readonly redirectTo: string;
  readonly isGrpc: boolean;
}

/** Null when it is refused. */
function byHttp1({ method, path, authority, fields }: Request): Seen | null {
  const parser = new RequestParser({
    limits: DEFAULT_LIMITS,
    isHttp10Enabled: false,
    areTrailersForwarded: false,
    isPathNormalised: true,
  });
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const text = `${method} ${path} HTTP/1.1\r\nhost: ${authority}\r\n${lines}\r\n`;
  const event = parser.next(Buffer.from(text, 'latin1'), 0);
  if (event === FAULT) return null;
  expect(event).toBe(HEAD);
  return { head: parser.head, redirectTo: parser.head.redirectTo, isGrpc: parser.head.isGrpc };
}

function byHttp2({ method, path, authority, fields }: Request): Seen | null {
  const connection = greetedServer();
  const pseudo = [':method', method, ':scheme', 'http', ':authority', authority, ':path', path];
  const [line] = drive(connection, headers(1, [...pseudo, ...fields.flat()], 4));
  const head = connection.facts.requestHead;
  if (line?.startsWith('malformed') === true || head === null) return null;
  return { head, redirectTo: head.redirectTo, isGrpc: head.isGrpc };
}

/** What policy can see of a request. */
function facts(seen: Seen | null, names: readonly string[]): unknown {
  if (seen === null) return null;
  const { head } = seen;
  return {
    method: head.method,
    scheme: head.scheme,
    authority: head.authority,
    path: head.path,
    bytes: [head.methodBytes, head.authorityBytes, head.pathBytes].map((b) =>
      Buffer.from(b).toString('hex'),
    ),
    fields: head.fields(),
    values: names.map((name) => head.field(name)),
    redirectTo: seen.redirectTo,
    isGrpc: seen.isGrpc,
  };
}

const pathChar = fc.constantFrom(
  ...[
    '/',
    '.',
    '..',
    '%2f',
    '%2e',
    '%5C',
    '%41',
    '%00',
    '%',
    '?',
    '#',
    ';',
    'a',
    'B',
    '\\',
    '[',
    '\xe4',
    '~',
    '=',
    '&',
    '"',
    '|',
  ],
);
const value = fc
  .array(fc.constantFrom('a', 'B', ' ', '\t', ',', ';', '\xff', '"', '1'), { maxLength: 6 })
  .map((chars) => chars.join('').trim());

describe('one logical request', () => {
  it('is seen the same by HTTP/1.1 and HTTP/2, or refused by both', () => {
    const names = ['x', 'x-token', 'accept', 'content-type', 'authorization'];
    const request: fc.Arbitrary<Request> = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PUT', 'PURGE', 'OPTIONS', 'get'),
      path: fc.oneof(
        fc.array(pathChar, { maxLength: 8 }).map((parts) => `/${parts.join('')}`),
        fc.constantFrom('*', '/pkg.Svc/Method', '/a/../b', '//a'),
      ),
      authority: fc.constantFrom(
        'a.test',
        'A.test:80',
        '[::1]:8080',
        'u@a',
        'a,b',
        'a:',
        '1.2.3.4',
        'a_b',
        'a%20b',
      ),
      fields: fc.array(
        fc.oneof(
          fc.tuple(fc.constantFrom(...names), value),
          fc.constant(['content-type', 'application/grpc+proto'] as [string, string]),
        ),
        { maxLength: 5 },
      ),
    });
    fc.assert(
      fc.property(request, (one) => {
        expect(facts(byHttp2(one), names)).toEqual(facts(byHttp1(one), names));
      }),
      { numRuns: 2000 },
    );
  });
});
