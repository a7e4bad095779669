/**
 * What requests are accepted and refused, and with which fault. Every case is parsed whole and byte
 * by byte, and must give the same.
 */
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { REQUEST_OPTIONS, type Run, runRequests } from '../../support/http1_driver.ts';

type Options = Parameters<typeof runRequests>[1];

function summary(run: Run<{ readonly method: string; readonly path: string }>): unknown {
  return [run.fault, run.messages.map(({ head, sent, content }) => [head.path, sent, content])];
}

function parse(stream: string, options: Options = {}): ReturnType<typeof runRequests> {
  const whole = runRequests(stream, options);
  for (const cuts of [[1], [7, 3]]) {
    expect(summary(runRequests(stream, options, cuts))).toEqual(summary(whole));
  }
  return whole;
}

/** `expected`: a fault, or what of the first head is told. */
function check(
  stream: string,
  expected: string | Record<string, unknown>,
  options?: Options,
): void {
  const { fault, messages } = parse(stream, options);
  if (typeof expected === 'string') {
    expect({ fault, accepted: messages.length }).toEqual({ fault: expected, accepted: 0 });
    return;
  }
  expect(fault).toBe('');
  const first = messages[0];
  if (first === undefined) throw new Error('no head');
  const { head } = first;
  const actual: Record<string, unknown> = { isComplete: true };
  for (const key of Object.keys(expected)) {
    actual[key] =
      key === 'fields'
        ? head.fields()
        : key === 'sent' || key === 'content'
          ? first[key]
          : head[key as keyof typeof head];
  }
  expect(first.isComplete).toBe(true);
  expect(actual).toEqual({ isComplete: true, ...expected });
  expect(head.isCanonical).toBe(first.sent === head.raw.toString('latin1'));
}

const HOST = 'Host: a.test\r\n';
const head = (line: string, ...fields: string[]): string =>
  `${line}\r\n${HOST}${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
const get = (...fields: string[]): string => head('GET / HTTP/1.1', ...fields);
const post = (...fields: string[]): string => head('POST / HTTP/1.1', ...fields);
const code = (byte: number): string => String.fromCharCode(byte);
const hex = (byte: number): string => `0x${byte.toString(16).padStart(2, '0')}`;

describe('request line', () => {
  it.each([
    ['plain', 'GET / HTTP/1.1', { method: 'GET', path: '/', version: 'HTTP/1.1' }],
    ['query', 'GET /x?q=1&r=/?:@ HTTP/1.1', { path: '/x?q=1&r=/?:@', isCanonical: true }],
    ['empty query', 'GET /x? HTTP/1.1', { path: '/x?' }],
    ['any token as method', "M!#$%&'*+-.^_`|~9 / HTTP/1.1", { method: "M!#$%&'*+-.^_`|~9" }],
    ['lower-case method is another one', 'get / HTTP/1.1', { method: 'get' }],
    ['asterisk', 'OPTIONS * HTTP/1.1', { path: '*', isCanonical: true }],
    ['sub-delims', "GET /!$&'()*+,;=:@ HTTP/1.1", { path: "/!$&'()*+,;=:@" }],
    ['brackets in a query', 'GET /?id[]=1 HTTP/1.1', { path: '/?id[]=1' }],
    ['line end in a query', 'GET /?q=a%0Ab HTTP/1.1', { path: '/?q=a%0Ab' }],
    ['path parameter', 'GET /a;x=1/b HTTP/1.1', { path: '/a;x=1/b' }],
  ])('accepts %s', (_, line, expected) => check(head(line), expected));

  it.each([
    ['two spaces before the target', 'GET  / HTTP/1.1', 'malformed-request-line'],
    ['two spaces before the version', 'GET /  HTTP/1.1', 'malformed-request-line'],
    ['tab', 'GET\t/ HTTP/1.1', 'malformed-request-line'],
    ['tab before the version', 'GET /\tHTTP/1.1', 'malformed-target'],
    ['space at the end', 'GET / HTTP/1.1 ', 'malformed-request-line'],
    ['space at the start', ' GET / HTTP/1.1', 'malformed-request-line'],
    ['no method', ' / HTTP/1.1', 'malformed-request-line'],
    ['no target', 'GET HTTP/1.1', 'malformed-request-line'],
    ['HTTP/0.9', 'GET /', 'malformed-request-line'],
    ['a method that is no token', 'GE(T / HTTP/1.1', 'malformed-request-line'],
    ['method with a colon', 'GET: / HTTP/1.1', 'malformed-request-line'],
    ['method with non-ASCII', 'G\xcbT / HTTP/1.1', 'malformed-request-line'],
    ['NUL in the method', 'G\0ET / HTTP/1.1', 'malformed-request-line'],
    ['lower-case version', 'GET / http/1.1', 'malformed-request-line'],
    ['HTTP/1.0', 'GET / HTTP/1.0', 'http10-refused'],
    ['HTTP/1.2', 'GET / HTTP/1.2', 'unsupported-version'],
    ['HTTP/2.0', 'GET / HTTP/2.0', 'unsupported-version'],
    ['HTTP/0.9 with a version', 'GET / HTTP/0.9', 'unsupported-version'],
    ['HTTP/9.9', 'GET / HTTP/9.9', 'unsupported-version'],
    ['HTTP/1', 'GET / HTTP/1', 'malformed-request-line'],
    ['HTTP/1.10', 'GET / HTTP/1.10', 'malformed-request-line'],
    ['HTTP/01.1', 'GET / HTTP/01.1', 'malformed-request-line'],
    ['HTTP/1,1', 'GET / HTTP/1,1', 'malformed-request-line'],
    ['another protocol', 'GET / HTTPS/1.1', 'malformed-request-line'],
    ['ICY', 'GET / ICY/1.1', 'malformed-request-line'],
    ['four parts', 'GET / x HTTP/1.1', 'malformed-request-line'],
    ['CONNECT', 'CONNECT a.test:443 HTTP/1.1', 'connect-refused'],
    ['CONNECT with a path', 'CONNECT / HTTP/1.1', 'connect-refused'],
    ['the HTTP/2 preface', 'PRI * HTTP/2.0', 'unsupported-version'],
    ['bare CR in the line', 'GET /\r HTTP/1.1', 'malformed-request-line'],
    ['bare LF in the line', 'GET /\n HTTP/1.1', 'malformed-request-line'],
    ['CR after the version', 'GET / HTTP/1.1\r', 'malformed-request-line'],
  ])('refuses %s', (_, line, fault) => check(head(line), fault));

  it('accepts one empty line before it, refuses two, and anything like one', () => {
    check(`\r\n${get()}`, { path: '/', isCanonical: true });
    check(`\r\n\r\n${get()}`, 'malformed-request-line');
    check(`\n${get()}`, 'malformed-request-line');
    check(`\r${get()}`, 'malformed-request-line');
    check(`\r\r\n${get()}`, 'malformed-request-line');
  });

  it('is ended by CR LF only', () => {
    check(get().replace('\r\n', '\n'), 'malformed-request-line');
    check(get().replace('\r\n', '\r'), 'malformed-request-line');
    check(get().replace('\r\n', '\n\r'), 'malformed-request-line');
  });
});

describe('request target', () => {
  const refused = [
    ['fragment', '/a#b'],
    ['fragment in a query', '/a?b#c'],
    ['fragment, then dots', '/public/#/../../admin'],
    ['no leading slash', 'index.html'],
    ['asterisk without OPTIONS', '*'],
    ['authority-form without CONNECT', 'a.test:80'],
    ['asterisk and more', '*/a'],
    ['IIS encoding', '/%u002e'],
    ['%00', '/a%00b'],
    ['%0a in the path', '/a%0ab'],
    ['%0D%0A in the path', '/a%0D%0AX:y'],
    ['%7f in the path', '/%7F'],
    ['backslash in the path', '/a\\b'],
    ['path parameter after dots', '/public/..;/admin'],
    ['dots encoded twice', '/public/%252e%252e/admin'],
    ['https, which came the wrong way', 'https://a.test/'],
    ['unknown scheme', 'ftp://a.test/'],
    ['scheme without authority', 'http:///x'],
    ['scheme alone', 'http://'],
    ['one slash', 'http:/a.test/'],
    ['user information', 'http://u@a.test/'],
    ['user and password', 'http://u:p@a.test/'],
    ['userinfo that looks like the host', 'http://a.test@b.test/'],
    ['backslash for slash', 'http:\\\\a.test\\'],
    ['port out of range', 'http://a.test:65536/'],
    ['fragment in absolute-form', 'http://a.test/#x'],
    ['dots before a parameter in absolute-form', 'http://a.test/..;/x'],
  ];
  it.each(refused)('refuses %s', (_, target) => {
    check(head(`GET ${target} HTTP/1.1`), 'malformed-target');
  });

  const bytes: [string, string][] = [];
  for (let byte = 0; byte < 256; byte++) {
    const isAllowed = byte > 0x20 && byte < 0x7f && code(byte) !== '#' && code(byte) !== '\\';
    if (!isAllowed && ![0x20, 0x0a, 0x0d, 0x25].includes(byte)) bytes.push([hex(byte), code(byte)]);
  }
  it('forwards what browsers and HTTP libraries send as it is, byte for byte', () => {
    const ascii = Array.from({ length: 0x7f - 0x21 }, (_, i) => code(0x21 + i)).join('');
    const query = ascii.replace('#', '');
    const path = query.replace('\\', '').replace('?', '').replace('/', '');
    for (const target of [
      `/s?${query}`,
      `/${path}`,
      '/50%',
      '/s?q=50%',
      '/s?q=%00',
      '/a[b]|{c}^`<>"',
    ]) {
      check(head(`GET ${target} HTTP/1.1`), { path: target, isCanonical: true });
    }
  });

  it.each(bytes)('refuses byte %s in a path', (_, byte) => {
    check(head(`GET /a${byte}b HTTP/1.1`), 'malformed-target');
  });

  it.each([
    ['absolute-form', 'http://a.test/x?y', { path: '/x?y', scheme: 'http', isCanonical: false }],
    ['the default port', 'http://a.test:80/x', { path: '/x', authority: 'a.test' }],
    ['scheme and host in any case', 'HTTP://A.Test/', { path: '/', scheme: 'http' }],
    ['no path', 'http://a.test', { path: '/' }],
    ['a query and no path', 'http://a.test?q', { path: '/?q' }],
    ['dots', 'http://a.test/a/../b', { path: '/b' }],
  ])('accepts %s', (_, target, expected) => {
    check(head(`GET ${target} HTTP/1.1`), expected);
    const { messages } = parse(head(`GET ${target} HTTP/1.1`));
    expect(messages[0]?.sent).toBe(head(`GET ${expected.path} HTTP/1.1`));
  });

  it.each(['/a;v=1/b', '/a%3bx', '/a%253Bx/b'])(
    'refuses the parameter of %s only when told to',
    (target) => {
      check(head(`GET ${target} HTTP/1.1`), { path: target });
      check(head(`GET ${target} HTTP/1.1`), 'malformed-target', { pathParameters: 'refuse' });
      check(
        head(`GET /a?b=${target} HTTP/1.1`),
        { path: `/a?b=${target}` },
        { pathParameters: 'refuse' },
      );
    },
  );

  it('sends OPTIONS without a path as asterisk-form (RFC 9112 3.2.4)', () => {
    check(head('OPTIONS http://a.test HTTP/1.1'), { path: '*' });
    check(head('OPTIONS http://a.test/ HTTP/1.1'), { path: '/' });
    check(head('OPTIONS http://a.test?x HTTP/1.1'), { path: '/?x' });
  });

  it('wants the authority of the target to be that of Host', () => {
    check(head('GET http://b.test/ HTTP/1.1'), 'malformed-host');
    check(head('GET http://a.test:8080/ HTTP/1.1'), 'malformed-host');
    check(head('GET http://a.test:443/ HTTP/1.1'), 'malformed-host');
    check('GET http://a.test/ HTTP/1.1\r\nHost: A.test:80\r\n\r\n', { authority: 'A.test:80' });
    check(head('GET http://a.test.b.test/ HTTP/1.1'), 'malformed-host');
  });

  it.each([
    ['/public/../admin', '/admin'],
    ['//admin', '/admin'],
    ['/a/%2e%2e/b', '/b'],
    ['/a//../b', '/a/b'],
    ['/%61', '/a'],
    ['/a/./b/', '/a/b/'],
    ['/../../x', '/x'],
  ])('judges and sends %s as %s', (target, path) => {
    check(head(`GET ${target} HTTP/1.1`), {
      path,
      isCanonical: false,
      sent: head(`GET ${path} HTTP/1.1`),
    });
    check(
      head(`GET ${target} HTTP/1.1`),
      { path: target, isCanonical: true },
      {
        isPathNormalised: false,
      },
    );
  });

  it.each([
    ['/public/..%2fadmin', '/admin'],
    ['/a%5Cb?q=%2f', '/a/b?q=%2f'],
    ['/a%2F%2fb', '/a/b'],
  ])('redirects %s to %s', (target, redirectTo) => {
    check(head(`GET ${target} HTTP/1.1`), { redirectTo, path: redirectTo, isCanonical: false });
  });

  it('leaves %2F in the query alone', () => {
    check(head('GET /a?b=%2F..%5c HTTP/1.1'), { redirectTo: '', path: '/a?b=%2F..%5c' });
  });
});

describe('host', () => {
  const withHost = (...lines: string[]): string =>
    `GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;

  it.each([
    'a',
    'a.test',
    'A.Test',
    'a.test:80',
    'a.test:0',
    'a.test:65535',
    'a_b.test',
    'xn--4ca.test',
    '10.0.0.1',
    '10.0.0.1:8080',
    '[::1]',
    '[::1]:80',
    '[2001:db8::192.0.2.1]',
  ])('accepts %s', (host) => {
    check(withHost(`Host: ${host}`), { authority: host, isCanonical: true, fields: [] });
  });

  it.each([
    '',
    ' ',
    'a,b',
    'a.test,a.test',
    'a b',
    'u@a.test',
    'a.test/x',
    '/a',
    'a?b',
    'a#b',
    'a:',
    'a:b',
    'a:80:80',
    'a:80a',
    'a:-1',
    'a:+80',
    'a:65536',
    'a:000080',
    ':80',
    'http://a.test',
    '::1',
    '[::1',
    '[]',
    '[]:80',
    '[::1]80',
    '[::1]:',
    '[::1%25eth0]',
    '[::g]',
    '[1.2.3.4]',
    '[v1.x]',
    '[::1]]',
    'a[::1]',
    'a%2eb',
    'a%41',
    'a\\b',
    'a;b',
    'a"b',
    'a\xe9b',
    'a\tb',
    'a!b',
    'a*b',
  ])('refuses "%s"', (host) => check(withHost(`Host: ${host}`), 'malformed-host'));

  it('wants exactly one, whatever its case or value', () => {
    check(withHost('X: y'), 'malformed-host');
    check(withHost('Host: a', 'Host: a'), 'malformed-host');
    check(withHost('Host: a', 'hOST: b'), 'malformed-host');
    check(withHost('Host: a', 'Host: '), 'malformed-host');
    check(withHost('X-Host: a'), 'malformed-host');
    check(withHost('HOST: a'), { authority: 'a', isCanonical: true });
  });
});

describe('field lines', () => {
  it.each([
    ['empty value', 'X: ', ['X', '']],
    ['no space', 'X:y', ['X', 'y']],
    ['blanks around', 'X: \t y \t ', ['X', 'y']],
    ['blanks only', 'X: \t ', ['X', '']],
    ['blanks within', 'X: a \t b', ['X', 'a \t b']],
    ['colons', 'X: a:b:', ['X', 'a:b:']],
    ['obs-text', 'X: good\xff\x80', ['X', 'good\xff\x80']],
    ['every token char', "!#$%&'*+-.^_`|~09AZaz: y", ["!#$%&'*+-.^_`|~09AZaz", 'y']],
    ['prototype names', '__proto__: y', ['__proto__', 'y']],
  ])('accepts %s', (_, line, fields) => check(get(line), { fields }));

  it.each([
    ['space before the colon', 'X : y'],
    ['tab before the colon', 'X\t: y'],
    ['space within the name', 'X Y: z'],
    ['empty name', ': y'],
    ['no colon', 'X'],
    ['obs-fold by space', 'X: a\r\n b'],
    ['obs-fold by tab', 'X: a\r\n\tb'],
    ['a line of one space', 'X: a\r\n '],
    ['bare LF', 'X: a\nY: b'],
    ['bare CR', 'X: a\rY: b'],
    ['CR CR LF', 'X: a\r'],
    ['LF before CR LF', 'X: a\n'],
    ['CR X', 'X: a\r\n\rX: b'],
    ['host by bare LF', 'X: a\nHost: b'],
    ['parenthesis in the name', 'X(Y): z'],
    ['non-ASCII in the name', 'X\xe9: z'],
    ['quote in the name', '"X": y'],
  ])('refuses %s', (_, line) => check(get(line), 'malformed-field'));

  const controls: [string, string][] = [];
  for (let byte = 0; byte < 256; byte++) {
    const isControl = (byte < 0x20 && byte !== 9) || byte === 0x7f;
    if (isControl && byte !== 0x0d) controls.push([hex(byte), code(byte)]);
  }
  it.each(controls)('refuses byte %s in a value', (_, byte) => {
    check(get(`X: a${byte}b`), 'malformed-field');
    check(get(`X: ${byte}`), 'malformed-field');
  });
  it.each(controls)('refuses byte %s in a name', (_, byte) => {
    check(get(`X${byte}: b`), 'malformed-field');
  });

  it('wants CR LF after the last field and CR LF alone after that', () => {
    const start = `GET / HTTP/1.1\r\n${HOST}`;
    check(`${start}\n`, 'malformed-field');
    check(`${start}\r\r\n`, 'malformed-field');
    check(`${start}\rX`, 'malformed-field');
    check(`${start} \r\n`, 'malformed-field');
  });

  it('never takes an underscore for a dash', () => {
    check(post('Content_Length: 5', 'Transfer_Encoding: chunked'), {
      framing: 'none',
      fields: ['Content_Length', '5', 'Transfer_Encoding', 'chunked'],
      isCanonical: true,
    });
  });

  it('joins all values of one field with "," in order', () => {
    const { messages } = parse(get('X: good', 'Y: z', 'x: bad'));
    expect(messages[0]?.head.field('x')).toBe('good,bad');
    expect(messages[0]?.head.field('absent')).toBeNull();
    expect(messages[0]?.head.field('host')).toBeNull();
  });
});

describe('framing', () => {
  it.each([
    ['none', [], { framing: 'none', contentLength: -1 }],
    ['length 0', ['Content-Length: 0'], { framing: 'length', contentLength: 0, content: '' }],
  ])('accepts %s', (_, fields, expected) => check(post(...fields), expected));

  it('reads declared content for every method', () => {
    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'POST']) {
      const stream = `${head(`${method} / HTTP/1.1`, 'Content-Length: 5')}hello${get()}`;
      const { messages, fault } = parse(stream);
      expect([fault, messages.map(({ content }) => content)]).toEqual(['', ['hello', '']]);
    }
  });

  it('writes a length without leading zeros', () => {
    check(`${post('Content-Length: 0005')}hello`, {
      contentLength: 5,
      isCanonical: false,
      content: 'hello',
      sent: post('Content-Length: 5'),
    });
    check(post('Content-Length: 00'), { contentLength: 0, isCanonical: false });
  });

  it.each([
    '',
    '+5',
    '-5',
    '-0',
    '5,5',
    '5, 5',
    '5,6',
    '5 5',
    '0x5',
    '5a',
    '1e1',
    '5.0',
    '5;',
    '"5"',
    '٥',
    '9007199254740992',
    '18446744073709551621',
    '99999999999999999999999999999999',
    'chunked',
  ])('refuses Content-Length "%s"', (value) => {
    const latin1 = Buffer.from(value).toString('latin1');
    check(post(`Content-Length: ${latin1}`), 'malformed-content-length');
  });

  it('accepts the largest safe length', () => {
    const { messages, fault } = parse(post('Content-Length: 9007199254740991'));
    expect([fault, messages[0]?.head.contentLength]).toEqual(['', Number.MAX_SAFE_INTEGER]);
  });

  it.each([
    ['twice', ['Content-Length: 5', 'Content-Length: 5'], 'malformed-content-length'],
    ['twice, case', ['Content-Length: 5', 'content-length: 5'], 'malformed-content-length'],
    ['twice, differing', ['Content-Length: 5', 'Content-Length: 6'], 'malformed-content-length'],
    ['with TE', ['Content-Length: 5', 'Transfer-Encoding: chunked'], 'ambiguous-framing'],
    ['after TE', ['Transfer-Encoding: chunked', 'Content-Length: 5'], 'ambiguous-framing'],
    ['0 with TE', ['Content-Length: 0', 'Transfer-Encoding: chunked'], 'ambiguous-framing'],
    ['with identity', ['Content-Length: 5', 'Transfer-Encoding: identity'], 'ambiguous-framing'],
    ['with empty TE', ['Content-Length: 5', 'Transfer-Encoding: '], 'ambiguous-framing'],
  ])('refuses Content-Length %s', (_, fields, fault) => check(post(...fields), fault));

  it('accepts chunked in any case and writes it in lower case', () => {
    check(`${post('Transfer-Encoding: CHUNKED')}0\r\n\r\n`, {
      framing: 'chunked',
      isCanonical: false,
      sent: post('Transfer-Encoding: chunked'),
    });
    check(`${post('transfer-encoding: chunked')}0\r\n\r\n`, { isCanonical: true });
  });

  it.each([
    ['', 'malformed-transfer-encoding'],
    ['identity', 'malformed-transfer-encoding'],
    ['identity, chunked', 'malformed-transfer-encoding'],
    ['chunked, identity', 'malformed-transfer-encoding'],
    ['chunked, chunked', 'malformed-transfer-encoding'],
    ['chunked,', 'malformed-transfer-encoding'],
    [',chunked', 'malformed-transfer-encoding'],
    ['chunked;q=1', 'malformed-transfer-encoding'],
    ['"chunked"', 'malformed-transfer-encoding'],
    ['chunked x', 'malformed-transfer-encoding'],
    ['xchunked', 'malformed-transfer-encoding'],
    ['chunkedx', 'malformed-transfer-encoding'],
    ['chun\xe7ed', 'malformed-transfer-encoding'],
    ['chun\xc4\xb7ed', 'malformed-transfer-encoding'],
    ['gzip', 'malformed-transfer-encoding'],
    ['chunked, gzip', 'malformed-transfer-encoding'],
    ['gzip, chunked', 'unsupported-coding'],
    ['br,chunked', 'unsupported-coding'],
  ])('refuses Transfer-Encoding "%s"', (value, fault) => {
    check(post(`Transfer-Encoding: ${value}`), fault);
  });

  it('folds case of ASCII only', () => {
    // U+212A KELVIN SIGN lower-cases to "k"; its bytes in UTF-8 must not.
    check(post('Transfer-Encoding: chun\xe2\x84\xaaed'), 'malformed-transfer-encoding');
  });

  it('refuses a second Transfer-Encoding', () => {
    const fields = ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'];
    check(post(...fields), 'malformed-transfer-encoding');
    check(
      post('Transfer-Encoding: chunked', 'TRANSFER-ENCODING: x'),
      'malformed-transfer-encoding',
    );
  });

  it('refuses a tab around a framing value, which readers take otherwise than a space', () => {
    check(post('Transfer-Encoding: chunked\t'), 'malformed-transfer-encoding');
    check(post('Transfer-Encoding:\tchunked'), 'malformed-transfer-encoding');
    check(post('Content-Length: 0\t'), 'malformed-content-length');
    check(post('Content-Length: \t0'), 'malformed-content-length');
    check(post('Content-Length:  0 '), { contentLength: 0, isCanonical: false });
  });

  it('refuses vertical tab and NUL around the value as field bytes', () => {
    check(post('Transfer-Encoding: \x0bchunked'), 'malformed-field');
    check(post('Transfer-Encoding: chunked\0'), 'malformed-field');
  });
});

describe('connection', () => {
  it.each([
    ['nothing said', [], { isPersistent: true, isCanonical: true }],
    ['keep-alive', ['Connection: keep-alive'], { isPersistent: true, isCanonical: true }],
    ['Keep-Alive', ['Connection: Keep-Alive'], { isPersistent: true, isCanonical: true }],
    ['close', ['Connection: close'], { isPersistent: false, isCanonical: true }],
    ['close wins', ['Connection: keep-alive, close'], { isPersistent: false, isCanonical: false }],
    ['two lines', ['Connection: keep-alive', 'Connection: close'], { isPersistent: false }],
    ['empty', ['Connection: '], { isPersistent: true, isCanonical: false, fields: [] }],
  ])('%s', (_, fields, expected) => check(get(...fields), expected));

  it.each([
    ['nominated fields', ['Connection: x-a, X-B', 'X-A: 1', 'x-b: 2', 'X-C: 3'], ['X-C: 3']],
    ['a nominated field twice', ['X-A: 1', 'Connection: x-a', 'X-A: 2'], []],
    ['keep-alive', ['Connection: keep-alive', 'Keep-Alive: timeout=5'], ['Connection: keep-alive']],
    ['proxy-connection', ['Proxy-Connection: keep-alive'], []],
    ['TE', ['TE: trailers', 'Connection: TE'], []],
    ['TE that nobody nominated', ['TE: trailers'], []],
    ['trailer', ['Trailer: X-Sum'], []],
    ['http2-settings', ['HTTP2-Settings: AAMAAABkAAQAAP__'], []],
    ['upgrade without connection', ['Upgrade: websocket'], []],
    ['the option upgrade without the field', ['Connection: upgrade'], []],
    ['close among others', ['Connection: close, x-a', 'X-A: 1'], ['Connection: close']],
    ['one line of many', ['Connection: close', 'Connection: close'], ['Connection: close']],
  ])('takes out %s', (_, fields, left) => {
    const { messages, fault } = parse(get(...fields));
    expect(fault).toBe('');
    expect(messages[0]?.sent).toBe(get(...left));
    expect(messages[0]?.head.isCanonical).toBe(false);
  });

  it('hides from policy what upstream will not see', () => {
    const { messages } = parse(get('Connection: close, x-token', 'X-Token: good'));
    expect(messages[0]?.head.field('x-token')).toBeNull();
    expect(messages[0]?.head.field('connection')).toBeNull();
  });

  it.each(['host', 'Content-Length', 'TRANSFER-ENCODING', 'expect', 'close, host'])(
    'refuses to have %s taken out',
    (option) => check(get(`Connection: ${option}`), 'malformed-field'),
  );

  it.each([',', 'close,', ',close', 'a b', 'close;q=1', '"close"', 'a:b', 'clos\xe9'])(
    'refuses Connection "%s"',
    (value) => check(get(`Connection: ${value}`), 'malformed-field'),
  );

  it('has no more options than a head has lines', () => {
    const options = Array.from({ length: 101 }, (_, i) => `x${i}`);
    check(get(`Connection: ${options.slice(1).join(', ')}`), { isPersistent: true });
    check(get(`Connection: ${options.join(', ')}`), 'malformed-field');
    check(get(`Connection: ${'a,'.repeat(29_000)}a`), 'malformed-field');
    check(post(`Transfer-Encoding: ${'a,'.repeat(29_000)}a`), 'malformed-transfer-encoding');
  });

  it('keeps what is end to end', () => {
    const fields = ['Proxy-Authorization: x', 'Authorization: y', 'Cookie: z', 'Via: 1.1 x'];
    check(get(...fields), { isCanonical: true });
  });
});

describe('upgrade', () => {
  const websocket = ['Upgrade: websocket', 'Connection: Upgrade'];

  it.each([
    ['websocket', websocket, 'websocket'],
    ['in any case', ['Upgrade: WebSocket', 'Connection: upgrade'], 'websocket'],
    ['with keep-alive', ['Upgrade: websocket', 'Connection: keep-alive, Upgrade'], 'websocket'],
    ['another protocol', ['Upgrade: x/1.0', 'Connection: upgrade'], ''],
    ['length 0', [...websocket, 'Content-Length: 0'], 'websocket'],
    ['without connection', ['Upgrade: websocket'], ''],
    ['with another option', ['Upgrade: websocket', 'Connection: keep-alive'], ''],
    ['h2c', ['Upgrade: h2c', 'HTTP2-Settings: x', 'Connection: Upgrade, HTTP2-Settings'], ''],
    ['H2C', ['Upgrade: H2C', 'Connection: Upgrade'], ''],
    ['h2', ['Upgrade: h2', 'Connection: Upgrade'], ''],
    ['HTTP/2.0', ['Upgrade: HTTP/2.0', 'Connection: Upgrade'], ''],
    ['TLS/1.2', ['Upgrade: TLS/1.2', 'Connection: Upgrade'], ''],
  ])('%s', (_, fields, upgrade) => {
    check(get(...fields), { upgrade });
    const sent = parse(get(...fields)).messages[0]?.sent ?? '';
    expect(/^upgrade:/im.test(sent)).toBe(upgrade !== '');
    expect(/^connection: upgrade\r$/im.test(sent)).toBe(upgrade !== '');
    expect(/http2-settings/i.test(sent)).toBe(false);
  });

  it('is canonical as browsers without keep-alive send it', () => {
    check(get(...websocket), { isCanonical: true });
  });

  it.each([
    ['two protocols', ['Upgrade: websocket, h2c', 'Connection: upgrade']],
    ['two lines', ['Upgrade: websocket', 'Upgrade: websocket', 'Connection: upgrade']],
    ['h2c hidden in a second line', ['Upgrade: websocket', 'Upgrade: h2c', 'Connection: upgrade']],
    ['no protocol', ['Upgrade: ', 'Connection: upgrade']],
    ['no token', ['Upgrade: web socket', 'Connection: upgrade']],
    ['two slashes', ['Upgrade: a/b/c', 'Connection: upgrade']],
    ['content', [...websocket, 'Content-Length: 5']],
    ['chunked content', [...websocket, 'Transfer-Encoding: chunked']],
    ['close', ['Upgrade: websocket', 'Connection: close, upgrade']],
  ])('refuses %s', (_, fields) => check(get(...fields), 'malformed-upgrade'));
});

describe('expect', () => {
  it('takes 100-continue, once, where there is content to wait for', () => {
    check(`${post('Expect: 100-continue', 'Content-Length: 1')}x`, { expectsContinue: true });
    check(`${post('Expect: 100-Continue', 'Content-Length: 1')}x`, { expectsContinue: true });
    check(post('Expect: 100-continue'), { expectsContinue: false });
    check(post('Expect: 100-continue', 'Content-Length: 0'), { expectsContinue: false });
  });
  it.each(['', '100', '200-ok', '100-continue, 100-continue', '100-continue;x'])(
    'refuses "%s"',
    (value) => check(post(`Expect: ${value}`), 'malformed-expect'),
  );
  it('refuses two', () => {
    check(post('Expect: 100-continue', 'Expect: 100-continue'), 'malformed-expect');
  });
});

describe('gRPC', () => {
  it.each([
    ['application/grpc', true],
    ['application/grpc+proto', true],
    ['application/grpc;charset=x', true],
    ['Application/GRPC', true],
    ['application/grpc-web', false],
    ['application/grpcx', false],
    ['text/plain', false],
    ['', false],
  ])('%s', (type, isGrpc) => check(post(`Content-Type: ${type}`), { isGrpc }));

  it('is not told by a content type that is taken out', () => {
    check(post('Connection: content-type', 'Content-Type: application/grpc'), { isGrpc: false });
  });
});

describe('HTTP/1.0 when enabled', () => {
  const options = { isHttp10Enabled: true };
  const old = (...fields: string[]): string => head('GET / HTTP/1.0', ...fields);
  it('does not persist unless asked to, and is sent as what it is', () => {
    check(old(), { version: 'HTTP/1.0', isPersistent: false, isCanonical: true }, options);
    check(old('Connection: keep-alive'), { isPersistent: true }, options);
  });
  it('has no transfer coding, no upgrade, no 100 (Continue)', () => {
    check(old('Transfer-Encoding: chunked'), 'malformed-transfer-encoding', options);
    check(old('Upgrade: websocket', 'Connection: upgrade'), { upgrade: '', fields: [] }, options);
    const waiting = `${old('Expect: 100-continue', 'Content-Length: 1')}x`;
    check(waiting, { expectsContinue: false }, options);
  });
  it('needs no Host, but for an absolute-form target', () => {
    check('GET / HTTP/1.0\r\n\r\n', { authority: '' }, options);
    check('GET http://a/ HTTP/1.0\r\n\r\n', 'malformed-host', options);
  });
});

describe('bounds', () => {
  const limits = {
    ...DEFAULT_LIMITS,
    headBytesMax: 300,
    headFieldCountMax: 4,
    targetBytesMax: 100,
  };
  const fitting = get(`X: ${'a'.repeat(300 - get('X: ').length)}`);

  it('head bytes, to the byte', () => {
    check(fitting, { byteLength: 300 }, { limits });
    check(fitting.replace('X: ', 'X: a'), 'head-too-large', { limits });
    check(`${get().slice(0, -2)}X: ${'a'.repeat(1000)}`, 'head-too-large', { limits });
    check(`\r\n${fitting}`, { byteLength: 300 }, { limits });
  });

  it('field lines', () => {
    check(get('A: 1', 'B: 2', 'C: 3'), { path: '/' }, { limits });
    check(get('A: 1', 'B: 2', 'C: 3', 'D: 4'), 'head-too-large', { limits });
  });

  it('method bytes', () => {
    check(head(`${'M'.repeat(64)} / HTTP/1.1`), { method: 'M'.repeat(64) });
    check(head(`${'M'.repeat(65)} / HTTP/1.1`), 'method-too-long');
    check('M'.repeat(65), 'method-too-long');
    check('M'.repeat(70_000), 'method-too-long');
  });

  it('target bytes', () => {
    check(head(`GET /${'a'.repeat(99)} HTTP/1.1`), { path: `/${'a'.repeat(99)}` }, { limits });
    check(head(`GET /${'a'.repeat(100)} HTTP/1.1`), 'target-too-long', { limits });
  });

  it('a head that never ends', () => {
    check(`GET / HTTP/1.1\r\nHost: ${'a'.repeat(70_000)}`, 'head-too-large');
    check(`GET /${'a'.repeat(70_000)}`, 'target-too-long');
  });
});

describe('several requests', () => {
  it('are told apart and given in order', () => {
    const { messages, fault, isIdle } = parse(
      `${get()}${post('Content-Length: 3')}abc\r\n${head('GET /2 HTTP/1.1')}`,
    );
    expect(fault).toBe('');
    expect(isIdle).toBe(true);
    expect(messages.map(({ head: { method, path } }) => `${method} ${path}`)).toEqual([
      'GET /',
      'POST /',
      'GET /2',
    ]);
  });

  it('give what was good before a fault, and nothing after it', () => {
    const { messages, fault } = parse(`${get()}GET / HTTP/1.1\r\n\r\n${get()}`);
    expect([messages.length, fault]).toEqual([1, 'malformed-host']);
  });

  it('end with the one that closes: what follows is no request', () => {
    for (const more of [get(), 'garbage\0', '\r\n\r\n']) {
      const { messages, fault, isIdle } = parse(`${get()}${get('Connection: close')}${more}`);
      expect([messages.length, fault, isIdle]).toEqual([2, '', true]);
    }
  });

  it('keep their heads although the parser goes on', () => {
    const { messages } = parse(
      `${head('GET /1 HTTP/1.1', 'X: 1')}${head('GET /2 HTTP/1.1', 'X: 2')}`,
    );
    expect(messages.map(({ head: { path } }) => path)).toEqual(['/1', '/2']);
    expect(messages.map(({ head: one }) => one.field('x'))).toEqual(['1', '2']);
  });
});

it('the default options are those of Cilium', () => {
  expect(REQUEST_OPTIONS.isPathNormalised).toBe(true);
});
