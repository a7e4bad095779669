/**
 * What responses are accepted and refused, how their content ends, and what goes downstream. Every
 * case is parsed whole and byte by byte.
 */
import { describe, expect, it } from 'vitest';
import { ResponseParser } from '../../../src/codec/http1/response_parser.ts';
import { serialiseResponseHead } from '../../../src/codec/http1/serialise.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { runResponses } from '../../support/http1_driver.ts';

type Options = NonNullable<Parameters<typeof runResponses>[1]>;

function summary(run: ReturnType<typeof runResponses>): unknown {
  return [run.fault, run.messages.map(({ head, sent, content }) => [head.status, sent, content])];
}

function parse(stream: string, options: Options = {}): ReturnType<typeof runResponses> {
  const whole = runResponses(stream, options);
  for (const cuts of [[1], [5, 2]]) {
    expect(summary(runResponses(stream, options, cuts))).toEqual(summary(whole));
  }
  for (const { head, sent } of whole.messages) {
    expect(head.isCanonical).toBe(sent === head.raw.toString('latin1'));
  }
  return whole;
}

function refuse(stream: string, fault: string, options?: Options): void {
  const run = parse(stream, options);
  expect({ fault: run.fault, heads: run.messages.length }).toEqual({ fault, heads: 0 });
}

const response = (line: string, ...fields: string[]): string =>
  `${line}\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`;
const ok = (...fields: string[]): string => response('HTTP/1.1 200 OK', ...fields);
const HEAD_REQUEST = { requests: [{ method: 'HEAD' }] };

describe('status line', () => {
  it.each([
    ['HTTP/1.1 200 OK', 200, 'OK', true],
    ['HTTP/1.1 404 Not Found', 404, 'Not Found', true],
    ['HTTP/1.1 200 ', 200, '', true],
    ['HTTP/1.1 599 \t\xe9 ', 599, '\t\xe9 ', true],
    ['HTTP/1.1 200', 200, '', false],
    ['HTTP/1.0 200 OK', 200, 'OK', false],
  ])('accepts "%s"', (line, status, reasonPhrase, isCanonical) => {
    const { messages, fault } = parse(response(line, 'Content-Length: 0'));
    const head = messages[0]?.head;
    expect(fault).toBe('');
    expect([head?.status, head?.reasonPhrase, head?.isCanonical]).toEqual([
      status,
      reasonPhrase,
      isCanonical,
    ]);
    expect(messages[0]?.sent.startsWith(`HTTP/1.1 ${status} ${reasonPhrase}\r\n`)).toBe(true);
  });

  it.each([
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1 2x0 OK',
    'HTTP/1.1 +20 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.2 200 OK',
    'HTTP/2.0 200 OK',
    'http/1.1 200 OK',
    'ICY 200 OK',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\rK',
    ' HTTP/1.1 200 OK',
    '\r\nHTTP/1.1 200 OK',
    'HTTP/1.1',
    'GET / HTTP/1.1',
    '',
  ])('refuses "%s"', (line) => refuse(response(line, 'Content-Length: 0'), 'malformed-response'));
});

describe('fields', () => {
  it.each([' X: y', ': y', 'X', 'X: \0', 'X\xe9: y', 'X: a\rb', ' folded'])(
    'that nobody can read, or not all alike, are refused: %j',
    (line) => refuse(ok(line), 'malformed-response'),
  );

  it.each([
    ['keep-alive', ['Connection: keep-alive', 'Keep-Alive: timeout=5'], ['Connection: keep-alive']],
    ['nominated', ['Connection: close, X-A', 'X-A: 1', 'X-B: 2'], ['Connection: close', 'X-B: 2']],
    ['upgrade', ['Upgrade: h2,h2c', 'Connection: Upgrade, close'], ['Connection: close']],
    ['proxy-connection', ['Proxy-Connection: close'], []],
    ['trailer', ['Trailer: X'], []],
  ])('of the hop are taken out: %s', (_, fields, left) => {
    const { messages } = parse(ok('Content-Length: 0', ...fields));
    expect(messages[0]?.sent).toBe(ok('Content-Length: 0', ...left));
  });

  it('stay otherwise as they are', () => {
    const { messages } = parse(
      ok('Server: x', 'Set-Cookie: a', 'set-cookie: b', 'Content-Length: 0'),
    );
    expect(messages[0]?.head.isCanonical).toBe(true);
    expect(messages[0]?.head.field('set-cookie')).toBe('a,b');
  });

  it('are bounded', () => {
    const limits = { responseFieldCountMax: 2, responseHeadBytesMax: 100 };
    const fits = ok('A: 1', `B: ${'b'.repeat(100 - ok('A: 1', 'B: ').length)}`);
    expect(parse(fits, { limits }).fault).toBe('');
    refuse(fits.replace('A: 1', 'A: 11'), 'response-head-too-large', { limits });
    refuse(ok('A: 1', 'B: 2', 'C: 3'), 'response-head-too-large', { limits });
    refuse(`HTTP/1.1 200 ${'a'.repeat(500)}`, 'response-head-too-large', { limits });
  });
});

describe('content', () => {
  const chunked = 'Transfer-Encoding: chunked';

  it.each([
    ['by length', ok('Content-Length: 5'), 'hello', 'length'],
    ['of length 0', ok('Content-Length: 0'), '', 'length'],
    ['chunked', ok(chunked), '5\r\nhello\r\n0\r\n\r\n', 'chunked'],
  ])('%s ends by itself', (_, head, content, framing) => {
    const run = parse(`${head}${content}`);
    const first = run.messages[0];
    expect([run.fault, run.isIdle, first?.isComplete]).toEqual(['', true, true]);
    expect([first?.content, first?.head.framing, first?.head.isPersistent]).toEqual([
      content,
      framing,
      true,
    ]);
  });

  it('until the close, which ends it', () => {
    const run = parse(`${ok('Connection: keep-alive')}0\r\n\r\n`, { isClosed: true });
    const first = run.messages[0];
    expect([run.fault, first?.content, first?.isComplete]).toEqual(['', '0\r\n\r\n', true]);
    expect([first?.head.framing, first?.head.isPersistent]).toEqual(['close', false]);
    expect(first?.sent).toBe(ok('Connection: close'));
    expect(parse(ok()).messages[0]?.isComplete).toBe(false);
  });

  it.each([
    ['by length', `${ok('Content-Length: 5')}hell`],
    ['chunked', `${ok(chunked)}5\r\nhello\r\n`],
    ['chunked, before the last CR LF', `${ok(chunked)}0\r\n`],
  ])('%s cut short is told', (_, stream) => {
    expect(parse(stream, { isClosed: true }).fault).toBe('upstream-truncated');
  });

  it('no head, or half of one, is told too', () => {
    expect(parse('', { isClosed: true }).fault).toBe('upstream-closed');
    expect(parse('HTTP/1.1 200', { isClosed: true }).fault).toBe('upstream-closed');
    expect(parse(response('HTTP/1.1 100 Continue'), { isClosed: true }).fault).toBe(
      'upstream-closed',
    );
  });

  it.each([
    [['Content-Length: 5', 'Content-Length: 6']],
    [['Content-Length: 5', 'Content-Length: 6']],
    [['Content-Length: +5']],
    [['Content-Length: ']],
    [[chunked, chunked]],
    [['Transfer-Encoding: gzip']],
    [['Transfer-Encoding: gzip, chunked']],
  ])('of two readings is refused: %j', (fields) => {
    refuse(ok(...fields), 'malformed-response');
  });

  it('HTTP/1.0 has no chunks, and closes unless it says otherwise', () => {
    const old = (...fields: string[]): string => response('HTTP/1.0 200 OK', ...fields);
    expect(parse(old('Content-Length: 0')).messages[0]?.head.isPersistent).toBe(false);
    const kept = parse(old('Content-Length: 0', 'Connection: keep-alive')).messages[0]?.head;
    expect(kept?.isPersistent).toBe(true);
    expect(parse(old('Content-Length: 0')).messages[0]?.sent).toBe(
      ok('Content-Length: 0', 'connection: close'),
    );
    expect(parse(`${old()}hello`, { isClosed: true }).messages[0]?.content).toBe('hello');
  });

  it('malformed chunks are the upstream’s fault', () => {
    expect(parse(`${ok(chunked)}5 x\r\nhello\r\n`).fault).toBe('malformed-response');
    const trailers = `0\r\nX: ${'y'.repeat(9000)}\r\n\r\n`;
    expect(parse(`${ok(chunked)}${trailers}`).fault).toBe('response-head-too-large');
  });

  it('a trailer that may be none is left out, and the others go on', () => {
    const stream = `${ok(chunked)}0\r\nSet-Cookie: a\r\nX-Sum: 1\r\n\r\n`;
    const { messages, fault } = parse(stream, { areTrailersForwarded: true });
    expect([messages[0]?.content, fault]).toEqual(['0\r\nX-Sum: 1\r\n\r\n', '']);
  });

  it('trailers are dropped unless forwarding is asked for', () => {
    const stream = `${ok(chunked)}0\r\ngrpc-status: 0\r\n\r\n`;
    expect(parse(stream).messages[0]?.content).toBe('0\r\n\r\n');
    const forwarded = parse(stream, { areTrailersForwarded: true });
    expect(forwarded.messages[0]?.content).toBe('0\r\ngrpc-status: 0\r\n\r\n');
  });
});

describe('responses without content', () => {
  it.each([
    ['HEAD', ok('Content-Length: 5'), HEAD_REQUEST],
    ['HEAD, chunked', ok('Transfer-Encoding: chunked'), HEAD_REQUEST],
    ['HEAD, nothing declared', ok(), HEAD_REQUEST],
    ['204', response('HTTP/1.1 204 No Content'), {}],
    ['304', response('HTTP/1.1 304 Not Modified', 'Content-Length: 5'), {}],
    ['304, chunked', response('HTTP/1.1 304 Not Modified', 'Transfer-Encoding: chunked'), {}],
  ])('%s', (_, stream, options) => {
    const run = parse(stream, options);
    const first = run.messages[0];
    expect([run.fault, run.isIdle, first?.isComplete]).toEqual(['', true, true]);
    expect([first?.head.framing, first?.head.contentLength]).toEqual(['none', -1]);
    expect([first?.head.isPersistent, first?.head.isCanonical]).toEqual([true, true]);
    const { fault } = parse(`${stream}hello`, options);
    expect(fault).toBe('unsolicited-response');
  });

  it('204 and 1xx declare none: what does is taken out', () => {
    const { messages } = parse(response('HTTP/1.1 204 x', 'Content-Length: 0'));
    expect(messages[0]?.sent).toBe(response('HTTP/1.1 204 x'));
  });
});

describe('informational responses', () => {
  const hint = response('HTTP/1.1 103 Early Hints', 'Link: x');
  it('come before the final one, which they do not end', () => {
    const { messages, fault } = parse(
      `${response('HTTP/1.1 100 Continue')}${hint}${ok('Content-Length: 1')}x`,
    );
    expect(fault).toBe('');
    expect(
      messages.map(({ head, isComplete }) => [head.status, head.isInformational, isComplete]),
    ).toEqual([
      [100, true, false],
      [103, true, false],
      [200, false, true],
    ]);
  });
  it('are bounded in number', () => {
    const limits = { informationalResponseCountMax: 2 };
    expect(parse(`${hint}${hint}${ok('Content-Length: 0')}`, { limits }).fault).toBe('');
    expect(parse(`${hint}${hint}${hint}`, { limits }).fault).toBe('malformed-response');
  });
});

describe('switching protocols', () => {
  const asked = { requests: [{ method: 'GET', isUpgradeAsked: true }] };
  const switched = response('HTTP/1.1 101 x', 'Upgrade: WebSocket', 'Connection: Upgrade');

  it('only when asked for', () => {
    refuse(switched, 'unexpected-upgrade');
    const { messages, fault } = parse(switched, asked);
    const head = messages[0]?.head;
    expect(fault).toBe('');
    expect([head?.upgrade, head?.isInformational, head?.isCanonical]).toEqual([
      'websocket',
      false,
      true,
    ]);
    expect(head?.isPersistent).toBe(false);
  });

  it.each([
    ['no Upgrade', ['Connection: upgrade']],
    ['no Connection', ['Upgrade: websocket']],
    ['two protocols', ['Upgrade: websocket, x', 'Connection: upgrade']],
    ['content', ['Upgrade: websocket', 'Connection: upgrade', 'Content-Length: 5']],
  ])('refuses a 101 with %s', (_, fields) => {
    refuse(response('HTTP/1.1 101 x', ...fields), 'malformed-response', asked);
  });

  it('another status is a plain response, not an acceptance', () => {
    const run = parse(
      `${ok('Upgrade: websocket', 'Connection: upgrade', 'Content-Length: 1')}x`,
      asked,
    );
    expect([run.fault, run.messages[0]?.head.upgrade, run.isIdle]).toEqual(['', '', true]);
  });

  it('leaves the bytes after it to the tunnel', () => {
    const parser = new ResponseParser({ limits: DEFAULT_LIMITS, areTrailersForwarded: false });
    parser.begin('GET', true);
    const chunk = Buffer.from(`${switched}\x81\x00`, 'latin1');
    parser.next(chunk, 0);
    expect(chunk.subarray(parser.offset).toString('latin1')).toBe('\x81\x00');
    expect(parser.isIdle).toBe(false);
  });
});

describe('several responses', () => {
  it('each after it was awaited', () => {
    const stream = `${ok('Content-Length: 1')}a${ok('Content-Length: 1')}b`;
    const requests = [{ method: 'GET' }, { method: 'GET' }];
    const run = parse(stream, { requests });
    expect([run.fault, run.messages.map(({ content }) => content)]).toEqual(['', ['a', 'b']]);
    expect(parse(stream).fault).toBe('unsolicited-response');
  });

  it.each(['x', '\r\n', ok()])('bytes after the end are a fault: %j', (more) => {
    const { messages, fault } = parse(`${ok('Content-Length: 1')}a${more}`);
    expect([messages.length, fault]).toEqual([1, 'unsolicited-response']);
  });

  it('none after one that closes', () => {
    const requests = [{ method: 'GET' }, { method: 'GET' }];
    for (const field of ['Connection: close', 'Connection: x, CLOSE']) {
      const run = parse(`${ok('Content-Length: 0', field)}${ok('Content-Length: 0')}`, {
        requests,
      });
      expect([run.messages.length, run.fault]).toEqual([1, 'unsolicited-response']);
    }
    const closed = parse(ok('Content-Length: 0', 'Connection: close'), {
      requests,
      isClosed: true,
    });
    expect(closed.fault).toBe('upstream-closed');
  });

  it('bytes before any request are a fault; a close is none', () => {
    const idle = { requests: [] };
    expect(parse(ok(), idle).fault).toBe('unsolicited-response');
    expect(parse('', { ...idle, isClosed: true }).fault).toBe('');
  });

  it('a dead parser stays dead', () => {
    const parser = new ResponseParser({ limits: DEFAULT_LIMITS, areTrailersForwarded: false });
    parser.next(Buffer.from('x'), 0);
    parser.begin('GET', false);
    parser.next(Buffer.from(ok('Content-Length: 0')), 0);
    expect(parser.fault).toBe('unsolicited-response');
  });
});

describe('serialising with a close', () => {
  const written = (isClosing: boolean, ...fields: string[]): string => {
    const head = parse(ok('Content-Length: 0', ...fields)).messages[0]?.head;
    if (head === undefined) throw new Error('no head');
    return serialiseResponseHead(head, { isClosing }).toString('latin1');
  };
  it('adds one, turns keep-alive into it, leaves the one that is there', () => {
    expect(written(true)).toBe(ok('Content-Length: 0', 'connection: close'));
    expect(written(true, 'Connection: keep-alive')).toBe(
      ok('Content-Length: 0', 'Connection: close'),
    );
    expect(written(true, 'Connection: Close')).toBe(ok('Content-Length: 0', 'Connection: Close'));
    expect(written(false, 'Connection: keep-alive')).toBe(
      ok('Content-Length: 0', 'Connection: keep-alive'),
    );
  });
});
