import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Http2RequestHead } from '../../../src/codec/http2/request_head.ts';
import type { HeaderMutation } from '../../../src/model/decision.ts';
import { drive, GET, greetedServer, headers, limitsWith, POST } from './wire.ts';

const METHOD = [':method', 'GET'];
const SCHEME = [':scheme', 'http'];
const AUTHORITY = [':authority', 'a.test'];
const PATH = [':path', '/'];

/** What a server connection makes of one request's fields: its head, or the fault. */
function requestOf(fields: readonly string[], limits = limitsWith({})): Http2RequestHead | string {
  const connection = greetedServer(limits);
  const [line = ''] = drive(connection, headers(1, fields));
  const { facts } = connection;
  if (line.startsWith('malformed')) return facts.fault;
  if (!line.startsWith('head') || facts.requestHead === null) return line;
  return facts.requestHead;
}

function headOf(fields: readonly string[]): Http2RequestHead {
  const head = requestOf(fields);
  if (typeof head === 'string') throw new Error(head);
  return head;
}

/** `fields` make a request that is refused with `fault`, or null for one that is accepted. */
function check(fields: readonly string[], fault: string | null): void {
  const read = requestOf(fields);
  expect(typeof read === 'string' ? read : null).toBe(fault);
}

describe('pseudo-fields (RFC 9113 8.3)', () => {
  it.each<[string, readonly string[], string | null]>([
    ['all four', GET, null],
    ['in any order', [...PATH, ...AUTHORITY, ...METHOD, ...SCHEME], null],
    ['no :method', [...SCHEME, ...AUTHORITY, ...PATH], 'malformed-pseudo-field'],
    ['no :scheme', [...METHOD, ...AUTHORITY, ...PATH], 'malformed-pseudo-field'],
    ['no :path', [...METHOD, ...SCHEME, ...AUTHORITY], 'malformed-pseudo-field'],
    ['an empty :path', [...METHOD, ...SCHEME, ...AUTHORITY, ':path', ''], 'malformed-pseudo-field'],
    [
      'an empty :authority',
      [...METHOD, ...SCHEME, ...PATH, ':authority', ''],
      'malformed-pseudo-field',
    ],
    ['two :method', [...GET, ...METHOD], 'malformed-pseudo-field'],
    ['two :path', [...GET, ...PATH], 'malformed-pseudo-field'],
    ['two :authority', [...GET, ...AUTHORITY], 'malformed-pseudo-field'],
    ['two :scheme', [...GET, ...SCHEME], 'malformed-pseudo-field'],
    [
      'behind a field',
      [...METHOD, ...SCHEME, ...PATH, 'x', 'y', ...AUTHORITY],
      'malformed-pseudo-field',
    ],
    ['unknown', [...GET, ':nonsense', 'x'], 'malformed-pseudo-field'],
    [':status', [...GET, ':status', '200'], 'malformed-pseudo-field'],
    [':protocol', [...GET, ':protocol', 'websocket'], 'malformed-pseudo-field'],
    [
      'another scheme',
      [...METHOD, ':scheme', 'ftp', ...AUTHORITY, ...PATH],
      'malformed-pseudo-field',
    ],
    [
      'a scheme in upper case',
      [...METHOD, ':scheme', 'HTTP', ...AUTHORITY, ...PATH],
      'malformed-pseudo-field',
    ],
    ['https', [...METHOD, ':scheme', 'https', ...AUTHORITY, ...PATH], null],
    [
      'a method that is no token',
      [':method', 'G T', ...SCHEME, ...AUTHORITY, ...PATH],
      'malformed-pseudo-field',
    ],
    ['a method of one’s own', [':method', 'Frob-1', ...SCHEME, ...AUTHORITY, ...PATH], null],
    ['CONNECT', [':method', 'CONNECT', ...AUTHORITY], 'connect-refused'],
    [
      'a name in upper case',
      [...METHOD, ...SCHEME, ...PATH, ':Authority', 'a.test'],
      'malformed-pseudo-field',
    ],
  ])('%s', (_, fields, fault) => check(fields, fault));
});

describe('authority and host', () => {
  const rest = [...METHOD, ...SCHEME, ...PATH];

  it.each<[string, string | null]>([
    ['a.test', null],
    ['a.test:8080', null],
    ['10.0.0.1', null],
    ['[::1]', null],
    ['[::1]:80', null],
    ['A.Test', null],
    ['u@a.test', 'malformed-host'],
    ['a.test:', 'malformed-host'],
    ['a.test:99999', 'malformed-host'],
    ['a.test/x', 'malformed-host'],
    ['a.test,b.test', 'malformed-host'],
    ['a test', 'malformed-host'],
    ['[::1', 'malformed-host'],
    ['a.test?x', 'malformed-host'],
    ['a\xe4.test', 'malformed-host'],
  ])('%s', (authority, fault) => {
    check([...rest, ':authority', authority], fault);
    check([...rest, 'host', authority], fault);
  });

  it.each<[string, readonly string[], string | null]>([
    ['neither', rest, 'malformed-host'],
    ['both, equal', [...rest, ...AUTHORITY, 'host', 'a.test'], null],
    ['both, different', [...rest, ...AUTHORITY, 'host', 'b.test'], 'malformed-host'],
    ['two hosts', [...rest, 'host', 'a.test', 'host', 'a.test'], 'malformed-host'],
    ['an empty host', [...rest, 'host', ''], 'malformed-host'],
  ])('%s', (_, fields, fault) => check(fields, fault));

  it('a host alone becomes the authority, and is no field any more', () => {
    const head = headOf([...rest, 'host', 'a.test', 'x', 'y']);
    expect(head.authority).toBe('a.test');
    expect(head.fields()).toEqual(['x', 'y']);
    expect(head.source()?.fields).toEqual([...METHOD, ...SCHEME, ...AUTHORITY, ...PATH, 'x', 'y']);
  });
});

describe('fields (RFC 9113 8.2)', () => {
  it.each<[string, readonly string[], string | null]>([
    ['connection', ['connection', 'close'], 'malformed-field'],
    ['keep-alive', ['keep-alive', '1'], 'malformed-field'],
    ['proxy-connection', ['proxy-connection', 'close'], 'malformed-field'],
    ['transfer-encoding', ['transfer-encoding', 'chunked'], 'malformed-field'],
    ['upgrade', ['upgrade', 'h2c'], 'malformed-field'],
    ['te: trailers', ['te', 'trailers'], null],
    ['te: anything else', ['te', 'gzip'], 'malformed-field'],
    ['te: a list', ['te', 'trailers, gzip'], 'malformed-field'],
    ['an upper case name', ['X-a', 'b'], 'malformed-field'],
    ['an empty name', ['', 'b'], 'malformed-field'],
    ['a space in a name', ['x y', 'b'], 'malformed-field'],
    ['a colon in a name', ['x:y', 'b'], 'malformed-field'],
    ['a byte above 0x7f in a name', ['x\xe4', 'b'], 'malformed-field'],
    ['an empty value', ['x', ''], null],
    ['obs-text in a value', ['x', '\xe4\xff'], null],
    ['a tab within a value', ['x', 'a\tb'], null],
    ['a space at the start', ['x', ' a'], 'malformed-field'],
    ['a tab at the end', ['x', 'a\t'], 'malformed-field'],
    ['NUL', ['x', 'a\0b'], 'malformed-field'],
    ['CR', ['x', 'a\rb'], 'malformed-field'],
    ['LF', ['x', 'a\nb'], 'malformed-field'],
    ['DEL', ['x', 'a\x7fb'], 'malformed-field'],
    ['expect: 100-continue', ['expect', '100-Continue'], null],
    ['another expectation', ['expect', '200-ok'], 'malformed-expect'],
    ['two expectations', ['expect', '100-continue', 'expect', '100-continue'], 'malformed-expect'],
    ['content-length: 0', ['content-length', '0'], null],
    ['content-length of a head that ends', ['content-length', '5'], 'malformed-content-length'],
    [
      'two content-lengths',
      ['content-length', '0', 'content-length', '0'],
      'malformed-content-length',
    ],
    ['a list of them', ['content-length', '0, 0'], 'malformed-content-length'],
    ['a sign', ['content-length', '+0'], 'malformed-content-length'],
    ['a hex number', ['content-length', '0x0'], 'malformed-content-length'],
    ['an empty one', ['content-length', ''], 'malformed-content-length'],
    ['too many digits', ['content-length', '0'.repeat(17)], 'malformed-content-length'],
    [
      'beyond what can be counted',
      ['content-length', '9007199254740992'],
      'malformed-content-length',
    ],
  ])('%s', (_, fields, fault) => check([...GET, ...fields], fault));
});

describe('paths', () => {
  const withPath = (path: string, method = 'GET'): readonly string[] => [
    ...[':method', method, ...SCHEME, ...AUTHORITY, ':path', path],
  ];

  it.each<[string, string | null]>([
    ['/a/b?c=d', null],
    ['a', 'malformed-target'],
    ['*', 'malformed-target'],
    ['http://a.test/', 'malformed-target'],
    ['/a#b', 'malformed-target'],
    ['/a b', 'malformed-target'],
    ['/\xff', 'malformed-target'],
    ['/a\\b', 'malformed-target'],
    ['/public/..;/admin', 'malformed-target'],
    ['/%252e%252e', 'malformed-target'],
    ['/a|b?c|d%', null],
    ['/%00', 'malformed-target'],
    ['/pkg.Service/Method', null],
  ])('%s', (path, fault) => check(withPath(path), fault));

  it('takes * for OPTIONS only', () => check(withPath('*', 'OPTIONS'), null));

  it('refuses a path longer than targetBytesMax', () => {
    const read = requestOf(withPath(`/${'a'.repeat(300)}`), limitsWith({ targetBytesMax: 256 }));
    expect(read).toBe('target-too-long');
  });

  it.each([
    ['/a/../b', '/b', ''],
    ['//a', '/a', ''],
    ['/%61', '/a', ''],
    ['/a/..%2fb', '/b', '/b'],
    ['/a?x=../b', '/a?x=../b', ''],
  ])('%s is judged and sent as %s', (path, normal, redirectTo) => {
    // The second is answered from memory.
    const connection = greetedServer();
    for (const streamId of [1, 3]) {
      drive(connection, headers(streamId, withPath(path)));
      const head = connection.facts.requestHead;
      expect(head?.path).toBe(normal);
      expect(Buffer.from(head?.pathBytes ?? []).toString('latin1')).toBe(normal);
      expect(head?.redirectTo).toBe(redirectTo);
      expect(head?.source()?.fields).toContain(normal);
    }
  });
});

describe('the head', () => {
  it('tells method, scheme, authority, path, version and fields', () => {
    const head = headOf([...POST, 'content-type', 'text/plain', 'x', '1', 'x', '2']);
    expect(head.version).toBe('HTTP/2');
    expect([head.method, head.scheme, head.authority, head.path]).toEqual([
      'POST',
      'http',
      'a.test',
      '/',
    ]);
    expect(Buffer.from(head.methodBytes).toString()).toBe('POST');
    expect(Buffer.from(head.authorityBytes).toString()).toBe('a.test');
    expect(head.fields()).toEqual(['content-type', 'text/plain', 'x', '1', 'x', '2']);
    expect(head.field('x')).toBe('1,2');
    expect(head.field('y')).toBeNull();
    expect(head.isGrpc).toBe(false);
  });

  it('joins the crumbs of a cookie as one string, where the first stood', () => {
    const head = headOf([...GET, 'cookie', 'a=1', 'x', 'y', 'cookie', 'b=2', 'cookie', 'c=3']);
    expect(head.field('cookie')).toBe('a=1; b=2; c=3');
    expect(head.fields()).toEqual(['cookie', 'a=1; b=2; c=3', 'x', 'y']);
    expect(head.source()?.fields.slice(8)).toEqual(head.fields());
  });

  it.each([
    ['application/grpc', true],
    ['application/grpc+proto', true],
    ['application/grpc;x=y', true],
    ['Application/GRPC', true],
    ['application/grpc-web', false],
    ['application/grpcx', false],
    ['text/plain', false],
  ])('%s is gRPC: %s', (type, isGrpc) => {
    expect(headOf([...POST, 'content-type', type]).isGrpc).toBe(isGrpc);
  });

  it('is sent as it was judged, whatever was received', () => {
    const name = fc.constantFrom('x', 'cookie', 'accept', 'x-secret', 'te');
    const field = name.map((n) => (n === 'te' ? ['te', 'trailers'] : [n, `v-${n}`]));
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), fc.boolean(), (list, isHostSent) => {
        const host = isHostSent ? ['host', 'a.test'] : [];
        const head = headOf([...METHOD, ...SCHEME, ...PATH, ...AUTHORITY, ...host, ...list.flat()]);
        const sent = headOf(head.source()?.fields ?? []);
        expect(sent.fields()).toEqual(head.fields());
        expect([sent.method, sent.authority, sent.path]).toEqual([
          head.method,
          head.authority,
          head.path,
        ]);
      }),
    );
  });
});

describe('header actions', () => {
  const head = (): Http2RequestHead => headOf([...GET, 'x', '1', 'cookie', 'a', 'cookie', 'b']);

  it.each<[string, HeaderMutation, readonly string[] | null]>([
    ['add', { kind: 'add', name: 'y', value: '2' }, ['x', '1', 'cookie', 'a; b', 'y', '2']],
    ['delete', { kind: 'delete', name: 'cookie', value: '' }, ['x', '1']],
    ['replace', { kind: 'replace', name: 'x', value: '3' }, ['x', '3', 'cookie', 'a; b']],
    [
      'hop fields are left alone',
      { kind: 'add', name: 'te', value: 'gzip' },
      ['x', '1', 'cookie', 'a; b'],
    ],
    ['host is refused', { kind: 'replace', name: 'host', value: 'b.test' }, null],
    ['content-length is refused', { kind: 'delete', name: 'content-length', value: '' }, null],
    [
      'transfer-encoding is refused',
      { kind: 'add', name: 'transfer-encoding', value: 'chunked' },
      null,
    ],
    ['a pseudo-field is refused', { kind: 'replace', name: ':path', value: '/x' }, null],
    ['an upper case name is refused', { kind: 'add', name: 'X', value: 'y' }, null],
    ['CRLF is refused', { kind: 'add', name: 'y', value: 'a\r\nb' }, null],
    [
      'a char that would be cut to LF is refused',
      { kind: 'add', name: 'y', value: '\u010a' },
      null,
    ],
    ['a name of such chars is refused', { kind: 'add', name: '\u0161', value: 'x' }, null],
  ])('%s', (_, mutation, fields) => {
    expect(head().source([mutation])?.fields.slice(8) ?? null).toEqual(fields);
  });
});
