/**
 * What is asked: families by hand, and targets put together by a seeded generator. Each target, host and method
 * goes over both versions; heads that only HTTP/1.1 can have go over that.
 */
import { SeededRandom } from '../../support/seeded_random.ts';

export interface Case {
  readonly version: 'h1' | 'h2';
  /** The bytes of the request as Latin-1, or its fields as JSON. */
  readonly text: string;
  readonly target: string;
  readonly host: string;
  readonly method: string;
}

const GENERATED_COUNT = 250;
const SEED = 20_260_801;

const ASCII = Array.from({ length: 0x7f - 0x21 }, (_, i) => String.fromCharCode(0x21 + i));
const OTHER_BYTES = ['\x01', '\t', '\x7f', '\x80', '\xe9', '\xff'];

/** What a lenient decoder takes for a dot or a slash: overlong UTF-8, and characters that look like them. */
const LIKE_DOTS = [
  '%c0%ae',
  '%C0%AE',
  '%c0%2e',
  '%e0%80%ae',
  '%f0%80%80%ae',
  '%ef%bc%8e',
  '%uff0e',
];
const LIKE_SLASHES = [
  '%c0%af',
  '%c0%2f',
  '%e0%80%af',
  '%f0%80%80%af',
  '%c1%9c',
  '%ef%bc%8f',
  '%e2%88%95',
];
/** No UTF-8: cut short, a surrogate, bytes that are never in it. */
const NO_UTF8 = ['%c0', '%e0%80', '%ed%a0%80', '%f8%80%80%80%ae', '%fe', '%ff', '%80', '%c0%80'];

const TARGETS = [
  ...['/public/a', '/exact', '/exact?x', '/get/a', '/one/a', '/one/a/b', '/s?x', '/', '/none'],
  ...ASCII.map((char) => `/public/a${char}b`),
  ...ASCII.map((char) => `/s?a${char}b`),
  ...OTHER_BYTES.flatMap((char) => [`/public/a${char}b`, `/s?a${char}b`]),
  ...['..', '.', '%2e%2e', '%2E.', '..;', '.;', '..;x=1', '%2e%2e;', '..%3b', '..%3Bx'].flatMap(
    (dots) => [`/public/${dots}/exact`, `/public/${dots}`, `/none/${dots}/public/a`],
  ),
  ...['%252e%252e', '.%252e', '..%253b', '%25252e%25252e', '%%32e%%32e', '%u002e%u002e'].map(
    (dots) => `/public/${dots}/exact`,
  ),
  ...['//', '///', '/./', '%2f', '%2F', '%5c', '%5C', '\\', '%252f', '%255c'].flatMap((slash) => [
    `/public${slash}a`,
    `${slash}public/a`,
    `/public${slash}..${slash}exact`,
    `/one/a${slash}b`,
  ]),
  ...['%', '%4', '%zz', '%00', '%0a', '%1f', '%20', '%7f', '%41', '%c3%a9', '%23', '%3f'].flatMap(
    (text) => [`/public/a${text}`, `/public/${text}a`, `/s?a${text}`],
  ),
  ...LIKE_DOTS.flatMap((dot) => [
    `/public/${dot}${dot}/exact`,
    `/public/${dot}.;/exact`,
    `/public/${dot}`,
    `/one/${dot}${dot}${dot}`,
  ]),
  ...LIKE_SLASHES.flatMap((slash) => [
    `/public/..${slash}exact`,
    `${slash}public/a`,
    `/one/a${slash}b`,
    `/one${slash}..${slash}exact`,
  ]),
  ...NO_UTF8.flatMap((bytes) => [`/public/a${bytes}`, `/one/${bytes}/..`, `/s?a${bytes}`]),
  ...['/public/%c0%ae%c0%ae/', '/%e0%80%ae%e0%80%ae/public/a', '/%25c0%25ae%25c0%25ae/public/a'],
  ...['/one/a;x', '/one/;a/../b', '/public/a;v=1/b', '/exact;x=1', '/;/exact', '/exact/.;'],
  ...[
    '/public/.../a',
    '/public/..a',
    '/public/a..',
    '/public/a/../../public/b',
    '/..',
    '/../exact',
  ],
];

const ABSOLUTE = [
  ...['http://svc/public/a', 'http://svc:80/public/a', 'HTTP://SVC/public/a', 'http://svc'],
  ...[
    'http://other/public/a',
    'http://u@svc/public/a',
    'http://u:p@svc/public/a',
    'http:///public/a',
  ],
  ...['https://svc/public/a', 'ftp://svc/public/a', 'svc/public/a', 'svc:80', '*', 'http://svc?x'],
  ...['http://svc/public/../exact', 'http://svc/public/..;/exact', 'http://svc:8080/host/a'],
];

const HOSTS = [
  ...['svc', 'SVC', 'svc.', 'svc:80', 'svc:8080', 'svc:', 'svc:x', 'svc:99999', 'other', 'a_b'],
  ...[
    '',
    'u@svc',
    'svc,other',
    'svc other',
    'svc/other',
    'svc?x',
    'svc#x',
    '%73vc',
    'sv\xe9',
    '[::1]',
  ],
  ...[
    '[::1]:80',
    '[::1%25eth0]',
    '[::1',
    '::1',
    '127.0.0.1',
    '-',
    'svc\\other',
    '*.svc',
    'svc@',
    '@svc',
  ],
];

const METHODS = [
  ...[
    'GET',
    'POST',
    'PUT',
    'DELETE',
    'HEAD',
    'OPTIONS',
    'PATCH',
    'TRACE',
    'CONNECT',
    'get',
    'PURGE',
  ],
  ...['FOO-BAR', 'X!', 'G ET', 'G(T', 'A'.repeat(64), 'A'.repeat(65), 'A'.repeat(10_000), 'PRI'],
];

const HEADS = [
  'GET /public/a HTTP/1.1\n Host: svc\n\n',
  'GET /public/a HTTP/1.1\nHost: svc\n\n',
  'GET /public/a HTTP/1.1\r\nHost : svc\r\n\r\n',
  'GET /public/a HTTP/1.1\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nHost: svc\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nHost: other\r\n\r\n',
  'GET  /public/a HTTP/1.1\r\nHost: svc\r\n\r\n',
  'GET /public/a  HTTP/1.1\r\nHost: svc\r\n\r\n',
  'GET\t/public/a HTTP/1.1\r\nHost: svc\r\n\r\n',
  'GET /public/a HTTP/1.2\r\nHost: svc\r\n\r\n',
  'GET /public/a HTTP/2.0\r\nHost: svc\r\n\r\n',
  'GET /public/a\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nX: a\r\n b\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nX\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nX: a\0b\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nContent-Length: +0\r\n\r\n',
  'GET /public/a HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: gzip\r\n\r\n',
  '\r\nGET /public/a HTTP/1.1\r\nHost: svc\r\n\r\n',
];

export const CASES: readonly Case[] = [
  ...[...TARGETS, ...generated()].flatMap((target) => both({ target, host: 'svc', method: 'GET' })),
  ...ABSOLUTE.flatMap((target) => both({ target, host: 'svc', method: 'GET' })),
  ...['http://svc/public/a', 'http://svc:80/host/a'].flatMap((target) =>
    ['svc:80', 'SVC', 'other'].map((host) => http1({ target, host, method: 'GET' })),
  ),
  ...HOSTS.flatMap((host) =>
    ['/public/a', '/host/a'].flatMap((target) => both({ target, host, method: 'GET' })),
  ),
  ...METHODS.flatMap((method) =>
    ['/public/a', '/get/a'].flatMap((target) => both({ target, host: 'svc', method })),
  ),
  ...HEADS.map((text): Case => ({ version: 'h1', text, target: '', host: '', method: '' })),
  http2({ target: '/public/a', host: 'svc', method: 'GET' }, 'https'),
  http2({ target: '/public/a', host: 'svc', method: 'GET' }, 'ftp'),
];

type Asked = Pick<Case, 'target' | 'host' | 'method'>;

function both(asked: Asked): Case[] {
  return [http1(asked), http2(asked, 'http')];
}

function http1(asked: Asked): Case {
  const { target, host, method } = asked;
  return { ...asked, version: 'h1', text: `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n` };
}

function http2(asked: Asked, scheme: string): Case {
  const { target, host, method } = asked;
  const fields = [':method', method, ':scheme', scheme, ':authority', host, ':path', target];
  return { ...asked, version: 'h2', text: JSON.stringify(fields) };
}

function generated(): string[] {
  const random = new SeededRandom(SEED);
  const parts = [
    '/',
    '/',
    '/',
    '.',
    '..',
    'a',
    'public',
    'exact',
    'one',
    '%2e',
    '%2F',
    '%41',
    '%25',
  ];
  const more = ['2e', ';', '%3b', '?', '|', '%', '//', '~', '%7e', '%c3', '[', '"'];
  const all = [...parts, ...more];
  return Array.from({ length: GENERATED_COUNT }, () => {
    const length = 2 + random.below(8);
    const text = Array.from({ length }, () => random.pick(all)).join('');
    return `/public/${text}`;
  });
}
