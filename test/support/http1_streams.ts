/**
 * Streams of requests or responses for the differential fuzz, each made from one seed: good messages,
 * then damage of the kinds at which parsers have differed.
 */
import { SeededRandom } from './seeded_random.ts';

export type StreamKind = 'request' | 'response';

/** One to three messages, mutated none to four times. */
export function streamOf(seed: number, kind: StreamKind = 'request'): string {
  const seeds = SEEDS[kind];
  const random = new SeededRandom(seed);
  let stream = '';
  for (let count = 1 + random.below(3); count > 0; count--) stream += random.pick(seeds);
  for (let count = random.below(5); count > 0; count--) stream = mutate(stream, random, seeds);
  return stream;
}

function mutate(stream: string, random: SeededRandom, seeds: readonly string[]): string {
  const at = random.below(stream.length + 1);
  const before = stream.slice(0, at);
  const after = stream.slice(at);
  switch (random.below(9)) {
    case 0:
      return before + after.slice(1 + random.below(3));
    case 1:
      return before + random.pick(MEANINGFUL) + after;
    case 2:
      return before + random.pick(MEANINGFUL) + after.slice(1);
    case 3:
      return replaceMeaningful(stream, random);
    case 4:
      return swapLines(stream, random);
    case 5:
      return duplicateLine(stream, random);
    case 6:
      return before + random.pick(seeds).slice(random.below(30)) + after;
    case 7:
      return shiftNumber(stream, random);
    default:
      return insertLine(stream, random);
  }
}

/** One place where a meaningful text stands gets another. */
function replaceMeaningful(stream: string, random: SeededRandom): string {
  const text = random.pick(MEANINGFUL);
  const at = stream.indexOf(text, random.below(stream.length + 1));
  if (at === -1) return stream;
  return stream.slice(0, at) + random.pick(MEANINGFUL) + stream.slice(at + text.length);
}

function swapLines(stream: string, random: SeededRandom): string {
  const lines = stream.split('\r\n');
  const i = random.below(lines.length);
  const j = random.below(lines.length);
  const kept = lines[i] as string;
  lines[i] = lines[j] as string;
  lines[j] = kept;
  return lines.join('\r\n');
}

function duplicateLine(stream: string, random: SeededRandom): string {
  const lines = stream.split('\r\n');
  lines.splice(random.below(lines.length), 0, random.pick(lines));
  return lines.join('\r\n');
}

function insertLine(stream: string, random: SeededRandom): string {
  const lines = stream.split('\r\n');
  lines.splice(1 + random.below(lines.length), 0, random.pick(MEANINGFUL).replace(/\r\n$/, ''));
  return lines.join('\r\n');
}

/** Moves the boundary that a number draws. */
function shiftNumber(stream: string, random: SeededRandom): string {
  const numbers = [...stream.matchAll(/[0-9]+/g)];
  if (numbers.length === 0) return stream;
  const number = random.pick(numbers);
  const shifted = String(Math.max(0, Number(number[0]) + random.below(7) - 3));
  return stream.slice(0, number.index) + shifted + stream.slice(number.index + number[0].length);
}

const REQUESTS: readonly string[] = [
  'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
  'GET /a/b?c=d HTTP/1.1\r\nHost: a.test:80\r\nX: y\r\nAccept: */*\r\n\r\n',
  'GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n',
  'HEAD /h HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'GET /k HTTP/1.1\r\nConnection: keep-alive, X\r\nX: 1\r\nHost: a\r\n\r\n',
  'POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'POST /l HTTP/1.1\r\nHost: a\r\ncontent-length: 10\r\n\r\nGET / HTTP',
  'PUT /0 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n',
  'POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n00a\r\n0123456789\r\n0\r\nX: y\r\n\r\n',
  'POST /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a="b;c"\r\nx\r\n0;d\r\n\r\n',
  'DELETE /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc',
  'POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx',
  'GET /w HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  'GET /h2 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n',
  'GET /t HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nKeep-Alive: 5\r\n\r\n',
  '\r\nGET /crlf HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /%41/../b//c HTTP/1.1\r\nHost: [::1]:80\r\nX: \xe9\r\n\r\n',
  'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
];

const RESPONSES: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n',
  'HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n00\r\nX: y\r\n\r\n',
  'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end',
  'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
  'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab',
  'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab',
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "x"\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n',
  'HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close, X\r\nX: y\r\n\r\nabc',
  'HTTP/1.1 500 \r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 1\r\n\r\nx',
  'HTTP/1.1 200\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nx',
];

const SEEDS: Record<StreamKind, readonly string[]> = { request: REQUESTS, response: RESPONSES };

/** Bytes and words at which parsers differ. */
const MEANINGFUL: readonly string[] = [
  '\r\n',
  '\r',
  '\n',
  '\0',
  ':',
  ' ',
  '\t',
  ',',
  ';',
  '"',
  '\\',
  '=',
  '0',
  '5',
  'a',
  'F',
  '%',
  '%2e',
  '/',
  '?',
  '#',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  '-',
  '_',
  '+',
  '\r\n\r\n',
  '\r\n ',
  '0\r\n\r\n',
  '0\r\n',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/1.2',
  'GET ',
  'GET / HTTP/1.1\r\nHost: b\r\n\r\n',
  'Host: b\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'transfer-encoding:\tchunked\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: content-length\r\n',
  'chunked',
  'identity, chunked',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 204 x\r\n',
  ' 204 ',
  ' 101 ',
  ' 304 ',
];
