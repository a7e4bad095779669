/**
 * One line for each class of bypass that was published for other proxies and servers, as far as it
 * is the parser's to stop: the request is refused, or what goes upstream has one reading.
 */
import { describe, expect, it } from 'vitest';
import { runRequests, runResponses } from '../../support/http1_driver.ts';

const request = (line: string, ...fields: string[]): string =>
  `${line}\r\n${['Host: a.test', ...fields].map((field) => `${field}\r\n`).join('')}\r\n`;
const get = (...fields: string[]): string => request('GET / HTTP/1.1', ...fields);
const post = (...fields: string[]): string => request('POST / HTTP/1.1', ...fields);
const CHUNKED = 'Transfer-Encoding: chunked';

describe('refused', () => {
  it.each([
    [
      'Istio CVE-2021-39156, Traefik CVE-2023-47106: fragment',
      request('GET /public/#/../../admin HTTP/1.1'),
      'malformed-target',
    ],
    ['Envoy CVE-2026-73551: ..;', request('GET /public/..;/admin HTTP/1.1'), 'malformed-target'],
    [
      'dots that a second decoding makes',
      request('GET /public/%252e%252e/admin HTTP/1.1'),
      'malformed-target',
    ],
    ['%00 in the path', request('GET /admin%00.html HTTP/1.1'), 'malformed-target'],
    ['HAProxy CVE-2021-39242: two hosts', get('Host: b.test'), 'malformed-host'],
    ['HAProxy CVE-2021-39240: no origin form', request('GET @evil/ HTTP/1.1'), 'malformed-target'],
    [
      'HAProxy CVE-2021-39241: space in the method',
      request('GET /admin? HTTP/1.1 / HTTP/1.1'),
      'malformed-request-line',
    ],
    [
      'gRPC-Go CVE-2026-33186: no leading slash',
      request('POST Service/Method HTTP/1.1'),
      'malformed-target',
    ],
    ['HAProxy CVE-2023-25725: empty name', get(': x'), 'malformed-field'],
    ['NUL in a value', get('X: a\0b'), 'malformed-field'],
    ['CL.TE', `${post('Content-Length: 6', CHUNKED)}0\r\n\r\nG`, 'ambiguous-framing'],
    ['TE.CL', `${post(CHUNKED, 'Content-Length: 4')}5c\r\n`, 'ambiguous-framing'],
    [
      'Node CVE-2022-32215: TE over two lines',
      post('Transfer-Encoding: chunked', ' , identity'),
      'malformed-field',
    ],
    [
      'Node CVE-2022-32213: obs-fold in TE',
      post('Transfer-Encoding:', ' chunked'),
      'malformed-field',
    ],
    [
      'Node CVE-2020-8287: TE twice',
      post(CHUNKED, 'Transfer-Encoding: x'),
      'malformed-transfer-encoding',
    ],
    [
      'Netty CVE-2026-42585: TE list',
      post('Transfer-Encoding: chunked, identity'),
      'malformed-transfer-encoding',
    ],
    ['Node CVE-2018-7159: spaces in CL', post('Content-Length: 1 2'), 'malformed-content-length'],
    ['HAProxy CVE-2023-40225: empty CL', post('Content-Length: '), 'malformed-content-length'],
    [
      'Pingora CVE-2026-2835: TE in HTTP/1.0',
      request('POST / HTTP/1.0', CHUNKED),
      'http10-refused',
    ],
    ['Node CVE-2024-27982: space before CL', get(' Content-Length: 5'), 'malformed-field'],
    ['Node CVE-2022-32214: bare LF', get('X: a\nContent-Length: 5'), 'malformed-field'],
    ['Node CVE-2023-30589: bare CR', get('X: a\rContent-Length: 5'), 'malformed-field'],
    ['Node CVE-2025-23167: CR LF CR X', get('X: a\r\n\rX: b'), 'malformed-field'],
    ['Node CVE-2021-22959: space before the colon', post('Content-Length : 5'), 'malformed-field'],
    ['Node CVE-2020-8201: CR in a name', post('Content\rLength: 5'), 'malformed-field'],
    ['Node CVE-2021-22960: bytes in an extension', `${post(CHUNKED)}5;a\nb\r\n`, 'malformed-chunk'],
    [
      'Node CVE-2024-22019: endless extension',
      `${post(CHUNKED)}5;${'a'.repeat(5000)}`,
      'chunk-extension-too-long',
    ],
    [
      'Netty CVE-2025-58056: bare LF after a chunk size',
      `${post(CHUNKED)}5\nhello\r\n`,
      'malformed-chunk',
    ],
    [
      'Netty CVE-2026-33870: quoted line end in an extension',
      `${post(CHUNKED)}5;a="\r\nb"\r\n`,
      'malformed-chunk',
    ],
    ['trailer that frames', `${post(CHUNKED)}0\r\nContent-Length: 5\r\n\r\n`, 'malformed-field'],
    ['Envoy CVE-2025-64763: CONNECT', request('CONNECT a.test:443 HTTP/1.1'), 'connect-refused'],
    [
      'Apache CVE-2022-31813: Connection takes out Host',
      get('Connection: close, Host'),
      'malformed-field',
    ],
    [
      'Connection takes out Content-Length',
      post('Connection: Content-Length', 'Content-Length: 5'),
      'malformed-field',
    ],
    ['two upgrades', get('Upgrade: websocket, h2c', 'Connection: upgrade'), 'malformed-upgrade'],
    [
      'userinfo in absolute-form',
      request('GET http://a.test@b.test/ HTTP/1.1'),
      'malformed-target',
    ],
    ['authority and Host differ', request('GET http://b.test/ HTTP/1.1'), 'malformed-host'],
    [
      '0.CL with Expect games',
      post('Expect: 100-continue, x', 'Content-Length: 5'),
      'malformed-expect',
    ],
  ])('%s', (_, stream, fault) => {
    for (const cuts of [[], [1]]) expect(runRequests(stream, {}, cuts).fault).toBe(fault);
  });
});

describe('forwarded with one reading', () => {
  const line = (sent: string): string => sent.slice(0, sent.indexOf('\r\n'));

  it.each([
    ['Envoy CVE-2019-9901: dot segments', '/public/../admin', '/admin'],
    ['Istio CVE-2021-31920: double slash', '//admin', '/admin'],
    ['encoded dots', '/public/%2e%2e/admin', '/admin'],
    ['double encoding is decoded by nobody here', '/a%252fb', '/a%252fb'],
    ['path parameters', '/public;x=../admin', '/public;x=../admin'],
  ])('%s', (_, target, path) => {
    const { messages, fault } = runRequests(request(`GET ${target} HTTP/1.1`));
    expect([fault, messages[0]?.head.path]).toEqual(['', path]);
    expect(line(messages[0]?.sent ?? '')).toBe(`GET ${path} HTTP/1.1`);
  });

  it.each([
    ['Envoy CVE-2021-29492: %2F', '/public/..%2fadmin'],
    ['Envoy CVE-2021-29492: %5C', '/public/..%5Cadmin'],
  ])('%s is for a redirect, which the proxy makes', (_, target) => {
    const { messages } = runRequests(request(`GET ${target} HTTP/1.1`));
    expect(messages[0]?.head.redirectTo).toBe('/admin');
  });

  it.each([
    ['Envoy CVE-2020-25017: all values are seen', get('X: good', 'X: bad'), 'x', 'good,bad'],
    ['Envoy CVE-2026-73552: obs-text is seen as bytes', get('X: good\xff'), 'x', 'good\xff'],
    ['Traefik CVE-2026-54763: underscore is no dash', get('X_Token: a'), 'x-token', null],
    [
      'Traefik CVE-2024-45410: nominated fields are not seen',
      get('Connection: X', 'X: a'),
      'x',
      null,
    ],
    ['Node CVE-2026-21710: __proto__ is a field', get('__proto__: a'), '__proto__', 'a'],
    ['trailers satisfy no rule', `${post(CHUNKED)}0\r\nX: a\r\n\r\n`, 'x', null],
  ])('%s', (_, stream, name, value) => {
    const { messages, fault } = runRequests(stream);
    expect([fault, messages[0]?.head.field(name)]).toEqual(['', value]);
  });

  it('h2csmuggler: neither the upgrade nor its settings go on', () => {
    const stream = get('Upgrade: h2c', 'HTTP2-Settings: AA', 'Connection: Upgrade, HTTP2-Settings');
    expect(runRequests(stream).messages[0]?.sent).toBe(get());
  });

  it('CL.0: the declared content of every method is content', () => {
    const smuggled = get();
    const stream = get(`Content-Length: ${smuggled.length}`) + smuggled;
    const { messages } = runRequests(stream);
    expect(messages.map(({ content }) => content)).toEqual([smuggled]);
  });
});

describe('responses', () => {
  const answer = (line: string, ...fields: string[]): string =>
    `${line}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;

  it('Envoy CVE-2024-23326: only a 101 accepts an upgrade', () => {
    const requests = [{ method: 'GET', isUpgradeAsked: true }];
    const stream = answer(
      'HTTP/1.1 200 OK',
      'Upgrade: websocket',
      'Connection: upgrade',
      'Content-Length: 0',
    );
    expect(runResponses(stream, { requests }).messages[0]?.head.upgrade).toBe('');
  });

  it('a 101 that nobody asked for is a fault', () => {
    const stream = answer('HTTP/1.1 101 x', 'Upgrade: websocket', 'Connection: upgrade');
    expect(runResponses(stream).fault).toBe('unexpected-upgrade');
  });

  it('content after HEAD, 204 or 304 is never the next response', () => {
    const smuggled = answer('HTTP/1.1 200 OK', 'Content-Length: 0');
    for (const stream of [
      answer('HTTP/1.1 204 x'),
      answer('HTTP/1.1 304 x', 'Content-Length: 38'),
    ]) {
      expect(runResponses(stream + smuggled).fault).toBe('unsolicited-response');
    }
  });
});
