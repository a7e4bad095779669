/**
 * Floods of clients and of upstreams while a stream is open: each has a bound at the proxy, and what the
 * other side sees of it is what one honest stream costs.
 */
import { afterEach, describe, expect, it } from 'vitest';
import {
  block,
  data,
  frame,
  GET,
  headers,
  OK,
  POST,
  reset,
  settings,
  uint32,
  windowUpdate,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS, INITIAL_WINDOW } from '../../support/http2_frames.ts';
import {
  framesOf,
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import {
  allowHttp,
  closeRigs,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';

afterEach(closeRigs);

const PADDED = 0x8;
const [HEADERS, PRIORITY, PING, GOAWAY, CONTINUATION] = [1, 2, 6, 7, 9];
const UNKNOWN = 0x77;
const KIBIBYTE = 1024;

function start(options: RigOptions = {}): Promise<Rig> {
  return startRig({ policy: allowHttp('* /.*'), ...options });
}

function many(count: number, piece: (n: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, n) => piece(n)));
}

function messagesOf(peer: { readonly received: string }): string[] {
  return framesOf(peer).filter((one) => !/^(SETTINGS|WINDOW_UPDATE 0)/.test(one));
}

/** A head that names one field `count` times, each time but the first by one byte. */
function bomb(name: 'cookie' | 'x', valueBytes: number, count: number): Buffer {
  const value = Buffer.alloc(valueBytes, 'v');
  const nameBytes = name === 'cookie' ? [0x60] : [0x40, 1, 0x78];
  return Buffer.concat([
    Buffer.from([...nameBytes, ...varint(value.length, 0x7f)]),
    value,
    Buffer.alloc(count - 1, 0x80 | 62),
  ]);
}

function varint(n: number, prefix: number): number[] {
  if (n < prefix) return [n];
  const bytes = [prefix];
  let left = n - prefix;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  return [...bytes, left];
}

/** Stream 1 is open on both sides; its request has no end yet. */
async function opened(options: RigOptions = {}) {
  const rig = await start(options);
  const client = await wireClient(rig);
  client.send(headers(1, POST, END_HEADERS));
  const upstream = await wireUpstream(rig);
  await untilEach(upstream, 'HEADERS 1');
  return { rig, client, upstream };
}

const CLIENT_FLOODS: readonly [string, (n: number) => Buffer][] = [
  ['PING', () => frame(PING, 0, 0, Buffer.alloc(8))],
  ['answers to PINGs that nobody sent', () => frame(PING, 1, 0, Buffer.alloc(8))],
  ['SETTINGS', (n) => settings([INITIAL_WINDOW, n])],
  ['acknowledgements of SETTINGS that nobody sent', () => frame(4, 1, 0)],
  ['PRIORITY of a stream that is open', () => frame(PRIORITY, 0, 1, Buffer.alloc(5))],
  ['PRIORITY of streams that are not', (n) => frame(PRIORITY, 0, 2 * n + 101, Buffer.alloc(5))],
  ['WINDOW_UPDATE of the connection', () => windowUpdate(0, 1)],
  ['WINDOW_UPDATE of a stream', () => windowUpdate(1, 1)],
  ['GOAWAY', () => frame(GOAWAY, 0, 0, Buffer.alloc(8))],
  ['frames of no type', () => frame(UNKNOWN, 0, 1, Buffer.alloc(1000))],
  ['DATA of padding only', () => frame(0, PADDED, 1, Buffer.from([3, 0, 0, 0]))],
  ['empty DATA', () => data(1, '')],
  [
    'empty CONTINUATION',
    (n) => frame(n === 0 ? HEADERS : CONTINUATION, n === 0 ? END : 0, 1, Buffer.alloc(0)),
  ],
  [
    'CONTINUATION with fields',
    (n) => frame(n === 0 ? HEADERS : CONTINUATION, n === 0 ? END : 0, 1, block(['x', String(n)])),
  ],
  ['heads of nothing', (n) => frame(HEADERS, END | END_HEADERS, 2 * n + 3)],
  ['resets of streams that are over', () => reset(1)],
];

describe('a client that floods with', () => {
  it.each(CLIENT_FLOODS)(
    '%s: it is cut, and the upstream sees one stream and its end',
    async (_, piece) => {
      const { rig, client, upstream } = await opened();
      const good = await wireClient(rig);
      client.send(many(1000, piece));
      expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
      await untilFrames(client, (all) => all.some((one) => /^GOAWAY .*CALM/.test(one)));
      await upstream.over();
      const seen = messagesOf(upstream);
      expect(seen.slice(0, 1)).toEqual(['HEADERS 1']);
      expect(seen.slice(1).every((one) => /^(RST_STREAM 1|HEADERS 1)/.test(one))).toBe(true);
      expect(seen.length).toBeLessThanOrEqual(2);
      // The others do not notice.
      good.send(headers(1, GET, END | END_HEADERS));
      const second = await wireUpstream(rig, { index: 1 });
      await untilEach(second, 'HEADERS 1 end');
      await rig.recorder.untilRecords(1);
    },
  );
});

const LENGTH_5 = [...POST, 'content-length', '5'];

/** CVE-2025-8671 by streams whose requests have not ended; those that have are in answers.test.ts. */
const BROKEN_STREAMS: readonly [string, (id: number) => Buffer][] = [
  [
    'more content than its length',
    (id) => Buffer.concat([headers(id, LENGTH_5, END_HEADERS), data(id, 'x'.repeat(6))]),
  ],
  [
    'less content than its length',
    (id) => Buffer.concat([headers(id, LENGTH_5, END_HEADERS), data(id, 'x', END)]),
  ],
  [
    'a second head',
    (id) => Buffer.concat([headers(id, POST, END_HEADERS), headers(id, POST, END_HEADERS)]),
  ],
  [
    'trailers that no request may have',
    (id) => Buffer.concat([headers(id, POST, END_HEADERS), headers(id, ['host', 'b'])]),
  ],
  [
    'a window that overflows',
    (id) => Buffer.concat([headers(id, POST, END_HEADERS), windowUpdate(id, 0x7fff_ffff)]),
  ],
  [
    'PRIORITY that is too long',
    (id) =>
      Buffer.concat([headers(id, POST, END_HEADERS), frame(PRIORITY, 0, id, Buffer.alloc(6))]),
  ],
  ['a head that is none', (id) => headers(id, ['x', 'y'], END | END_HEADERS)],
  [
    'a stream that depends on itself, by PRIORITY',
    (id) => {
      const priority = frame(PRIORITY, 0, id, Buffer.concat([uint32(id), Buffer.alloc(1)]));
      return Buffer.concat([headers(id, POST, END_HEADERS), priority]);
    },
  ],
  [
    'a stream that depends on itself, by its head',
    (id) => {
      const payload = Buffer.concat([uint32(id), Buffer.alloc(1), block(GET)]);
      return frame(HEADERS, 0x20 | END | END_HEADERS, id, payload);
    },
  ],
];

describe('a client that breaks its streams, by', () => {
  it.each(BROKEN_STREAMS)(
    '%s: the upstream sees the budget of it, and all of it cancelled',
    async (_, piece) => {
      const { rig, client, upstream } = await opened();
      client.send(many(500, (n) => piece(2 * n + 3)));
      expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
      await untilFrames(client, (all) => all.some((one) => /^GOAWAY/.test(one)));
      await upstream.over();
      const asked = messagesOf(upstream).filter((one) => one.startsWith('HEADERS'));
      expect(asked.length).toBeLessThanOrEqual(102);
      expect(rig.recorder.records.length).toBeLessThanOrEqual(103);
      expect(rig.recorder.streamsOpenCount).toBe(0);
    },
  );
});

describe('a client that asks for answers and reads none', () => {
  /** Were there no budget of such frames, the answers that wait would still have a bound. */
  const patience = { h2NoiseFrameCountMax: 1_000_000, h2NoiseFramesPerSecond: 1_000_000 };

  it.each<[string, Buffer]>([
    ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', settings()],
  ])('%s: no more than h2ControlFrameCountMax wait', async (_, piece) => {
    const rig = await start({ limits: patience });
    const client = await wireClient(rig, { isReading: false });
    const pieces = many(5000, () => piece);
    for (let n = 0; n < 200 && rig.recorder.closed.length === 0; n++) await sent(client, pieces);
    expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
    expect(rig.recorder.summaries).toEqual(['error http2-abuse 0 -']);
  });

  it('PING of a client that reads is answered, each of them', async () => {
    const rig = await start({ limits: patience });
    const client = await wireClient(rig);
    for (let n = 0; n < 20; n++) {
      await sent(
        client,
        many(200, () => frame(PING, 0, 0, Buffer.alloc(8))),
      );
      await untilFrames(
        client,
        (all) => all.filter((one) => one === 'PING ack').length === 200 * (n + 1),
      );
    }
    expect(rig.recorder.closed).toEqual([]);
  });
});

function sent(client: RawClient, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    client.socket.once('close', resolve);
    client.socket.write(bytes, () => {
      client.socket.off('close', resolve);
      setImmediate(resolve);
    });
  });
}

describe('a head that is small on the wire and large', () => {
  it.each<[string, Buffer, string]>([
    ['cookie crumbs past headBytesMax', bomb('cookie', 700, 90), 'head-too-large 431'],
    ['cookie crumbs past headFieldCountMax', bomb('cookie', 1, 2000), 'head-too-large 431'],
    ['16 MB of fields', bomb('x', 4000, 4000), 'head-too-large 431'],
  ])('%s: 431, and nothing goes upstream', async (_, fields, fault) => {
    const { rig, client, upstream } = await opened();
    client.send(frame(HEADERS, END | END_HEADERS, 3, Buffer.concat([block(GET), fields])));
    await untilEach(client, 'HEADERS 3');
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual([`error ${fault} -`]);
    // The table is in step, and the connection lives.
    client.send(headers(5, GET, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 5 end');
    expect(messagesOf(upstream)).toEqual(['HEADERS 1', 'HEADERS 5 end']);
  });

  it('within the bounds costs the upstream what they say, not more', async () => {
    const { client, upstream } = await opened();
    const fields = bomb('cookie', 600, 90);
    const before = upstream.receivedBytes;
    client.send(frame(HEADERS, END | END_HEADERS, 3, Buffer.concat([block(GET), fields])));
    await untilFrames(upstream, (all) => all.some((one) => one.startsWith('CONTINUATION 3')));
    expect(upstream.receivedBytes - before).toBeLessThan(60 * KIBIBYTE);
  });
});

describe('windows that are never opened', () => {
  it('on a hundred streams hold what each of them takes, and nothing of the connection', async () => {
    const limits = { h2ConnectionWindowBytes: 256 * KIBIBYTE, streamIdleTimeoutMs: 5000 };
    const rig = await start({ limits });
    const client = await wireClient(rig, { entries: [[INITIAL_WINDOW, 0]] });
    const ids = Array.from({ length: 100 }, (_, i) => 2 * i + 1);
    client.send(Buffer.concat(ids.map((id) => headers(id, GET, END | END_HEADERS))));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 199 end');
    const content = Buffer.alloc(16 * KIBIBYTE);
    const whole = Buffer.concat(ids.flatMap((id) => Array(4).fill(data(id, content)) as Buffer[]));
    upstream.send(Buffer.concat(ids.map((id) => headers(id, OK, END_HEADERS))));
    upstream.send(whole);
    await untilEach(client, 'HEADERS 199');
    // All but what is not worth a frame yet.
    const sent = ids.length * 4 * content.length;
    await expect.poll(() => credits(upstream)).toBeGreaterThan(sent);
    expect(framesOf(upstream).filter((one) => /^WINDOW_UPDATE [^0]/.test(one))).toEqual([]);
    for (let i = 0; i < 6; i++) rig.time.advance(1000);
    await rig.recorder.untilStreamsOver(100);
    await untilEach(upstream, 'RST_STREAM 199 CANCEL');
    expect(rig.recorder.records).toHaveLength(100);
  });
});

describe('streams whose client does not take what they bring', () => {
  it('hold their own content and nothing of the others', async () => {
    const limits = { h2ConnectionWindowBytes: 64 * KIBIBYTE, h2StreamWindowBytes: 16 * KIBIBYTE };
    const rig = await start({ limits });
    const client = await wireClient(rig, { entries: [[INITIAL_WINDOW, 0]] });
    client.send(many(4, (n) => headers(2 * n + 1, GET, END | END_HEADERS)));
    client.send(Buffer.concat([windowUpdate(7, 1_000_000), windowUpdate(0, 1_000_000)]));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 7 end');
    upstream.send(many(4, (n) => headers(2 * n + 1, OK, END_HEADERS)));
    // 40 of the 64 KiB wait for windows that stay closed.
    const content = Buffer.alloc(13 * KIBIBYTE);
    upstream.send(many(3, (n) => data(2 * n + 1, content)));
    let left = 64 * KIBIBYTE - 3 * content.length;
    for (let sent = 0, before = credits(upstream); sent < 200 * KIBIBYTE; ) {
      const length = Math.min(left, 8 * KIBIBYTE);
      upstream.send(data(7, Buffer.alloc(length, 'x')));
      sent += length;
      left -= length;
      // More may be sent once it is said; nothing else will ever say so.
      if (left > 0) continue;
      const given = () => credits(upstream) - before;
      await expect.poll(given).toBeGreaterThan(0);
      left = given();
      before += left;
    }
  });
});

describe('streams that their client never ends', () => {
  it.each<[string, Buffer]>([
    ['SETTINGS', settings()],
    ['GOAWAY', frame(GOAWAY, 0, 0, Buffer.alloc(8))],
    ['PING', frame(PING, 0, 0, Buffer.alloc(8))],
    ['PRIORITY', frame(PRIORITY, 0, 1, Buffer.alloc(5))],
    ['empty DATA', data(1, '')],
    ['frames of no type', frame(UNKNOWN, 0, 1, Buffer.alloc(8))],
  ])('are late although it sends %s', async (_, piece) => {
    const { rig, client } = await opened({ limits: { streamIdleTimeoutMs: 5000 } });
    for (let i = 0; i < 7; i++) {
      client.send(Buffer.concat([piece, frame(PING, 0, 0, Buffer.alloc(8))]));
      const pings = piece[3] === PING ? 2 * i + 2 : i + 1;
      await untilFrames(client, (all) => all.filter((one) => one === 'PING ack').length >= pings);
      rig.time.advance(1000);
    }
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual(['error stream-idle-timeout 504 /']);
  });

  it('end when nothing moves on them, at the upstream too, and the next are served', async () => {
    const rig = await start({ limits: { streamIdleTimeoutMs: 5000 } });
    const client = await wireClient(rig);
    client.send(many(100, (n) => headers(2 * n + 1, POST, END_HEADERS)));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 199');
    client.send(headers(201, GET, END | END_HEADERS));
    await untilEach(client, 'RST_STREAM 201 REFUSED_STREAM');
    for (let i = 0; i < 6; i++) rig.time.advance(1000);
    await rig.recorder.untilStreamsOver(100);
    await untilEach(upstream, 'RST_STREAM 1 CANCEL', 'RST_STREAM 199 CANCEL');
    client.send(headers(203, GET, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 203 end');
    expect(new Set(rig.recorder.summaries)).toEqual(new Set(['error stream-idle-timeout 504 /']));
    expect(rig.recorder.records).toHaveLength(100);
  });
});

/** What the proxy lets it send on the connection, beyond the first 65,535 bytes. */
function credits(peer: { readonly received: string }): number {
  const found = framesOf(peer).flatMap((one) => /^WINDOW_UPDATE 0 (\d+)/.exec(one)?.[1] ?? []);
  return found.reduce((sum, one) => sum + Number(one), 0);
}

/** What an upstream does with its connection; each must end it, with the stream told to the client. */
const UPSTREAM_FLOODS: readonly [string, (n: number) => Buffer][] = [
  ['PRIORITY', () => frame(PRIORITY, 0, 1, Buffer.alloc(5))],
  ['WINDOW_UPDATE', () => windowUpdate(0, 1)],
  ['WINDOW_UPDATE of the stream', () => windowUpdate(1, 1)],
  ['SETTINGS that change the windows', (n) => settings([INITIAL_WINDOW, 65_535 + (n % 2)])],
  ['GOAWAY', () => frame(GOAWAY, 0, 0, Buffer.concat([uint32(1), uint32(0)]))],
  ['frames of no type', () => frame(UNKNOWN, 0, 1, Buffer.alloc(1000))],
  ['resets of streams that are over', () => reset(1)],
  ['DATA of padding only', () => frame(0, PADDED, 1, Buffer.from([3, 0, 0, 0]))],
  [
    'CONTINUATION without an end',
    (n) => frame(n === 0 ? HEADERS : CONTINUATION, 0, 1, block(n === 0 ? OK : ['x', 'y'])),
  ],
  [
    'trailers without an end',
    (n) =>
      n === 0
        ? Buffer.concat([headers(1, OK, END_HEADERS), data(1, 'x'), frame(HEADERS, END, 1)])
        : frame(CONTINUATION, 0, 1, block(['x', 'y'])),
  ],
];

describe('an upstream that floods with', () => {
  it.each(UPSTREAM_FLOODS)(
    '%s: its connection ends, the client has one clear end of its stream',
    async (_, piece) => {
      const { rig, client, upstream } = await opened();
      const before = client.receivedBytes;
      upstream.send(many(1000, piece));
      await rig.recorder.untilRecords(1);
      await upstream.over();
      await rig.recorder.untilStreamsOver(1);
      const seen = messagesOf(client);
      expect(
        seen.filter((one) => /^(HEADERS 1 end|RST_STREAM 1|DATA 1 .* end)/.test(one)).length,
      ).toBeGreaterThanOrEqual(1);
      expect(client.receivedBytes - before).toBeLessThan(500);
      client.send(headers(3, GET, END | END_HEADERS));
      const second = await wireUpstream(rig, { index: 1 });
      await untilEach(second, 'HEADERS 3 end');
      second.send(headers(3, OK, END | END_HEADERS));
      await untilEach(client, 'HEADERS 3 end');
      expect(rig.recorder.records).toHaveLength(2);
    },
  );

  it('a head that is small on the wire and large: 502, the connection lives', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(headers(1, GET, END | END_HEADERS));
    // Before it has acknowledged that our table has no room, it may use one of 4 KiB.
    const upstream = await rig.origin.connection();
    upstream.send(settings());
    await untilEach(upstream, 'HEADERS 1 end');
    const fields = Buffer.concat([block(OK), bomb('x', 3000, 200)]);
    upstream.send(frame(HEADERS, END | END_HEADERS, 1, fields));
    await untilFrames(client, (all) => all.some((one) => one.startsWith('DATA 1 Bad Gateway')));
    expect(rig.recorder.summaries).toEqual(['error response-head-too-large 502 /']);
    client.send(headers(3, GET, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 3 end');
    upstream.send(headers(3, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 3 end');
  });

  it('resets, of every stream: each is passed on once, and the connection lives', async () => {
    const { rig, client, upstream } = await opened();
    const ids = Array.from({ length: 400 }, (_, i) => 2 * i + 3);
    for (let at = 0; at < ids.length; at += 50) {
      const some = ids.slice(at, at + 50);
      client.send(Buffer.concat(some.map((id) => headers(id, GET, END | END_HEADERS))));
      await untilEach(upstream, `HEADERS ${some[49]} end`);
      upstream.send(Buffer.concat(some.map((id) => reset(id, 2))));
      await untilEach(client, `RST_STREAM ${some[49]} INTERNAL_ERROR`);
    }
    expect(messagesOf(client)).toEqual(ids.map((id) => `RST_STREAM ${id} INTERNAL_ERROR`));
    expect(rig.recorder.resetSummaries).toEqual(['upstream INTERNAL_ERROR 400']);
    expect(rig.recorder.closed).toEqual([]);
  });

  it('GOAWAY that takes back each stream: one connection a stream at most, and no circle', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    const ids = [1, 3, 5, 7, 9];
    client.send(Buffer.concat(ids.map((id) => headers(id, GET, END | END_HEADERS))));
    for (const [index, id] of ids.entries()) {
      const upstream = await wireUpstream(rig, { index, entries: [[0x3, 1]] });
      await untilEach(upstream, `HEADERS ${id} end`);
      upstream.send(frame(GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(0)])));
    }
    await untilEach(client, ...ids.map((id) => `RST_STREAM ${id} REFUSED_STREAM`));
    await rig.recorder.untilStreamsOver(5);
    expect(rig.origin.connections).toHaveLength(5);
    expect(rig.recorder.records).toHaveLength(5);
  });
});
