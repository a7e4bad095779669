import { describe, expect, it } from 'vitest';
import type { Http2Connection } from '../../../src/codec/http2/connection.ts';
import type { Limits } from '../../../src/model/limits.ts';
import {
  block,
  data,
  drive,
  frame,
  GET,
  greetedClient,
  greetedServer,
  headers,
  limitsWith,
  POST,
  reset,
  settings,
  told,
  windowUpdate,
} from './wire.ts';

type Send = (connection: Http2Connection<string>, i: number) => Buffer;

/**
 * A client repeats `send`: `allowed` times it is borne, the next time the connection ends with
 * ENHANCE_YOUR_CALM and a fault of its own name. What the peer is sent is always read at once, unless `isStalled`.
 */
function check(
  attack: { readonly send: Send; readonly allowed: number; readonly isStalled?: boolean },
  limits: Partial<Limits> = {},
): void {
  const connection = greetedServer(limitsWith(limits));
  for (let i = 0; i < attack.allowed; i++) {
    const events = drive(connection, attack.send(connection, i));
    expect({ i, lost: events.filter((event) => event.startsWith('fault')) }).toEqual({
      i,
      lost: [],
    });
    if (connection.facts.stream.isFaulty) connection.resetStream(connection.facts.stream, 1);
    connection.take();
    if (attack.isStalled !== true) connection.flushed();
  }
  expect(drive(connection, attack.send(connection, attack.allowed)).at(-1)).toBe(
    'fault ENHANCE_YOUR_CALM',
  );
  expect(connection.facts.fault).toBe('http2-abuse');
  expect(told(connection.take()).at(-1)).toMatch(/^GOAWAY \d+ ENHANCE_YOUR_CALM$/);
}

const ping = frame(6, 0, 0, Buffer.alloc(8));
const id = (i: number): number => 2 * i + 1;

interface Resets {
  /** Streams of one round: all are opened, and after `lifeMs` those that are not answered are reset. */
  readonly width: number;
  readonly answered: number;
  readonly lifeMs: number;
  /** From one round to the next, beyond that. */
  readonly restMs: number;
  /** At least as many are borne, or at most as many reach the connection. */
  readonly streamCount: number;
}

const HONEST: readonly [string, Resets][] = [
  [
    'requests given up after 40 ms',
    { width: 1, answered: 0, lifeMs: 40, restMs: 0, streamCount: 5000 },
  ],
  [
    'calls with a deadline of 50 ms, 20 at once',
    { width: 20, answered: 0, lifeMs: 50, restMs: 0, streamCount: 50_000 },
  ],
  ...[34, 50].map((lifeMs): [string, Resets] => [
    `all calls that may be open at once, each with a deadline of ${lifeMs} ms`,
    { width: 100, answered: 0, lifeMs, restMs: 0, streamCount: 20_000 },
  ]),
  [
    'calls with a deadline of 10 ms',
    { width: 1, answered: 0, lifeMs: 10, restMs: 0, streamCount: 5000 },
  ],
  [
    'three of ten requests, at 200 a second',
    { width: 10, answered: 7, lifeMs: 1, restMs: 49, streamCount: 20_000 },
  ],
  [
    'one of three requests, as fast as they go',
    { width: 99, answered: 66, lifeMs: 2, restMs: 0, streamCount: 49_500 },
  ],
  [
    'a page that is left, twice a second',
    { width: 40, answered: 0, lifeMs: 5, restMs: 495, streamCount: 8000 },
  ],
];

const HOSTILE: readonly [string, Resets][] = [
  ['one stream after the other', { width: 1, answered: 0, lifeMs: 0, restMs: 0, streamCount: 102 }],
  ['one stream a millisecond', { width: 1, answered: 0, lifeMs: 1, restMs: 0, streamCount: 120 }],
  ['all streams at once', { width: 100, answered: 0, lifeMs: 1, restMs: 0, streamCount: 200 }],
  ['all streams after 10 ms', { width: 100, answered: 0, lifeMs: 10, restMs: 0, streamCount: 300 }],
  [
    'all streams after 20 ms',
    { width: 100, answered: 0, lifeMs: 20, restMs: 0, streamCount: 1300 },
  ],
  ['nine of ten streams', { width: 100, answered: 10, lifeMs: 2, restMs: 0, streamCount: 300 }],
];

/** How far it came, and what ended it. */
function lastOf(pattern: Resets): { readonly streamCount: number; readonly lost: string | null } {
  const { width, answered, lifeMs, restMs } = pattern;
  const connection = greetedServer();
  let nowMs = 0;
  for (let from = 0; from < pattern.streamCount; from += width) {
    for (let k = 0; k < width; k++) {
      drive(connection, headers(id(from + k), GET), nowMs);
      if (k >= answered) continue;
      connection.respond(connection.facts.stream, { status: 204, fields: [], isEndStream: true });
      connection.noteAnswered();
    }
    nowMs += lifeMs;
    for (let k = answered; k < width; k++) {
      const event = drive(connection, reset(id(from + k)), nowMs).at(-1) ?? '';
      if (event.startsWith('fault')) return { streamCount: from + k + 1, lost: event };
    }
    nowMs += restMs;
    connection.take();
    connection.flushed();
  }
  return { streamCount: pattern.streamCount, lost: null };
}

describe('budget', () => {
  it('rapid reset: 100 streams reset by the client at once', () => {
    check({ send: (_, i) => Buffer.concat([headers(id(i), GET), reset(id(i))]), allowed: 100 });
  });

  it('resets that the client makes us send, of each kind', () => {
    const made: readonly Send[] = [
      (_, i) => Buffer.concat([headers(id(i), GET), windowUpdate(id(i), 0)]),
      (_, i) => Buffer.concat([headers(id(i), GET), windowUpdate(id(i), 0x7fff_ffff)]),
      (_, i) => Buffer.concat([headers(id(i), GET), data(id(i), 'x')]),
      (_, i) => Buffer.concat([headers(id(i), GET), headers(id(i), ['x', 'y'])]),
      (_, i) => headers(id(i), [...GET, 'Bad', 'name']),
      (_, i) =>
        Buffer.concat([headers(id(i), [...POST, 'content-length', '1'], 4), data(id(i), 'xy')]),
      (_, i) => Buffer.concat([headers(id(i), GET), frame(2, 0, id(i), Buffer.alloc(4))]),
    ];
    for (const send of made) check({ send, allowed: 100 });
  });

  it('streams above the number that the client was told', () => {
    check({ send: (_, i) => headers(id(i), GET), allowed: 110 }, { h2StreamCountMax: 10 });
  });

  it.each(HONEST)('resets of %s cost nothing in the long run', (_, pattern) => {
    expect(lastOf(pattern)).toEqual({ streamCount: pattern.streamCount, lost: null });
  });

  it.each(HOSTILE)('resets of %s end the connection', (_, pattern) => {
    const { streamCount, lost } = lastOf(pattern);
    expect(lost).toBe('fault ENHANCE_YOUR_CALM');
    expect(streamCount).toBeLessThanOrEqual(pattern.streamCount);
  });

  it.each<[string, Buffer, number]>([
    ['PING', ping, 100],
    ['PRIORITY', frame(2, 0, 3, Buffer.alloc(5)), 100],
    ['frames of unknown types', frame(0x99, 0, 0, Buffer.alloc(3)), 100],
    ['SETTINGS', settings([4, 1]), 25],
    ['acknowledgements that nobody waits for', frame(4, 1, 0), 100],
    ['GOAWAY', frame(7, 0, 0, Buffer.alloc(8)), 100],
    ['answers to pings that were not sent', frame(6, 1, 0, Buffer.alloc(8)), 100],
  ])('%s that moves nothing on', (_, bytes, allowed) => check({ send: () => bytes, allowed }));

  it('RST_STREAM of a stream that is closed', () => {
    const send: Send = (_, i) => (i === 0 ? Buffer.concat([headers(1, GET), reset(1)]) : reset(1));
    check({ send, allowed: 101 });
  });

  it('such frames are forgiven with time, streams and content', () => {
    const connection = greetedServer();
    for (let i = 0; i < 1000; i++) {
      expect(drive(connection, ping, i * 100)).toEqual([]);
      connection.take();
      connection.flushed();
    }
    const busy = greetedServer();
    for (let i = 0; i < 2000; i++) {
      // gRPC measures the round trip with a PING for each read.
      const bytes = Buffer.concat([i === 0 ? headers(1, POST, 4) : data(1, 'x'), ping]);
      expect(drive(busy, bytes).filter((event) => event.startsWith('fault'))).toEqual([]);
      busy.take();
      busy.flushed();
    }
  });

  it('and not with content of a stream that was reset', () => {
    const send: Send = (connection, i) => {
      if (i > 0) return Buffer.concat([data(1, 'x'), ping]);
      drive(connection, headers(1, POST, 4));
      connection.resetStream(connection.facts.stream, 0);
      return ping;
    };
    check({ send, allowed: 100 });
  });

  it('WINDOW_UPDATE: 5 and 2 for each stream, 20 for each DATA frame sent', () => {
    check({ send: () => windowUpdate(0, 1), allowed: 5 });
    const send: Send = (connection, i) => {
      if (i > 0) return windowUpdate(0, 1);
      drive(connection, headers(1, GET));
      const { stream } = connection.facts;
      connection.respond(stream, { status: 200, fields: [], isEndStream: false });
      connection.sendData(stream, Buffer.from('x'), { start: 0, end: 1, isEndStream: false });
      return windowUpdate(0, 1);
    };
    check({ send, allowed: 5 + 2 * (1 + 10) });
  });

  it('empty frames in a row', () => {
    const open = (i: number, bytes: Buffer): Buffer => (i === 0 ? headers(1, POST, 4) : bytes);
    check({ send: (_, i) => open(i, data(1, '')), allowed: 9 });
    check({ send: (_, i) => open(i, frame(0, 8, 1, Buffer.from([2, 0, 0]))), allowed: 9 });
    check({ send: (_, i) => (i === 0 ? frame(1, 0, 1) : frame(9, 0, 1)), allowed: 8 });
  });

  it('CONTINUATION frames of one block', () => {
    const send: Send = (_, i) =>
      i === 0 ? frame(1, 0, 1, Buffer.of(0x82)) : frame(9, 0, 1, Buffer.of(0x82));
    check({ send, allowed: 65 });
  });

  it('bytes of one block', () => {
    const part = block(['x', 'y'.repeat(16_000)]);
    const send: Send = (_, i) => frame(i === 0 ? 1 : 9, 0, 1, part);
    check({ send, allowed: Math.floor((512 * 1024) / part.length) });
  });

  it('entries of one SETTINGS frame', () => {
    const entries = (count: number): Buffer =>
      settings(...Array.from({ length: count }, () => [4, 1] as const));
    check({ send: (_, i) => entries(32 + i), allowed: 1 });
  });

  it('answers that the client does not read', () => {
    const send: Send = (_, i) => Buffer.concat([headers(id(i), GET), reset(id(i)), ping, ping]);
    const wide = { h2ResetCountMax: 10_000, h2NoiseFrameCountMax: 10_000 };
    check({ send, allowed: 250, isStalled: true }, wide);
  });

  it('replies that the client does not read', () => {
    const send: Send = (connection, i) => {
      const { stream } = connection.facts;
      if (i > 0) connection.respond(stream, { status: 403, fields: [], isEndStream: true });
      return headers(id(i), GET);
    };
    check({ send, allowed: 2001, isStalled: true });
  });

  it('a client that is always a little behind is no attacker', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 1 << 30]), headers(1, GET)]));
    drive(connection, windowUpdate(0, 1 << 30));
    const { stream } = connection.facts;
    connection.respond(stream, { status: 200, fields: [], isEndStream: false });
    const content = Buffer.alloc(100);
    connection.take();
    for (let i = 0; i < 5000; i++) {
      connection.sendData(stream, content, { start: 0, end: 100, isEndStream: false });
      connection.take();
      connection.written();
      expect(connection.isCongested).toBe(false);
      expect(drive(connection, windowUpdate(1, 100))).toEqual([]);
    }
    for (let i = 0; i < 1000; i++) {
      connection.sendData(stream, content, { start: 0, end: 100, isEndStream: false });
      connection.take();
    }
    expect(connection.isCongested).toBe(true);
    connection.flushed();
    expect(connection.isCongested).toBe(false);
  });

  it('an HPACK bomb of cookie crumbs is refused, not kept', () => {
    const connection = greetedServer();
    const crumb = Buffer.concat([Buffer.of(0x60, 0x7f, 0xa1, 0x1e), Buffer.alloc(4000, 0x61)]);
    const bomb = Buffer.concat([block(GET), crumb, Buffer.alloc(10_000, 0xbe)]);
    expect(drive(connection, frame(1, 5, 1, bomb))).toEqual(['malformed 1 head-too-large']);
    expect(connection.facts.stream.isFaulty).toBe(true);
  });

  it('an upstream is held to the same', () => {
    const connection = greetedClient();
    const events = drive(connection, Buffer.concat(Array.from({ length: 101 }, () => ping)));
    expect(events).toEqual(['fault ENHANCE_YOUR_CALM']);
    expect(connection.facts.fault).toBe('upstream-http2-error');
  });

  it('informational responses to one request', () => {
    const connection = greetedClient(limitsWith({ informationalResponseCountMax: 16 }));
    connection.sendHeaders(
      connection.openStream(1, false),
      { fields: GET, kinds: null, from: 0 },
      true,
    );
    const early = headers(1, [':status', '103'], 4);
    const events = drive(connection, Buffer.concat(Array.from({ length: 17 }, () => early)));
    expect(events.slice(16)).toEqual(['malformed 1 malformed-response']);
  });
});

describe('memory', () => {
  it('content that waits costs its own size, however it was cut', () => {
    const connection = greetedServer();
    drive(connection, Buffer.concat([settings([4, 0]), headers(1, GET)]));
    const { stream } = connection.facts;
    connection.respond(stream, { status: 200, fields: [], isEndStream: false });
    const byte = Buffer.from('x');
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 65_536; i++)
      connection.sendData(stream, byte, { start: 0, end: 1, isEndStream: false });
    expect(stream.waitingBytes).toBe(65_536);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });
});
