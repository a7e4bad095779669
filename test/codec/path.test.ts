/** Path normalisation as Envoy does it for Cilium: tables, and what must hold for every path. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalisePath } from '../../src/codec/path.ts';

/** The path after it, "-> path" for a redirect, "malformed". */
function normalised(path: string): string {
  const result = normalisePath(Buffer.from(path, 'latin1'));
  switch (result.kind) {
    case 'same':
      return path;
    case 'changed':
      return result.path.toString('latin1');
    case 'redirect':
      return `-> ${result.path}`;
    default:
      return 'malformed';
  }
}

describe('normal already', () => {
  it.each([
    '/',
    '/a',
    '/a/',
    '/a/b.c',
    '/.a',
    '/..a',
    '/a..',
    '/...',
    '/a/.../b',
    '/a?b=/../c//d',
    '/a?%2e%2F%5c%41',
    '/?',
    '/a;x=../y',
    "/!$&'()*+,;=:@-._~",
    '/%21%2C%3A',
    '/%c3%a9',
    '/%C3%A9',
    '/%25',
    '/%252e%252ea/a',
    '/a;..',
    '/a;x=../b',
    '/a|b',
    '/a"b',
    '/a<b>',
    '/a^b',
    '/a`b',
    '/a{b}',
    '/a[b]',
    '/50%',
    '/%',
    '/%4',
    '/%4g',
    '/%g4',
    '/%%41',
    '/%4%31',
    '/%?41',
    '/?%',
    '/?%0',
    '/?%zz',
    '/?%00',
    '/?a|b',
    '/?{}',
    '/?a\\b',
    '/?filter=a|b&q={%22x%22:1}&d=2020^1&e=`<>"',
    '/%20',
    '/%3f%23',
    '/.hidden/file',
  ])('%s', (path) => {
    expect(normalisePath(Buffer.from(path)).kind).toBe('same');
  });
});

describe('dot segments', () => {
  it.each([
    ['/.', '/'],
    ['/./', '/'],
    ['/..', '/'],
    ['/../', '/'],
    ['/../../a', '/a'],
    ['/a/.', '/a/'],
    ['/a/..', '/'],
    ['/a/../', '/'],
    ['/a/b/..', '/a/'],
    ['/a/b/../c', '/a/c'],
    ['/a/b/../../c', '/c'],
    ['/a/b/../../../c', '/c'],
    ['/a/./b', '/a/b'],
    ['/public/../admin', '/admin'],
    ['/a/../b?c=../d', '/b?c=../d'],
    ['/a/%2e/b', '/a/b'],
    ['/a/%2E%2e/b', '/b'],
    ['/a/.%2e/b', '/b'],
    ['/a/%2e./b', '/b'],
    ['/a/%2e%2e', '/'],
    ['/a/%2e%2e%2e/b', '/a/.../b'],
    ['/a/x%2e%2e/b', '/a/x../b'],
  ])('%s is %s', (path, expected) => expect(normalised(path)).toBe(expected));
});

describe('slashes', () => {
  it.each([
    ['//', '/'],
    ['//admin', '/admin'],
    ['/a//b', '/a/b'],
    ['/a///b//', '/a/b/'],
    ['/a//b?c//d', '/a/b?c//d'],
    // Dot segments go first, as in Envoy: ".." takes the empty segment.
    ['/a//../b', '/a/b'],
    ['//..//a', '/a'],
    ['/a/..//b', '/b'],
    ['/a/.//b', '/a/b'],
  ])('%s is %s', (path, expected) => expect(normalised(path)).toBe(expected));
});

describe('escapes', () => {
  it.each([
    ['/%61%7A%41%5a%30%39', '/azAZ09'],
    ['/%2D%2e%5F%7e', '/-._~'],
    ['/%41%21', '/A%21'],
    ['/%7Ea?%7E', '/~a?%7E'],
    ['/a%c3%A9%62', '/a%c3%A9b'],
  ])('%s is %s', (path, expected) => expect(normalised(path)).toBe(expected));
});

describe('escaped slashes and backslashes', () => {
  it.each([
    ['/public/..%2fadmin', '-> /admin'],
    ['/public%2F..%2Fadmin', '-> /admin'],
    ['/a%5cb', '-> /a/b'],
    ['/a%5C..%5Cb', '-> /b'],
    ['/%2F', '-> /'],
    ['/%2f%2fa', '-> /a'],
    ['/a%2Fb?c=%2F', '-> /a/b?c=%2F'],
    ['/a%2f%2e%2e%2fb', '-> /b'],
    ['/a%252fb', '/a%252fb'],
    ['/a?b=%2f', '/a?b=%2f'],
  ])('%s is %s', (path, expected) => expect(normalised(path)).toBe(expected));

  it('redirects to what needs no further redirect', () => {
    const first = normalisePath(Buffer.from('/a%2f..%2f%2fb%41'));
    if (first.kind !== 'redirect') throw new Error('no redirect');
    expect(normalisePath(Buffer.from(first.path)).kind).toBe('same');
  });
});

describe('malformed', () => {
  it.each([
    '',
    'a',
    '*',
    '?a',
    'http://a/',
    '/a#b',
    '/a b',
    '/a\\b',
    '/\xe9',
    '/\xff',
    '/\0',
    '/a\r\nb',
    '/\x7f',
    '/%u002e',
    '/%U002e',
    '/%00',
    '/%0d%0a',
    '/%1F',
    '/%7f',
    '/?a#b',
    '/?a b',
    '/?\xe9',
  ])('%j', (path) => expect(normalised(path)).toBe('malformed'));
});

describe('dot segments that only some servers see', () => {
  it.each([
    '/public/..;/admin',
    '/public/..;x=1/admin',
    '/public/.;/admin',
    '/public/..;',
    '/..;/',
    '/..;a;b/c',
    '/a/%2e%2e;/b',
    '/a/.%2E;x/b',
    '/a/..%3b/b',
    '/a/..%3Bx/b',
    '/a/%2e%2e%3bx/b',
    '/a/%252e%252e/b',
    '/a/%252e%252e;/b',
    '/a/.%252e/b',
    '/a/..%253bx/b',
    '/a/%25252e%25252e/b',
    '/a/%25%32%65%25%32%65/b',
    '/a/%%32e%%32e/b',
    '/a/%2%65%2%65/b',
    '/a/..%252fb',
    '/a/..%255cb',
    '/a%252f..%252fb',
    '/a%2f..;%2fb',
    '/a/x;y/..;z/b?q',
    '/public/%c0%ae%c0%ae/admin',
    '/public/%C0%AE./admin',
    '/public/%c0%ae%c0%ae;x/admin',
    '/public/%c0%ae',
    '/public/%e0%80%ae%e0%80%ae/admin',
    '/public/%f0%80%80%ae./admin',
    '/public/..%c0%afadmin',
    '/public/..%e0%80%afadmin',
    '/public/..%f0%80%80%afadmin',
    '/public/..%c1%9cadmin',
    '/public/..%c0%bbx/admin',
    '/public/%25c0%25ae%25c0%25ae/admin',
    '/public/%c0%a52e./admin',
  ])('%s is malformed', (path) => expect(normalised(path)).toBe('malformed'));

  it.each([
    '/a;v=1/b',
    '/a;/b',
    '/;/b',
    '/;..',
    '/a;../b',
    '/...;/b',
    '/..a;/b',
    '/%252ea',
    '/a%252fb',
    '/a%3bb',
    '/a?b=/..;/c',
    '/%c0%aea/b',
    '/a%c0%ae%c0%ae/b',
    '/%c0.%ae/b',
    '/%c2%ae/b',
    '/%e0%a0%ae/b',
    '/%e2%80%ae/b',
    '/%f0%90%80%ae/b',
    '/%ae%ae/b',
    '/%c3%a9/%c2%af/b',
    '/a?b=/%c0%ae%c0%ae/c',
  ])('%s is not one of them', (path) => expect(normalised(path)).toBe(path));

  it('none is left, however it is written, in what is accepted', () => {
    const part = fc.constantFrom(
      ...[
        '/',
        '/',
        '.',
        '.',
        '%2e',
        '%252e',
        '%25',
        '2e',
        '%32',
        '%65',
        '%',
        '2',
        'e',
        ';',
        '%3b',
        'a',
      ],
    );
    const path = fc.array(part, { maxLength: 12 }).map((parts) => `/p/${parts.join('')}/z`);
    fc.assert(
      fc.property(path, (sent) => {
        const result = normalised(sent).replace(/^-> /, '');
        fc.pre(result !== 'malformed');
        for (let times = 0, read = result; times < 4; times++) {
          for (const segment of read.split('/')) {
            expect(segment.split(';')[0]).not.toMatch(/^\.{1,2}$/);
          }
          read = read.replaceAll(/%[0-9a-f]{2}/gi, (text) =>
            String.fromCharCode(Number.parseInt(text.slice(1), 16)),
          );
        }
      }),
      { numRuns: 20_000 },
    );
  });
});

describe('for every path', () => {
  const part = fc.constantFrom(
    ...['/', '/', '/', '.', '..', 'a', 'b', '%2e', '%2E', '%2f', '%5C', '%41', '%25', '%c3', '?'],
    ...[';', '~', '%', '%0a', '#', '\\', '[', '\xe9', '%3f'],
  );
  const path = fc.array(part, { maxLength: 14 }).map((parts) => `/${parts.join('')}`);

  it('normalising twice is normalising once', () => {
    fc.assert(
      fc.property(path, (text) => {
        const once = normalised(text).replace(/^-> /, '');
        fc.pre(once !== 'malformed');
        expect(normalisePath(Buffer.from(once, 'latin1')).kind).toBe('same');
      }),
      { numRuns: 5000 },
    );
  });

  it('nothing is left that a reader could take for another path', () => {
    fc.assert(
      fc.property(path, (text) => {
        const result = normalised(text).replace(/^-> /, '');
        fc.pre(result !== 'malformed');
        const [before = '', ...query] = result.split('?');
        expect(before).toMatch(/^\/(?!\/)/);
        expect(before).not.toMatch(/\/\/|\/\.{1,2}(\/|$)|%2f|%5c/i);
        // Not where it would complete an escape that nobody wrote.
        expect(before).not.toMatch(/(?<!%|%[0-9a-f])%(2e|[46]1)/i);
        expect(query.join('?')).toBe(text.split('?').slice(1).join('?'));
      }),
      { numRuns: 5000 },
    );
  });

  it('is what the URL Standard makes of it, slashes merged, where the two do the same', () => {
    // URL keeps %41 escaped and has no merging; without those two they must agree.
    const plain = fc
      .array(fc.constantFrom('/', '/', '.', '..', 'a', 'b', '%2e', '%2E', 'a;', '~', '%c3'), {
        maxLength: 14,
      })
      .map((parts) => `/${parts.join('')}`);
    fc.assert(
      fc.property(plain, (text) => {
        const url = new URL(`http://a.test${text}`).pathname.replaceAll(/%2e/gi, '.');
        expect(normalised(text)).toBe(url.replaceAll(/\/+/g, '/'));
      }),
      { numRuns: 5000 },
    );
  });

  it('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        normalisePath(Buffer.from(bytes));
        normalisePath(Buffer.from([0x2f, ...bytes]));
      }),
    );
  });
});
