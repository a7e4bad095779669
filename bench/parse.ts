/**
 * node bench/parse.ts: what the HTTP/1.1 request parser costs a head, in ns and in bytes of garbage.
 * Yardsticks from the same run, on the same bytes: looking for the end of the head with the native
 * `indexOf`, and Node's own parser (llhttp) with callbacks that do nothing.
 */
import { getHeapStatistics } from 'node:v8';
import { HEAD, NEED_MORE } from '../src/codec/http1/events.ts';
import { RequestParser } from '../src/codec/http1/request_parser.ts';
import { serialiseRequestHead } from '../src/codec/http1/serialise.ts';
import { DEFAULT_LIMITS } from '../src/model/limits.ts';

const ROUND_MS = 300;
const ROUNDS = 5;
const GARBAGE_HEADS = 20_000;

const options = {
  limits: DEFAULT_LIMITS,
  isHttp10Enabled: false,
  areTrailersForwarded: false,
  isPathNormalised: true,
};

const heads: Record<string, Buffer> = {
  '5 fields': headOf([
    ['Host', 'api.example.com'],
    ['User-Agent', 'curl/8.5.0'],
    ['Accept', '*/*'],
    ['X-Request-Id', '6f1c9a6e-3f9b-4f0e-9d8e-0c6a2b1d4e5f'],
    ['Connection', 'keep-alive'],
  ]),
  '20 fields': headOf([
    ['Host', 'shop.example.com'],
    ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'],
    ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
    ['Accept-Language', 'en-GB,en;q=0.7,de;q=0.3'],
    ['Accept-Encoding', 'gzip, deflate, br, zstd'],
    ['Referer', 'https://shop.example.com/catalogue?page=3'],
    ['Cookie', `session=${'0123456789abcdef'.repeat(4)}; theme=dark; consent=1`],
    ['Authorization', `Bearer ${'eyJhbGciOiJSUzI1NiJ9'.repeat(6)}`],
    ['X-Request-Id', '6f1c9a6e-3f9b-4f0e-9d8e-0c6a2b1d4e5f'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-For', '203.0.113.7'],
    ['Traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
    ['Upgrade-Insecure-Requests', '1'],
    ['Sec-Fetch-Dest', 'document'],
    ['Sec-Fetch-Mode', 'navigate'],
    ['Sec-Fetch-Site', 'same-origin'],
    ['Priority', 'u=0, i'],
    ['Pragma', 'no-cache'],
    ['Cache-Control', 'no-cache'],
    ['Connection', 'keep-alive'],
  ]),
};

for (const [name, bytes] of Object.entries(heads)) {
  console.log(`\n${name}, ${bytes.length} bytes (ns a head, best of ${ROUNDS})`);
  const parser = new RequestParser(options);
  const native = nativeParser();
  const rows: [string, () => unknown][] = [
    ['parse', () => parse(parser, bytes)],
    ['parse + method, path, authority', () => strings(parse(parser, bytes))],
    ['parse + all fields', () => parse(parser, bytes).fields()],
    ['parse + serialise', () => serialiseRequestHead(parse(parser, bytes), [])],
    ['yardstick: indexOf CRLF CRLF', () => bytes.indexOf('\r\n\r\n', 0, 'latin1')],
    ['yardstick: llhttp', () => native.execute(bytes)],
  ];
  for (const [row, run] of rows) {
    const garbage = garbageOf(run);
    console.log(
      `  ${row.padEnd(34)} ${best(run).toFixed(0).padStart(6)} ns ${garbage.padStart(7)} B`,
    );
  }
}

function headOf(fields: readonly (readonly [string, string])[]): Buffer {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`GET /api/v1/items/42?expand=price HTTP/1.1\r\n${lines}\r\n`, 'latin1');
}

function parse(parser: RequestParser, bytes: Buffer): RequestParser['head'] {
  if (parser.next(bytes, 0) !== HEAD) throw new Error(parser.fault);
  const { head } = parser;
  parser.next(bytes, parser.offset);
  if (parser.next(bytes, parser.offset) !== NEED_MORE) throw new Error('more than one request');
  return head;
}

function strings(head: RequestParser['head']): number {
  return head.method.length + head.path.length + head.authority.length;
}

function best(run: () => unknown): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    let count = 0;
    const start = performance.now();
    let elapsed = 0;
    while (elapsed < ROUND_MS) {
      for (let i = 0; i < 1000; i++) run();
      count += 1000;
      elapsed = performance.now() - start;
    }
    least = Math.min(least, (elapsed * 1e6) / count);
  }
  return least;
}

/** Bytes of heap that one run allocates, garbage or not. */
function garbageOf(run: () => unknown): string {
  for (let i = 0; i < GARBAGE_HEADS; i++) run();
  const before = allocatedBytes();
  for (let i = 0; i < GARBAGE_HEADS; i++) run();
  return ((allocatedBytes() - before) / GARBAGE_HEADS).toFixed(0);
}

function allocatedBytes(): number {
  return (getHeapStatistics() as unknown as { total_allocated_bytes: number })
    .total_allocated_bytes;
}

interface NativeParser {
  initialize(type: number, resource: object): void;
  execute(bytes: Buffer): unknown;
  [callback: number]: () => number;
}

function nativeParser(): NativeParser {
  const { HTTPParser } = process.getBuiltinModule('_http_common') as unknown as {
    HTTPParser: { new (): NativeParser; REQUEST: number; kOnHeadersComplete: number };
  };
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HTTPParser.kOnHeadersComplete] = () => 0;
  return parser;
}
