/** HTTP/1.1 heads as browsers and services send them, with as many fields as one wants. */
import type { RequestParserOptions } from '../../src/codec/http1/request_parser.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';

export const PARSER_OPTIONS: RequestParserOptions = {
  limits: DEFAULT_LIMITS,
  isHttp10Enabled: false,
  areTrailersForwarded: false,
  isPathNormalised: true,
};

const REQUEST_FIELDS: readonly string[] = [
  'Host: shop.example.com',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'X-Request-Id: 6f1c9a6e-3f9b-4f0e-9d8e-0c6a2b1d4e5f',
  'Connection: keep-alive',
  'Accept-Language: en-GB,en;q=0.7,de;q=0.3',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Referer: https://shop.example.com/catalogue?page=3',
  `Cookie: session=${'0123456789abcdef'.repeat(4)}; theme=dark; consent=1`,
  `Authorization: Bearer ${'eyJhbGciOiJSUzI1NiJ9'.repeat(6)}`,
  'X-Forwarded-Proto: https',
  'X-Forwarded-For: 203.0.113.7',
  'Upgrade-Insecure-Requests: 1',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: same-origin',
  'Sec-Fetch-User: ?1',
  'Priority: u=0, i',
  'Pragma: no-cache',
  'Cache-Control: no-cache',
];

const RESPONSE_FIELDS: readonly string[] = [
  'Content-Type: application/json',
  'Content-Length: 0',
  'Date: Mon, 01 Jan 2026 00:00:00 GMT',
  'Server: origin/1.2',
  'Cache-Control: private, max-age=0, must-revalidate',
  'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
  'Vary: Accept-Encoding',
  'Strict-Transport-Security: max-age=31536000; includeSubDomains',
  'X-Content-Type-Options: nosniff',
  'X-Frame-Options: DENY',
];

export function requestBytes(fieldCount: number, path = '/api/v1/items/42?expand=price'): Buffer {
  return headOf(`GET ${path} HTTP/1.1`, lines(REQUEST_FIELDS, fieldCount));
}

export function responseBytes(fieldCount: number): Buffer {
  return headOf('HTTP/1.1 200 OK', lines(RESPONSE_FIELDS, fieldCount));
}

function headOf(first: string, rest: readonly string[]): Buffer {
  return Buffer.from(`${[first, ...rest].join('\r\n')}\r\n\r\n`, 'latin1');
}

function lines(known: readonly string[], count: number): readonly string[] {
  return Array.from(
    { length: count },
    (_, i) => known[i] ?? `X-Field-${i}: ${'value '.repeat(5)}${i}`,
  );
}
