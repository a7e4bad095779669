/**
 * Our request parser against llhttp over mutated requests. The rule: we may be stricter, never
 * looser. Two streams are compared: what the client sent, which llhttp must read as we did as far as
 * we accepted it; and what we would forward, which it must read exactly as it was judged.
 *
 * By design, and so not counted:
 *  - methods that llhttp does not know: any token is a method (RFC 9110 9.1), policy decides on it;
 *  - what follows an upgrade: llhttp stops there, whatever comes of it. We go on when we have taken
 *    the upgrade out (h2c), and the relay stops by itself when we have not;
 *  - keep-alive of an upgrade, for the same reason.
 */
import type { Http1RequestHead } from '../../src/codec/http1/request_head.ts';
import { dechunk, type RunMessage, runRequests } from './http1_driver.ts';
import { KNOWN_METHODS, type OracleMessage, runLlhttp } from './llhttp.ts';
import { SeededRandom } from './seeded_random.ts';

export interface DifferentialResult {
  readonly cases: number;
  /** Cases with at least one accepted request: a fuzz that only makes garbage proves nothing. */
  readonly accepted: number;
  /** Null when there was none. */
  readonly difference: Difference | null;
}

export interface Difference {
  readonly seed: number;
  readonly what: string;
  readonly stream: string;
}

const SEEDS: readonly string[] = [
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
];

/** Runs for `milliseconds`, or until a difference is found. The seed of a case makes it again. */
export function runDifferential(milliseconds: number, firstSeed: number): DifferentialResult {
  const end = performance.now() + milliseconds;
  let cases = 0;
  let accepted = 0;
  for (let seed = firstSeed; ; seed++) {
    const stream = streamOf(seed);
    const found = compare(stream);
    cases++;
    if (found.accepted > 0) accepted++;
    if (found.what !== null) {
      return { cases, accepted, difference: { seed, what: found.what, stream } };
    }
    if (cases % 64 === 0 && performance.now() >= end) return { cases, accepted, difference: null };
  }
}

/** One to three requests, mutated none to four times. */
export function streamOf(seed: number): string {
  const random = new SeededRandom(seed);
  let stream = '';
  for (let count = 1 + random.below(3); count > 0; count--) stream += random.pick(SEEDS);
  for (let count = random.below(5); count > 0; count--) stream = mutate(stream, random);
  return stream;
}

function mutate(stream: string, random: SeededRandom): string {
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
      return before + random.pick(SEEDS).slice(random.below(30)) + after;
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

interface Comparison {
  readonly accepted: number;
  readonly what: string | null;
}

export function compare(stream: string): Comparison {
  // Targets are compared as they were sent, so they are not normalised here.
  const options = { isPathNormalised: false, areTrailersForwarded: false };
  const ours = runRequests(stream, options);
  const accepted = ours.messages.length;
  const read = runLlhttp(Buffer.from(stream, 'latin1'), 'request');
  const what = compareRead(ours.messages, ours.fault, read.messages);
  if (what !== null) return { accepted, what: `as sent by the client: ${what} (${read.error})` };
  return { accepted, what: compareForwarded(ours.messages) };
}

/** Null, or in what we took the client's bytes otherwise than llhttp, or took what it refused. */
export function compareRead(
  ours: readonly RunMessage<Http1RequestHead>[],
  fault: string,
  theirs: readonly OracleMessage[],
): string | null {
  for (const [i, message] of ours.entries()) {
    if (!KNOWN_METHODS.includes(message.head.method)) return null;
    const other = theirs[i];
    if (other === undefined) return `request ${i} is accepted here, not there`;
    const what = compareMessage(message, other, targetAsSent(message.head));
    if (what !== null) return `request ${i}: ${what}`;
    if (other.isUpgrade) return null;
    if (message.head.isPersistent !== other.isKeptAlive) return `request ${i}: keep-alive`;
  }
  if (fault === '' && theirs.length > ours.length) return 'more requests there';
  return null;
}

/** Null, or in what llhttp reads our output otherwise than we judged it. */
export function compareForwarded(ours: readonly RunMessage<Http1RequestHead>[]): string | null {
  for (const [i, message] of ours.entries()) {
    if (!KNOWN_METHODS.includes(message.head.method)) return null;
    const forwarded = Buffer.from(message.sent + message.content, 'latin1');
    const { messages, error } = runLlhttp(forwarded, 'request');
    const other = messages[0];
    if (other === undefined || messages.length !== 1) {
      return `as forwarded: request ${i} is ${messages.length} requests (${error})`;
    }
    const what =
      compareMessage(message, other, message.head.path) ??
      compareLines(message.head.lines(), other.fields);
    if (what !== null) return `as forwarded: request ${i}: ${what} (${error})`;
  }
  return null;
}

function compareMessage(
  ours: RunMessage<Http1RequestHead>,
  theirs: OracleMessage,
  target: string,
): string | null {
  if (ours.head.method !== theirs.method) return `method ${theirs.method}`;
  if (target !== theirs.target) return `target ${theirs.target}`;
  if (theirs.isUpgrade) return null;
  if (ours.isComplete && !theirs.isComplete) return 'complete here, not there';
  if (!ours.isComplete) return null;
  const body = ours.head.framing === 'chunked' ? dechunk(ours.content) : ours.content;
  return body === theirs.body ? null : `content ${JSON.stringify(theirs.body)}`;
}

function compareLines(ours: readonly string[], theirs: readonly string[]): string | null {
  const isSame = ours.length === theirs.length && ours.every((text, i) => text === theirs[i]);
  return isSame ? null : `fields ${JSON.stringify(theirs)}`;
}

function targetAsSent(head: Http1RequestHead): string {
  return head.raw.toString('latin1').split(' ', 2)[1] ?? '';
}
