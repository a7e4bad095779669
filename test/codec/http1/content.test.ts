/**
 * Chunked content: its grammar, its bounds, what of it goes upstream. Each case is parsed whole and
 * cut at every byte.
 */
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { runRequests } from '../../support/http1_driver.ts';

type Options = Parameters<typeof runRequests>[1];

const HEAD = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const NEXT = 'GET /next HTTP/1.1\r\nHost: a\r\n\r\n';

function run(body: string, options?: Options, cuts: number[] = []): [string, string, number] {
  const { messages, fault } = runRequests(`${HEAD}${body}`, options, cuts);
  return [fault, messages[0]?.content ?? '', messages.length];
}

function checkEveryCut(body: string, options: Options | undefined, expected: unknown): void {
  expect(run(body, options)).toEqual(expected);
  expect(run(body, options, [1])).toEqual(expected);
  for (let at = 1; at < body.length; at++) {
    expect(run(body, options, [HEAD.length + at, 1e6])).toEqual(expected);
  }
}

/** `body` is accepted, goes on as `sent`, and the request after it is found. */
function accept(body: string, sent: string, options?: Options): void {
  checkEveryCut(`${body}${NEXT}`, options, ['', sent, 2]);
}

/** Refused, and no last chunk was sent, so upstream takes nothing for complete. */
function refuse(body: string, fault: string, options?: Options): void {
  const [found, content] = run(body, options);
  expect(found).toBe(fault);
  expect(content.endsWith('\r\n0\r\n\r\n') || content === '0\r\n\r\n').toBe(false);
  checkEveryCut(body, options, [fault, content, 1]);
}

const END = '0\r\n\r\n';

describe('chunks', () => {
  it.each([
    ['none', END],
    ['one', `5\r\nhello\r\n${END}`],
    ['several', `1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n${END}`],
    [
      'hex digits in both cases',
      `a\r\n0123456789\r\nA\r\n0123456789\r\n1f\r\n${'x'.repeat(31)}\r\n${END}`,
    ],
    ['line ends within', `4\r\n\r\n\r\n\r\n${END}`],
    ['what looks like an end within', `5\r\n${END}\r\n${END}`],
    ['what looks like a request within', `${NEXT.length.toString(16)}\r\n${NEXT}\r\n${END}`],
    ['NUL and 0xff', `2\r\n\0\xff\r\n${END}`],
  ])('%s go on as they came', (_, body) => accept(body, body));

  it.each([
    ['leading zeros', `005\r\nhello\r\n${END}`, `5\r\nhello\r\n${END}`],
    ['zeros of the last chunk', '000\r\n\r\n', END],
    ['15 digits', `000000000000005\r\nhello\r\n${END}`, `5\r\nhello\r\n${END}`],
    ['an extension', `5;a\r\nhello\r\n${END}`, `5\r\nhello\r\n${END}`],
    ['one with a value', `5;a=b;c=d\r\nhello\r\n${END}`, `5\r\nhello\r\n${END}`],
    ['a quoted value', `5;a="b;\\"\t c"\r\nhello\r\n${END}`, `5\r\nhello\r\n${END}`],
    ['an empty quoted value', `5;a=""\r\nhello\r\n${END}`, `5\r\nhello\r\n${END}`],
    ['an extension of the last chunk', '0;a=b\r\n\r\n', END],
    ['trailers', `0\r\nX-Sum: 1\r\nY: z\r\n\r\n`, END],
    [
      'all of it',
      '01;a\r\nx\r\n2\r\nyz\r\n00;b="c"\r\nX: y\r\n\r\n',
      '1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n',
    ],
  ])('%s are left out or rewritten', (_, body, sent) => accept(body, sent));

  it.each([
    ['no size', '\r\nhello\r\n'],
    ['no size but an extension', ';a\r\nhello\r\n'],
    ['sign', '+5\r\nhello\r\n'],
    ['minus', '-5\r\nhello\r\n'],
    ['0x', '0x5\r\nhello\r\n'],
    ['underscore', '1_0\r\n'],
    ['not hex', 'g\r\nhello\r\n'],
    ['space before', ' 5\r\nhello\r\n'],
    ['space after', '5 \r\nhello\r\n'],
    ['tab after', '5\t\r\nhello\r\n'],
    ['space after zero', '0 \r\n\r\n'],
    ['comma', '5,\r\nhello\r\n'],
    ['NUL', '5\0\r\nhello\r\n'],
    ['16 digits', '0000000000000005\r\nhello\r\n'],
    ['16 digits that count', '1000000000000000\r\n'],
    ['over 2^53', '20000000000000\r\n'],
    ['over 2^64', '10000000000000005\r\n'],
    ['bare LF after the size', '5\nhello\r\n'],
    ['bare CR after the size', '5\rhello\r\n'],
    ['CR CR LF', '5\r\r\nhello\r\n'],
    ['LF CR', '5\n\rhello\r\n'],
    ['data longer than its size', '5\r\nhellox\r\n'],
    ['data shorter than its size', '5\r\nhell\r\n0\r\n\r\n'],
    ['bare LF after the data', '5\r\nhello\n0\r\n\r\n'],
    ['bare CR after the data', '5\r\nhello\r0\r\n\r\n'],
    ['CR X after the data', '5\r\nhello\rX0\r\n\r\n'],
    ['nothing after the data', '5\r\nhello0\r\n\r\n'],
    ['bare LF after the last size', '0\n\r\n'],
    ['bare CR after the last size', '0\r\r\n'],
    ['space before an extension', '5 ;a\r\nhello\r\n'],
    ['space after the semicolon', '5; a\r\nhello\r\n'],
    ['space at the end of it', '5;a \r\nhello\r\n'],
    ['empty extension', '5;\r\nhello\r\n'],
    ['two semicolons', '5;;a\r\nhello\r\n'],
    ['no value', '5;a=\r\nhello\r\n'],
    ['no name', '5;=a\r\nhello\r\n'],
    ['spaces around "="', '5;a = b\r\nhello\r\n'],
    ['bare LF in an extension (TERM.EXT)', '5;a\nhello\r\n0\r\n\r\n'],
    ['bare CR in an extension', '5;a\rhello\r\n'],
    ['CR LF in a quoted value', '5;a="b\r\nc"\r\nhello\r\n'],
    ['a quoted value without end', '5;a="b\r\nhello\r\n'],
    ['an escaped CR', '5;a="\\\r"\r\nhello\r\n'],
    ['more after a quoted value', '5;a="b"c\r\nhello\r\n'],
    ['control byte in an extension', '5;a\x01\r\nhello\r\n'],
    ['non-ASCII name', '5;\xe9\r\nhello\r\n'],
    ['bad extension of the last chunk', '0;a b\r\n\r\n'],
  ])('%s is refused', (_, body) => refuse(body, 'malformed-chunk'));

  it('gives one slice for many chunks of one read', () => {
    const body = '5\r\nhello\r\n'.repeat(100) + END;
    expect(run(body)).toEqual(['', body, 1]);
  });
});

describe('bounds of extensions', () => {
  const limits = { ...DEFAULT_LIMITS, chunkExtensionBytesMax: 5, chunkExtensionTotalBytesMax: 12 };
  it('of one chunk', () => {
    accept(`1;abcd\r\nx\r\n${END}`, `1\r\nx\r\n${END}`, { limits });
    refuse('1;abcde\r\nx\r\n', 'chunk-extension-too-long', { limits });
    refuse(`1;a="${'b'.repeat(99)}`, 'chunk-extension-too-long', { limits });
  });
  it('of one message', () => {
    accept(`1;abc\r\nx\r\n1;abc\r\nx\r\n0;abc\r\n\r\n`, `1\r\nx\r\n1\r\nx\r\n${END}`, { limits });
    refuse('1;abc\r\nx\r\n1;abc\r\nx\r\n0;abcd\r\n\r\n', 'chunk-extension-too-long', { limits });
  });
  it('begin anew with each message', () => {
    const stream = `${HEAD}1;abcd\r\nx\r\n${END}`.repeat(9);
    expect(runRequests(stream, { limits }).fault).toBe('');
  });
  it('may be none at all', () => {
    const none = { ...DEFAULT_LIMITS, chunkExtensionBytesMax: 0 };
    refuse('1;a\r\nx\r\n', 'chunk-extension-too-long', { limits: none });
  });
});

describe('trailers', () => {
  const forwarded = { areTrailersForwarded: true };

  it('are dropped unless forwarding is asked for', () => {
    accept(`1\r\nx\r\n0\r\nA: b\r\n\r\n`, `1\r\nx\r\n${END}`);
    accept(`1\r\nx\r\n0\r\nA:b \r\n\r\n`, '1\r\nx\r\n0\r\nA: b\r\n\r\n', forwarded);
    accept(END, END, forwarded);
  });

  it('are never merged into the head', () => {
    const { messages } = runRequests(`${HEAD}0\r\nX-Token: good\r\n\r\n`, forwarded);
    expect(messages[0]?.head.field('x-token')).toBeNull();
  });

  it.each([
    'Content-Length: 5',
    'Transfer-Encoding: chunked',
    'HOST: b',
    'Connection: close',
    'Keep-Alive: 1',
    'TE: x',
    'Trailer: x',
    'Upgrade: x',
    'Authorization: x',
    'cookie: x',
    'Set-Cookie: x',
    'Content-Type: x',
    'Expect: 100-continue',
    'X-Forwarded-For: 10.0.0.1',
  ])('may not hold %s', (line) => {
    refuse(`0\r\n${line}\r\n\r\n`, 'malformed-field');
    refuse(`0\r\nX: y\r\n${line}\r\n\r\n`, 'malformed-field', forwarded);
  });

  it.each([
    'X : y',
    ' X: y',
    ': y',
    'X',
    'X: a\r\n b',
    'X: a\nY: b',
    'X: a\rb',
    'X: \0',
    'X\xe9: y',
  ])('are as strict as the head: %j', (line) => refuse(`0\r\n${line}\r\n\r\n`, 'malformed-field'));

  it('end in CR LF', () => {
    refuse('0\r\nX: y\r\n\n', 'malformed-field');
    refuse('0\r\n\n', 'malformed-field');
    refuse('0\r\n\rX', 'malformed-field');
  });

  it('are bounded in bytes and lines', () => {
    const limits = { ...DEFAULT_LIMITS, trailerBytesMax: 12, trailerFieldCountMax: 2 };
    accept('0\r\nA: 1\r\nB: 2\r\n\r\n', END, { limits });
    refuse('0\r\nA: 1\r\nB: 23\r\n\r\n', 'head-too-large', { limits });
    refuse('0\r\nA:1\r\nB:2\r\nC:\r\n\r\n', 'head-too-large', { limits });
    refuse(`0\r\nA: ${'b'.repeat(9000)}`, 'head-too-large', { limits });
    const none = { ...DEFAULT_LIMITS, trailerBytesMax: 0, trailerFieldCountMax: 0 };
    accept(END, END, { limits: none });
    refuse('0\r\nA: 1\r\n\r\n', 'head-too-large', { limits: none });
  });
});
