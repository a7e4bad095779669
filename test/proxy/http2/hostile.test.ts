/** Peers of the HTTP/2 relay that break rules, or keep them at the other's expense: what each can cost. */
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
import { END, END_HEADERS, INITIAL_WINDOW, MEBIBYTE } from '../../support/http2_frames.ts';
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
import { settled } from '../../support/settled.ts';
import { stalledAt } from '../../support/stalled_at.ts';

afterEach(closeRigs);

const CONCURRENT_STREAMS = 0x3;
const UINT31_MAX = 0x7fff_ffff;
const WIDE: readonly (readonly [number, number])[] = [[INITIAL_WINDOW, UINT31_MAX]];
const WIDE_CONNECTION = windowUpdate(0, UINT31_MAX - 65_535);

function start(options: RigOptions = {}): Promise<Rig> {
  return startRig({ policy: allowHttp('* /'), ...options });
}

/** The first stream is asked for and has come to the upstream. */
async function opened(rig: Rig, request = headers(1, GET, END | END_HEADERS)) {
  const client = await wireClient(rig);
  client.send(request);
  const upstream = await wireUpstream(rig);
  await untilFrames(upstream, (all) => all.some((one) => one.startsWith('HEADERS 1')));
  return { client, upstream };
}

async function summary(rig: Rig): Promise<string> {
  await rig.recorder.untilRecords(1);
  return rig.recorder.summaries[0] ?? '';
}

const RESET = 'RST_STREAM 1 INTERNAL_ERROR';
const BAD_GATEWAY = 'error upstream-http2-error 502 /';
const MALFORMED = 'error malformed-response 502 /';
const HEAD_OK = headers(1, OK, END_HEADERS);

/** What an upstream sends, and how the one stream that is open ends for the client and in the record. */
const UPSTREAM_CASES: readonly [string, Buffer, string, string][] = [
  ['HTTP/1.1', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'HEADERS 1', BAD_GATEWAY],
  [
    'PUSH_PROMISE',
    frame(5, END_HEADERS, 1, Buffer.concat([uint32(2), block(GET)])),
    'HEADERS 1',
    BAD_GATEWAY,
  ],
  ['a frame that is too long', frame(0, 0, 1, Buffer.alloc(16_385)), 'HEADERS 1', BAD_GATEWAY],
  ['HEADERS of a stream that nobody opened', headers(3, OK), 'HEADERS 1', BAD_GATEWAY],
  [
    'fields that cannot be decoded',
    frame(1, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
    'HEADERS 1',
    BAD_GATEWAY,
  ],
  [
    'PING without an end',
    Buffer.concat(Array.from({ length: 300 }, () => frame(6, 0, 0, Buffer.alloc(8)))),
    'HEADERS 1',
    BAD_GATEWAY,
  ],
  [
    'SETTINGS without an end',
    Buffer.concat(Array.from({ length: 100 }, () => settings())),
    'HEADERS 1',
    BAD_GATEWAY,
  ],
  [
    'empty DATA without an end',
    Buffer.concat([HEAD_OK, ...Array.from({ length: 50 }, () => data(1, ''))]),
    RESET,
    'error upstream-http2-error 200 /',
  ],
  [
    'more content than our windows',
    Buffer.concat([HEAD_OK, ...Array.from({ length: 10 }, () => data(1, Buffer.alloc(16_384)))]),
    RESET,
    'error malformed-response 200 /',
  ],
  ['DATA before its head', data(1, 'x'), 'HEADERS 1', MALFORMED],
  ['a field name in upper case', headers(1, [...OK, 'Upper', 'x'], 5), 'HEADERS 1', MALFORMED],
  [
    'a connection field',
    headers(1, [...OK, 'transfer-encoding', 'chunked'], 5),
    'HEADERS 1',
    MALFORMED,
  ],
  ['101', headers(1, [':status', '101'], END_HEADERS), 'HEADERS 1', MALFORMED],
  ['a status that is none', headers(1, [':status', '2x0'], 5), 'HEADERS 1', MALFORMED],
  [
    '100 without an end',
    Buffer.concat(Array.from({ length: 20 }, () => headers(1, [':status', '100'], END_HEADERS))),
    'HEADERS 1',
    MALFORMED,
  ],
  [
    'less content than its length',
    Buffer.concat([headers(1, [...OK, 'content-length', '5'], END_HEADERS), data(1, 'x', END)]),
    RESET,
    'error malformed-response 200 /',
  ],
  [
    'a window of the stream that overflows',
    Buffer.concat([HEAD_OK, windowUpdate(1, UINT31_MAX)]),
    RESET,
    'error malformed-response 200 /',
  ],
  ['RST_STREAM', reset(1, 7), 'RST_STREAM 1 REFUSED_STREAM', 'error upstream-reset 0 /'],
];

describe('an upstream that sends', () => {
  it.each(UPSTREAM_CASES)('%s', async (_, bytes, told, record) => {
    const rig = await start({ limits: { informationalResponseCountMax: 10 } });
    const { client, upstream } = await opened(rig);
    upstream.send(bytes);
    await untilEach(client, told);
    expect(await summary(rig)).toBe(record);
    // Later streams are served, by a fresh connection or by this one.
    client.send(headers(3, GET, END | END_HEADERS));
    const isFresh = record.includes('upstream-http2-error');
    const next = isFresh ? await wireUpstream(rig, { index: 1 }) : upstream;
    await untilEach(next, 'HEADERS 3 end');
    next.send(headers(3, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 3 end');
    expect(rig.recorder.records).toHaveLength(2);
  });

  it('its FIN in the middle of a response: the client sees that it is not whole', async () => {
    const rig = await start();
    const { client, upstream } = await opened(rig);
    upstream.send(Buffer.concat([HEAD_OK, data(1, 'part')]));
    await untilEach(client, 'DATA 1 part');
    upstream.end();
    await untilEach(client, RESET);
    expect(await summary(rig)).toBe('error upstream-truncated 200 /');
  });
});

describe('a client that asks for answers and reads none', () => {
  it.each<[string, (n: number) => Buffer]>([
    ['PING', () => frame(6, 0, 0, Buffer.alloc(8))],
    ['PRIORITY', () => frame(2, 0, 1, Buffer.alloc(5))],
    ['WINDOW_UPDATE', () => windowUpdate(0, 1)],
    ['frames of an unknown type', () => frame(0x77, 0, 0, Buffer.alloc(8))],
    ['streams beyond their number', (n) => headers(2 * n + 1, POST, END_HEADERS)],
  ])('%s: its connection ends, what was kept for it too', async (_, piece) => {
    const rig = await start();
    const client = await wireClient(rig, { isReading: false });
    for (let n = 0; n < 20_000 && rig.recorder.closed.length === 0; n += 500) {
      client.send(Buffer.concat(Array.from({ length: 500 }, (_unused, i) => piece(n + i))));
      await settled();
    }
    expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
    expect(rig.recorder.summaries.some((one) => one.includes('http2-abuse'))).toBe(true);
    expect(rig.recorder.connects.length).toBeLessThanOrEqual(1);
  });
});

describe('rapid reset', () => {
  it('costs the upstream no more streams than the budget', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    const pairs = Array.from({ length: 1000 }, (_, i) =>
      Buffer.concat([headers(2 * i + 3, GET, END | END_HEADERS), reset(2 * i + 3)]),
    );
    client.send(Buffer.concat(pairs));
    expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
    await upstream.over();
    const asked = framesOf(upstream).filter((one) => one.startsWith('HEADERS'));
    expect(asked.length).toBeLessThanOrEqual(102);
    // Each stream of which a head came has one record, and the first is one of them.
    expect(rig.recorder.records.length).toBeLessThanOrEqual(103);
  });
});

describe('who opens its windows and does not read', () => {
  it('as a client, stops the upstream', async () => {
    const rig = await start();
    const client = await wireClient(rig, { isReading: false, entries: WIDE });
    client.send(Buffer.concat([WIDE_CONNECTION, headers(1, GET, END | END_HEADERS)]));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    upstream.send(HEAD_OK);
    const taken = await stalledAt(upstream, 64 * MEBIBYTE, {
      block: data(1, Buffer.alloc(16_384)),
    });
    expect(taken).toBeLessThan(24 * MEBIBYTE);
  });

  it('as an upstream, stops the client', async () => {
    const rig = await start({
      limits: { h2StreamWindowBytes: 512 * MEBIBYTE, h2ConnectionWindowBytes: 512 * MEBIBYTE },
    });
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await rig.origin.connection();
    upstream.send(Buffer.concat([settings(...WIDE), WIDE_CONNECTION, frame(4, 1, 0)]));
    await untilEach(upstream, 'HEADERS 1');
    upstream.socket.pause();
    const taken = await stalledAt(client, 64 * MEBIBYTE, { block: data(1, Buffer.alloc(16_384)) });
    expect(taken).toBeLessThan(24 * MEBIBYTE);
    // It is asked whether it is still there, and that it says so is not taken for more.
    for (let i = 0; i < 70; i++) rig.time.advance(1000);
    await untilEach(client, 'PING');
    const answers = framesOf(client).filter((one) => one === 'PING');
    client.send(Buffer.concat(answers.map(() => frame(6, 1, 0, Buffer.from('sallypor')))));
    upstream.socket.resume();
    client.send(data(1, 'end', END));
    await untilEach(upstream, 'DATA 1 end end');
    client.send(headers(3, GET, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 3 end');
    expect(framesOf(client).filter((one) => one.startsWith('GOAWAY'))).toEqual([]);
  });
});

describe('an upstream that never reads again', () => {
  it('holds its streams until they are late, and then not the connection', async () => {
    const rig = await start({
      limits: {
        h2StreamWindowBytes: 512 * MEBIBYTE,
        h2ConnectionWindowBytes: 512 * MEBIBYTE,
        streamIdleTimeoutMs: 5000,
      },
    });
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await rig.origin.connection();
    upstream.send(Buffer.concat([settings(...WIDE), WIDE_CONNECTION, frame(4, 1, 0)]));
    await untilEach(upstream, 'HEADERS 1');
    upstream.socket.pause();
    await stalledAt(client, 64 * MEBIBYTE, { block: data(1, Buffer.alloc(16_384)) });
    for (let i = 0; i < 8; i++) rig.time.advance(1000);
    await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    client.send(headers(3, GET, END | END_HEADERS));
    const second = await wireUpstream(rig, { index: 1 });
    await untilEach(second, 'HEADERS 3 end');
    expect(await summary(rig)).toBe('error stream-idle-timeout 504 /');
  });
});

describe('a client that is not read, as its upstream does not read', () => {
  it.each<[string, (client: RawClient) => void]>([
    ['closes', (client) => client.close()],
    ['resets', (client) => client.reset()],
  ])('and %s: that is noticed by PINGs that it does not take', async (_, leave) => {
    const rig = await start({
      limits: {
        h2StreamWindowBytes: 512 * MEBIBYTE,
        h2ConnectionWindowBytes: 512 * MEBIBYTE,
        // Nothing else would end it.
        streamIdleTimeoutMs: 0,
        h2StallPingIntervalMs: 5000,
      },
    });
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await rig.origin.connection();
    upstream.send(Buffer.concat([settings(...WIDE), WIDE_CONNECTION, frame(4, 1, 0)]));
    await untilEach(upstream, 'HEADERS 1');
    upstream.socket.pause();
    await stalledAt(client, 64 * MEBIBYTE, { block: data(1, Buffer.alloc(16_384)) });
    for (let i = 0; i < 12; i++) rig.time.advance(1000);
    await untilEach(client, 'PING');
    expect(framesOf(client).filter((one) => one === 'PING')).toHaveLength(2);
    expect(rig.recorder.closed).toEqual([]);
    leave(client);
    // One PING brings the reset, one more meets it; each after the network has had its turn.
    for (let i = 0; i < 4 && rig.recorder.closed.length === 0; i++) {
      rig.time.advance(5000);
      await settled();
    }
    await rig.recorder.untilClosed(1);
    expect(rig.plane.connectionCount).toBe(0);
    expect(await summary(rig)).toBe('error downstream-reset 0 /');
    upstream.socket.resume();
    await upstream.over();
  });
});

describe('windows', () => {
  it('that are never opened hold no more than those that we gave', async () => {
    const rig = await start({ limits: { streamIdleTimeoutMs: 5000 } });
    const client = await wireClient(rig, { entries: [[INITIAL_WINDOW, 0]] });
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    const content = Buffer.alloc(16_000);
    upstream.send(Buffer.concat([HEAD_OK, ...[1, 2, 3, 4].map(() => data(1, content))]));
    await untilEach(client, 'HEADERS 1');
    await settled();
    expect(framesOf(upstream).filter((one) => one.startsWith('WINDOW_UPDATE 1'))).toEqual([]);
    for (let i = 0; i < 6; i++) rig.time.advance(1000);
    await untilEach(client, RESET);
    await untilEach(upstream, 'RST_STREAM 1 CANCEL');
    expect(await summary(rig)).toBe('error stream-idle-timeout 200 /');
  });

  it('of one byte at a time are served within the budget of such frames', async () => {
    const rig = await start();
    const client = await wireClient(rig, { entries: [[INITIAL_WINDOW, 1]] });
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    upstream.send(Buffer.concat([HEAD_OK, data(1, 'abcdef', END)]));
    for (const letter of 'abcde') {
      await untilEach(client, `DATA 1 ${letter}`);
      client.send(windowUpdate(1, 1));
    }
    await untilEach(client, 'DATA 1 f end');
    expect(await summary(rig)).toBe('forwarded allowed 200 /');
  });
});

describe('streams that wait for an upstream that takes one at a time', () => {
  it('keep nothing once they are reset, and cost the upstream nothing', async () => {
    const rig = await start({ limits: { h2ResetCountMax: 10_000 } });
    const client = await wireClient(rig);
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await wireUpstream(rig, { entries: [[CONCURRENT_STREAMS, 1]] });
    await untilEach(upstream, 'HEADERS 1 end');
    const content = Buffer.alloc(16_000);
    // More than the window of the connection: each reset must give back what was held.
    for (let i = 1; i <= 500; i++) {
      const id = 2 * i + 1;
      client.send(Buffer.concat([headers(id, POST, END_HEADERS), data(id, content), reset(id)]));
    }
    await rig.recorder.untilRecords(500);
    upstream.send(headers(1, OK, END | END_HEADERS));
    client.send(headers(2001, GET, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 2001 end');
    expect(framesOf(upstream).filter((one) => one.startsWith('HEADERS'))).toHaveLength(2);
  });
});
