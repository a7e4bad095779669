/**
 * Our parsers against llhttp over mutated streams. The rule: we may be stricter, never
 * looser. Two streams are compared: what was sent to us, which llhttp must read as we did as far
 * as we accepted it; and what we would forward, which it must read exactly as it was judged.
 *
 * By design, and so not counted:
 *  - methods that llhttp does not know: any token is a method (RFC 9110 9.1), policy decides on it;
 *  - what follows an upgrade: llhttp stops there, whatever comes of it. We go on when we have taken
 *    the upgrade out (h2c), and the relay stops by itself when we have not;
 *  - keep-alive of an upgrade, for the same reason.
 */
import { readLines } from '../../src/codec/http1/field_lines.ts';
import type { Http1RequestHead } from '../../src/codec/http1/request_head.ts';
import type { Http1ResponseHead } from '../../src/codec/http1/response_head.ts';
import { dechunk, type RunMessage, runRequests, runResponses } from './http1_driver.ts';
import { type StreamKind, streamOf } from './http1_streams.ts';
import { KNOWN_METHODS, type OracleMessage, runLlhttp } from './llhttp.ts';

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

/** Runs for `milliseconds`, or until a difference is found. The seed of a case makes it again. */
export function runDifferential(
  milliseconds: number,
  firstSeed: number,
  kind: StreamKind = 'request',
): DifferentialResult {
  const compare = kind === 'request' ? compareRequests : compareResponses;
  const end = performance.now() + milliseconds;
  let cases = 0;
  let accepted = 0;
  for (let seed = firstSeed; ; seed++) {
    const stream = streamOf(seed, kind);
    const found = compare(stream);
    cases++;
    if (found.accepted > 0) accepted++;
    if (found.what !== null) {
      return { cases, accepted, difference: { seed, what: found.what, stream } };
    }
    if (cases % 64 === 0 && performance.now() >= end) return { cases, accepted, difference: null };
  }
}

interface Comparison {
  readonly accepted: number;
  readonly what: string | null;
}

function compareRequests(stream: string): Comparison {
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

const ASKED = Array.from({ length: 40 }, () => ({ method: 'GET' }));

/** A chunk size with blanks behind it; trailers, of which we leave out what llhttp acts upon. */
const LIBERAL_CHUNKS = /[0-9a-f][ \t]+\r\n|\r\n0+\r\n[^\r]/i;

/** Each response answers a GET; the stream ends with a FIN. */
function compareResponses(stream: string): Comparison {
  const ours = runResponses(stream, { requests: ASKED, isClosed: true });
  const accepted = ours.messages.length;
  const read = runLlhttp(Buffer.from(stream, 'latin1'), 'response');
  // llhttp stops where we read a response more liberally: from there on only what we send is compared.
  let isLiberal = false;
  for (const [i, message] of ours.messages.entries()) {
    isLiberal ||= message.head.isLiberal;
    isLiberal ||= message.head.framing === 'chunked' && LIBERAL_CHUNKS.test(stream);
    const what = isLiberal
      ? null
      : (compareResponse(message, read.messages[i]) ??
        compareLines(readLinesOf(message.head), read.messages[i]?.fields ?? []));
    if (what !== null) return { accepted, what: `as sent: response ${i}: ${what} (${read.error})` };
    const forwarded = Buffer.from(message.sent + message.content, 'latin1');
    const { messages, error } = runLlhttp(forwarded, 'response');
    const difference =
      messages.length === 1
        ? (compareResponse(message, messages[0]) ??
          compareLines(sentLinesOf(message), messages[0]?.fields ?? []) ??
          compareKeepAlive(message.head, messages[0]))
        : `${messages.length} responses`;
    if (difference !== null) {
      return { accepted, what: `as forwarded: response ${i}: ${difference} (${error})` };
    }
  }
  const isAll = isLiberal || ours.fault !== '' || read.messages.length === accepted;
  return { accepted, what: isAll ? null : 'more responses there' };
}

function compareResponse(
  ours: RunMessage<Http1ResponseHead>,
  theirs: OracleMessage | undefined,
): string | null {
  if (theirs === undefined) return 'accepted here, not there';
  const { head } = ours;
  if (head.status !== theirs.status) return `status ${theirs.status}`;
  const isComplete = ours.isComplete || head.isInformational;
  if (isComplete && !theirs.isComplete) return 'complete here, not there';
  if (!isComplete) return null;
  const body = head.framing === 'chunked' ? dechunk(ours.content) : ours.content;
  return body === theirs.body ? null : `content ${JSON.stringify(theirs.body)}`;
}

/** What the client is told about the connection is what the upstream meant. */
function compareKeepAlive(
  head: Http1ResponseHead,
  theirs: OracleMessage | undefined,
): string | null {
  if (head.isInformational || head.isPersistent === theirs?.isKeptAlive) return null;
  return `keep-alive ${theirs?.isKeptAlive}`;
}

function sentLinesOf(message: RunMessage<Http1ResponseHead>): readonly string[] {
  const raw = Buffer.from(message.sent, 'latin1');
  return readLines(raw, message.sent.indexOf('\r\n') + 2);
}

function readLinesOf(head: Http1ResponseHead): readonly string[] {
  const text = head.raw.toString('latin1');
  return readLines(head.raw, text.indexOf('\r\n') + 2);
}
