import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RequestHead } from '../../src/model/request_head.ts';
import { byHttp1, byHttp2, type LogicalRequest } from '../support/both_versions.ts';

interface Seen extends RequestHead {
  readonly redirectTo: string;
  readonly isGrpc: boolean;
}

/** What policy can see of a request. */
function facts(head: Seen | null, names: readonly string[]): unknown {
  if (head === null) return null;
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
    redirectTo: head.redirectTo,
    isGrpc: head.isGrpc,
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
    const request: fc.Arbitrary<LogicalRequest> = fc.record({
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
