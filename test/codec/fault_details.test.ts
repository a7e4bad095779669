/**
 * Which rule was broken, for every rule of messages: the word, and the byte where it was one. The same
 * however the bytes are cut, and as close as the reader of a log needs it: each word is told apart.
 */
import { describe, expect, it } from 'vitest';
import { DETAILS, type Detail } from '../../src/model/fault_detail.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { causeText, runRequests, runResponses } from '../support/http1_driver.ts';
import {
  drive,
  GET,
  greetedClient,
  greetedServer,
  headers,
  limitsWith,
  POST,
} from './http2/wire.ts';

const END = '\r\n\r\n';
const chunked = (body: string): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked${END}${body}`;
const field = (line: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${line}${END}`;
const target = (text: string, method = 'GET'): string =>
  `${method} ${text} HTTP/1.1\r\nHost: a${END}`;
const host = (value: string): string => `GET / HTTP/1.1\r\nHost: ${value}${END}`;

const REQUESTS: readonly [cause: string, stream: string][] = [
  ['start-line-bare-cr 1 0x47', '\rGET / HTTP/1.1'],
  ['method-character 2 0x28', target('/', 'GE(T')],
  ['method-character 0 0x20', ' / HTTP/1.1'],
  ['method-too-long', target('/', 'A'.repeat(65))],
  ['method-connect', 'CONNECT a:443 HTTP/1.1\r\n'],
  ['target-missing', 'GET  HTTP/1.1'],
  ['target-too-long', target(`/${'a'.repeat(DEFAULT_LIMITS.targetBytesMax)}`)],
  ['target-character 6 0x23', target('/a#b')],
  ['target-character 6 0xc3', target('/a\xc3')],
  ['target-form', target('svc/x')],
  ['target-form', target('a:80')],
  ['target-scheme', target('ftp://a/x')],
  ['target-authority', target('http:///x')],
  ['target-authority', target('http://u@a/x')],
  ['target-asterisk', target('*')],
  ['path-escaped-control 6 0x25', target('/a%00')],
  ['path-escape 6 0x25', target('/a%u002e')],
  ['path-character 6 0x5c', target('/a\\b')],
  ['path-hidden-dots', target('/a/..;/b')],
  ['target-scheme', target('https://a/')],
  ['version-missing', 'GET /\r\n'],
  ['version-missing', 'GET /\n'],
  ['version-form 6 0x68', 'GET / http/1.1\r\n'],
  ['version-form 14 0x20', 'GET / HTTP/1.1 \r\n'],
  ['version-unknown', 'GET / HTTP/2.0\r\n'],
  ['version-http10', 'GET / HTTP/1.0\r\n'],
  ['start-line-bare-lf 14 0x0a', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['start-line-bare-cr 15 0x48', 'GET / HTTP/1.1\rHost: a'],
  ['field-bare-lf 23 0x0a', 'GET / HTTP/1.1\r\nHost: a\n\n'],
  ['field-bare-lf 25 0x0a', 'GET / HTTP/1.1\r\nHost: a\r\n\n'],
  ['field-bare-cr 24 0x62', 'GET / HTTP/1.1\r\nHost: a\rb'],
  ['field-name-empty 25 0x3a', field(': x')],
  ['field-name-character 26 0x28', field('a(b: x')],
  ['field-name-space 26 0x20', field('a : x')],
  ['field-colon-missing 26 0x0d', field('a')],
  ['field-folded 25 0x20', field(' a: x')],
  ['field-value-character 28 0x00', field('a: \0')],
  ['field-count', field('a: x\r\n'.repeat(100).slice(0, -2))],
  ['head-bytes', field(`a: ${'x'.repeat(70_000)}`)],
  ['connection-form', field('Connection: a b')],
  ['connection-nominates', field('Connection: host')],
  ['expectation-unknown', field('Expect: x')],
  ['host-missing', `GET / HTTP/1.1${END}`],
  ['host-repeated', field('Host: a')],
  ['host-empty', host('')],
  ['host-userinfo', host('u:p@a')],
  ['host-character 23 0x2c', host('a,b')],
  ['host-address', host('[::1%25eth0]')],
  ['host-address', host('[::1')],
  ['host-port', host('[::1]:x')],
  ['host-port', host('a:99999')],
  ['host-port', host('a:')],
  ['host-differs', target('http://b/')],
  ['length-form', field('Content-Length: +1')],
  ['length-form', field('Content-Length:')],
  ['length-repeated', field('Content-Length: 1\r\nContent-Length: 1')],
  ['length-too-large', field('Content-Length: 9007199254740992')],
  ['length-too-large', field(`Content-Length: ${'9'.repeat(30)}`)],
  ['length-tab', field('Content-Length:\t1')],
  ['coding-tab', field('Transfer-Encoding:\tchunked')],
  ['two-framings', field('Content-Length: 1\r\nTransfer-Encoding: chunked')],
  ['coding-form', field('Transfer-Encoding: chunked, gzip')],
  ['coding-repeated', field('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked')],
  ['coding-unknown', field('Transfer-Encoding: gzip, chunked')],
  ['chunk-size-form 0 0x78', chunked('x')],
  ['chunk-size-form 1 0x20', chunked('1 \r\nx')],
  ['chunk-size-too-large', chunked(`1${'0'.repeat(15)}`)],
  ['chunk-line-end 1 0x0a', chunked('1\nx')],
  ['chunk-line-end 2 0x78', chunked('1\rx')],
  ['chunk-data-end 4 0x79', chunked('1\r\nxyy\r\n')],
  ['chunk-data-end 4 0x0a', chunked('1\r\nx\n')],
  ['chunk-extension-form 4 0x20', chunked('1;a ;b\r\n').replace('a ', 'aa ')],
  ['chunk-extension-too-long', chunked(`1;${'a'.repeat(2000)}`)],
  ['trailer-forbidden', chunked(`0\r\nHost: b${END}`)],
  ['field-bare-lf 4 0x0a', chunked('0\r\nA: b\n')],
  ['upgrade-form', field('Connection: upgrade\r\nUpgrade: a, b')],
  ['upgrade-content', field('Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1')],
  ['upgrade-close', field('Connection: upgrade, close\r\nUpgrade: websocket')],
];

const OK = 'HTTP/1.1 200 OK\r\n';

const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n';

const RESPONSES: readonly [cause: string, stream: string, requests?: { method: string }[]][] = [
  ['version-form 0 0x68', 'http/1.1 200 OK\r\n'],
  ['version-unknown', 'HTTP/3.0 200 OK\r\n'],
  ['status-form 11 0x78', 'HTTP/1.1 20x OK\r\n'],
  ['status-range', 'HTTP/1.1 099 OK\r\n'],
  ['reason-character 13 0x00', 'HTTP/1.1 200 \0\r\n'],
  ['field-bare-cr 22 0x78', `${OK}A: b\rx`],
  ['field-colon-missing 19 0x78', `${OK}A x: b${END}`],
  ['length-repeated', `${OK}Content-Length: 1\r\nContent-Length: 2${END}`],
  ['length-forbidden', `${SWITCHED}Connection: upgrade\r\nContent-Length: 1${END}`],
  ['informational-final', `${SWITCHED}Connection: upgrade, close${END}`],
  ['informational-count', `HTTP/1.1 100 Continue${END}`.repeat(17)],
  ['switch-form', `HTTP/1.1 101 Switching Protocols${END}`],
  ['response-unasked', `${OK}Content-Length: 0${END}HTTP/1.1 200 OK`],
  ['field-count', `${OK}${'a: b\r\n'.repeat(201)}`],
  ['chunk-size-form 0 0x78', `${OK}Transfer-Encoding: chunked${END}x`],
];

const WITHOUT_PATH = [':method', 'GET', ':scheme', 'http', ':authority', 'a'];
const WITHOUT_HOST = [':method', 'GET', ':scheme', 'http', ':path', '/'];
const BEFORE_METHOD = [':scheme', 'http', ':authority', 'a', ':path', '/'];

const STREAMS: readonly [cause: string, fields: readonly string[]][] = [
  ['pseudo-missing', WITHOUT_PATH],
  ['pseudo-repeated', [...GET, ':path', '/']],
  ['pseudo-empty', [...WITHOUT_PATH, ':path', '']],
  ['pseudo-unknown', [...GET, ':x', 'y']],
  ['pseudo-late', [...WITHOUT_PATH, 'a', 'b', ':path', '/']],
  ['pseudo-value', [':method', 'GE T', ...BEFORE_METHOD]],
  ['method-too-long', [':method', 'A'.repeat(65), ...BEFORE_METHOD]],
  ['method-connect', [':method', 'CONNECT', ...BEFORE_METHOD]],
  ['target-character 2 0x20', [...WITHOUT_PATH, ':path', '/a b']],
  ['target-character 2 0x00', [...WITHOUT_PATH, ':path', '/a\0']],
  ['path-hidden-dots', [...WITHOUT_PATH, ':path', '/%2e%2e;']],
  ['target-form', [...WITHOUT_PATH, ':path', 'a']],
  ['target-asterisk', [...WITHOUT_PATH, ':path', '*']],
  ['host-missing', WITHOUT_HOST],
  ['host-userinfo', [...WITHOUT_HOST, ':authority', 'u@a']],
  ['host-character 1 0x01', [...WITHOUT_HOST, ':authority', 'a\u0001']],
  ['host-repeated', [...WITHOUT_HOST, 'host', 'a', 'host', 'a']],
  ['host-differs', [...GET, 'host', 'b']],
  ['field-name-character 0 0x41', [...GET, 'A', 'b']],
  ['field-value-character 1 0x0a', [...GET, 'a', 'b\n']],
  ['field-of-connection', [...GET, 'connection', 'close']],
  ['te-value', [...GET, 'te', 'gzip']],
  ['length-form', [...GET, 'content-length', 'x']],
  ['length-mismatch', [...GET, 'content-length', '1']],
  ['expectation-unknown', [...GET, 'expect', 'x']],
  ['head-bytes', [...GET, 'a', 'x'.repeat(5000)]],
  ['field-count', [...GET, ...Array.from({ length: 30 }, () => ['a', 'b']).flat()]],
];

describe('the cause of a refused request', () => {
  it.each(REQUESTS)('%s', (cause, stream) => {
    for (const cuts of [[], [1], [7, 3]]) expect(runRequests(stream, {}, cuts).cause).toBe(cause);
    const [detail = ''] = cause.split(' ');
    expect(runRequests(stream).fault).toBe(DETAILS[detail as Detail].fault);
  });

  it('counts the byte from the beginning of its own head, of its own content', () => {
    const before = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n';
    expect(runRequests(before + target('/a#b')).cause).toBe('target-character 6 0x23');
    const first = chunked('1\r\nx\r\n0\r\n\r\n');
    expect(runRequests(first + chunked('1\r\nx\r\ny')).cause).toBe('chunk-size-form 6 0x79');
  });
});

describe('the cause of a refused response', () => {
  it.each(RESPONSES)('%s', (cause, stream) => {
    for (const cuts of [[], [1], [7, 3]]) {
      const requests = [{ method: 'GET', isUpgradeAsked: true }];
      const limits = { informationalResponseCountMax: 16 };
      const run = runResponses(stream, { requests, limits }, cuts);
      expect(run.cause).toBe(cause);
      expect(run.fault).toMatch(
        /^(malformed-response|response-head-too-large|unsolicited-response)$/,
      );
    }
  });
});

describe('the cause of a refused HTTP/2 message', () => {
  it.each(STREAMS)('%s', (cause, fields) => {
    const connection = greetedServer(limitsWith({ headBytesMax: 4096, headFieldCountMax: 20 }));
    const [told = ''] = drive(connection, headers(1, fields));
    expect(told).toMatch(/^malformed 1 /);
    expect(causeText(connection.facts.cause)).toBe(cause);
    expect(connection.facts.fault).toBe(connection.facts.cause?.fault);
  });

  it.each<[string, readonly string[], number]>([
    ['trailers-not-last', ['x', 'y'], 0x4],
    ['trailer-forbidden', ['authorization', 'x'], 0x5],
    ['pseudo-late', [':path', '/'], 0x5],
  ])('%s in trailers', (cause, fields, flags) => {
    const connection = greetedServer();
    drive(connection, headers(1, POST, 0x4));
    drive(connection, headers(1, fields, flags));
    expect(causeText(connection.facts.cause)).toBe(cause);
  });

  it.each<[string, readonly string[]]>([
    ['pseudo-missing', ['x', 'y']],
    ['status-range', [':status', '099']],
    ['field-of-connection', [':status', '200', 'connection', 'close']],
    ['length-repeated', [':status', '200', 'content-length', '0', 'content-length', '0']],
    ['length-mismatch', [':status', '200', 'content-length', '5']],
    ['informational-final', [':status', '103']],
  ])('%s in a response', (cause, fields) => {
    const connection = greetedClient();
    connection.sendHeaders(
      connection.openStream(1, false),
      { fields: GET, kinds: null, from: 0 },
      true,
    );
    drive(connection, headers(1, fields));
    expect(causeText(connection.facts.cause)).toBe(cause);
    expect(connection.facts.fault).toBe('malformed-response');
  });
});

/** What has its case in another test: of options, of the order of both sides, of trailers. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'coding-http10',
  'response-early',
  'chunked-to-http10',
  'switch-unasked',
  'data-before-head',
  'field-name-underscore',
  'trailers-not-last',
  'path-parameter',
]);

/** Of HTTP/2 connections, and of what comes before a message: told in the tests of these. */
const OTHERS = /^(h2|tcp|proxy|hello)-/;

describe('the vocabulary', () => {
  it('has no word of messages for which there is no case', () => {
    const seen = [...REQUESTS, ...RESPONSES, ...STREAMS].map(([cause]) => cause.split(' ')[0]);
    const unseen = Object.keys(DETAILS).filter(
      (detail) => !seen.includes(detail) && !OTHERS.test(detail) && !ELSEWHERE.has(detail),
    );
    expect(unseen).toEqual([]);
  });
});
