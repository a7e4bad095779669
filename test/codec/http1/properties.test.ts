/**
 * Properties of the HTTP/1.1 codec over generated streams: no cut changes anything, what is
 * canonical is written as it was read, what is written is canonical, and no bytes make it throw.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serialiseRequestHead } from '../../../src/codec/http1/serialise.ts';
import type { HeaderMutation } from '../../../src/model/decision.ts';
import { type Run, runRequests, runResponses } from '../../support/http1_driver.ts';
import { streamOf } from '../../support/http1_streams.ts';

interface AnyHead {
  readonly raw: Buffer;
  readonly isCanonical: boolean;
  fields(): readonly string[];
}

function told(run: Run<AnyHead>): unknown {
  const { fault, isIdle } = run;
  return [
    fault,
    fault !== '' || isIdle,
    run.messages.map(({ head, sent, content, isComplete }) => {
      return [
        head.raw.toString('latin1'),
        head.isCanonical,
        head.fields(),
        sent,
        content,
        isComplete,
      ];
    }),
  ];
}

const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });
const options = fc.record({
  isHttp10Enabled: fc.boolean(),
  areTrailersForwarded: fc.boolean(),
  isPathNormalised: fc.boolean(),
});
/** Requests as the fuzz makes them: half of them good. */
const requests = fc.nat().map((seed) => streamOf(seed));
const responses = fc.nat().map((seed) => streamOf(seed, 'response'));

const token = fc.string({ unit: fc.constantFrom(...'abcXYZ019-_!~'), minLength: 1, maxLength: 8 });
const value = fc
  .string({ unit: fc.constantFrom(...'ab Z0;,="\xe9\xff:/\t'), maxLength: 12 })
  .map((text) => text.trim());
const path = fc
  .array(fc.constantFrom('a', 'b.c', '.', '..', '', '%2e', '%41', '%21', '~', '...', 'x;y'), {
    maxLength: 6,
  })
  .map((segments) => `/${segments.join('/')}`);

const ownNames = /^(?:host|te|expect|trailer|upgrade|connection|content-length|keep-alive)$/i;
const fields = fc
  .array(
    fc.tuple(
      token.filter((name) => !ownNames.test(name)),
      value,
    ),
    { maxLength: 6 },
  )
  .map((pairs) => pairs.map(([name, text]) => `${name}: ${text}\r\n`).join(''));

const framed = fc.oneof(
  fc.constant(['', ''] as const),
  fc.string({ maxLength: 30 }).map((text) => {
    const length = Buffer.byteLength(text, 'latin1');
    return [`Content-Length: ${length}\r\n`, text] as const;
  }),
  fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 4 }).map((parts) => {
    const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('');
    return ['Transfer-Encoding: chunked\r\n', `${chunks}0\r\n\r\n`] as const;
  }),
);

/** Good requests in all shapes, most of them canonical. */
const goodRequest = fc
  .record({
    method: token,
    path,
    fields,
    framed,
    connection: fc.constantFrom('', 'Connection: keep-alive\r\n', 'connection: Keep-Alive\r\n'),
  })
  .filter(({ method }) => method !== 'CONNECT')
  .map(({ method, path: target, fields: lines, framed: [framing, content], connection }) => {
    return `${method} ${target} HTTP/1.1\r\n${lines}Host: a.test\r\n${connection}${framing}\r\n${content}`;
  });

describe('cutting the stream anywhere gives the same', () => {
  it('for requests of the fuzz', () => {
    fc.assert(
      fc.property(requests, options, cuts, (stream, some, lengths) => {
        expect(told(runRequests(stream, some, lengths))).toEqual(told(runRequests(stream, some)));
      }),
      { numRuns: 2000 },
    );
  });

  it('for good requests', () => {
    const streams = fc.array(goodRequest, { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(streams, options, cuts, (many, some, lengths) => {
        const stream = many.join('');
        const whole = runRequests(stream, some);
        expect([whole.fault, whole.messages.length]).toEqual(['', many.length]);
        expect(told(runRequests(stream, some, lengths))).toEqual(told(whole));
      }),
      { numRuns: 1000 },
    );
  });

  it('for responses', () => {
    const asked = { requests: [{ method: 'GET' }, { method: 'HEAD' }, { method: 'GET' }] };
    fc.assert(
      fc.property(responses, fc.boolean(), cuts, (stream, isClosed, lengths) => {
        const some = { ...asked, isClosed };
        expect(told(runResponses(stream, some, lengths))).toEqual(told(runResponses(stream, some)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('what is judged is what is sent', () => {
  const check = (stream: string, some: Parameters<typeof runRequests>[1]): void => {
    for (const { head, sent, content } of runRequests(stream, some).messages) {
      expect(head.isCanonical).toBe(sent === head.raw.toString('latin1'));
      // Written once, it is canonical: read again it is the same request, to the byte.
      const again = runRequests(sent + content, some);
      const first = again.messages[0];
      if (first === undefined) throw new Error(`written and then refused: ${again.fault}`);
      expect(first.sent).toBe(sent);
      expect(first.head.isCanonical).toBe(true);
      expect([first.head.method, first.head.path, first.head.authority]).toEqual([
        head.method,
        head.path,
        head.authority,
      ]);
      expect([first.head.framing, first.head.contentLength, first.head.upgrade]).toEqual([
        head.framing,
        head.contentLength,
        head.upgrade,
      ]);
      expect(first.head.fields()).toEqual(head.fields());
      expect(first.content).toBe(content);
    }
  };

  it('for requests of the fuzz', () => {
    fc.assert(fc.property(requests, options, check), { numRuns: 2000 });
  });

  it('for good requests', () => {
    fc.assert(fc.property(goodRequest, options, check), { numRuns: 1000 });
  });

  it('the bytes are those of the strings', () => {
    fc.assert(
      fc.property(goodRequest, options, (stream, some) => {
        for (const { head } of runRequests(stream, some).messages) {
          for (const key of ['method', 'path', 'authority'] as const) {
            expect(Buffer.from(head[`${key}Bytes`]).toString('latin1')).toBe(head[key]);
          }
        }
      }),
    );
  });
});

describe('random bytes', () => {
  const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
  const starts = fc.constantFrom(
    '',
    'GET ',
    'GET / HTTP/1.1\r\n',
    'GET / HTTP/1.1\r\nHost: a\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 ',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  );
  it('never make a parser throw, and end in the same whatever the cuts', () => {
    fc.assert(
      fc.property(starts, bytes, cuts, (start, rest, lengths) => {
        const stream = Buffer.concat([Buffer.from(start, 'latin1'), rest]);
        expect(told(runRequests(stream, {}, lengths))).toEqual(told(runRequests(stream)));
        expect(told(runResponses(stream, {}, lengths))).toEqual(told(runResponses(stream)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('mutations', () => {
  const head = (stream: string) => {
    const first = runRequests(stream).messages[0];
    if (first === undefined) throw new Error('no head');
    return first.head;
  };
  const plain = head('POST /a HTTP/1.1\r\nX: 1\r\nHost: a\r\nX: 2\r\nContent-Length: 0\r\n\r\n');
  const written = (...mutations: HeaderMutation[]): string =>
    serialiseRequestHead(plain, mutations).toString('latin1');

  it('change the fields and nothing else', () => {
    const start = 'POST /a HTTP/1.1\r\n';
    const length = 'Content-Length: 0\r\n';
    expect(written({ kind: 'add', name: 'x', value: '3' })).toBe(
      `${start}X: 1\r\nHost: a\r\nX: 2\r\n${length}x: 3\r\n\r\n`,
    );
    expect(written({ kind: 'delete', name: 'x', value: '' })).toBe(
      `${start}Host: a\r\n${length}\r\n`,
    );
    expect(written({ kind: 'replace', name: 'x', value: '3' })).toBe(
      `${start}X: 3\r\nHost: a\r\n${length}\r\n`,
    );
  });

  it.each(['host', 'content-length', 'transfer-encoding'])('never of %s', (name) => {
    for (const kind of ['add', 'delete', 'replace'] as const) {
      expect(() => written({ kind, name, value: '5' })).toThrow();
    }
  });

  it.each(['connection', 'te', 'upgrade', 'keep-alive', 'trailer', 'expect'])(
    'of %s, which is the hop’s own, do nothing',
    (name) => {
      expect(written({ kind: 'add', name, value: 'x' })).toBe(plain.raw.toString('latin1'));
    },
  );

  it.each([
    ['x', 'a\r\nY: b'],
    ['x', 'a\0'],
    ['x', 'a\n'],
    ['x', ' a'],
    ['x', 'a '],
    ['x', '€'],
    ['x y', 'a'],
    ['x:', 'a'],
    ['', 'a'],
    [':path', '/admin'],
    ['x\r\ny', 'a'],
  ])('never write %j: %j', (name, text) => {
    expect(() => written({ kind: 'add', name, value: text })).toThrow();
  });
});
