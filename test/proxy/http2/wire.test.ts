/** The HTTP/2 relay frame by frame: what each side is sent, in which order, and what is not sent. */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { PLAIN_SOCKETS } from '../../../src/platform/sockets.ts';
import {
  block,
  data,
  frame,
  GET,
  headers,
  OK,
  POST,
  reset,
  SETTINGS_ACK,
  settings,
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
import { settled } from '../../support/settled.ts';

afterEach(closeRigs);

const CONCURRENT_STREAMS = 0x3;
const UINT31_MAX = 0x7fff_ffff;
const ZERO_WINDOW: readonly (readonly [number, number])[] = [[INITIAL_WINDOW, 0]];

function start(options: RigOptions = {}): Promise<Rig> {
  return startRig({ policy: allowHttp('* /'), ...options });
}

function goAway(lastStreamId: number, code = 0): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId);
  payload.writeUInt32BE(code, 4);
  return frame(0x7, 0, 0, payload);
}

async function records(rig: Rig, count: number): Promise<readonly string[]> {
  await rig.recorder.untilRecords(count);
  return rig.recorder.summaries;
}

function messages(frames: readonly string[]): string[] {
  return frames.filter((one) => !/^(SETTINGS|WINDOW_UPDATE)/.test(one));
}

describe('a response that is complete before its request', () => {
  it('stops the request: NO_ERROR to both sides', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1');
    upstream.send(Buffer.concat([headers(1, OK, END_HEADERS), data(1, 'early', END)]));
    const got = await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    expect(messages(got)).toEqual(['HEADERS 1', 'DATA 1 early end', 'RST_STREAM 1 NO_ERROR']);
    await untilEach(upstream, 'RST_STREAM 1 NO_ERROR');
    expect(await records(rig, 1)).toEqual(['forwarded allowed 200 /']);
  });

  it('is whole before the client is told to stop, however late it opens its window', async () => {
    const rig = await start();
    const client = await wireClient(rig, { entries: ZERO_WINDOW });
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1');
    upstream.send(Buffer.concat([headers(1, OK, END_HEADERS), data(1, 'early', END)]));
    await untilEach(upstream, 'RST_STREAM 1 NO_ERROR');
    expect(messages(framesOf(client))).toEqual(['HEADERS 1']);
    expect(rig.recorder.records).toEqual([]);
    client.send(Buffer.concat([data(1, 'more'), windowUpdate(1, 2)]));
    await untilEach(client, 'DATA 1 ea');
    client.send(windowUpdate(1, 100));
    const got = await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    expect(messages(got).slice(1)).toEqual([
      'DATA 1 ea',
      'DATA 1 rly end',
      'RST_STREAM 1 NO_ERROR',
    ]);
    expect(await records(rig, 1)).toEqual(['forwarded allowed 200 /']);
  });
});

describe('an answer of ours', () => {
  it('has its content even for a client that opens its window late', async () => {
    const rig = await start({ policy: allowHttp('* /other') });
    const client = await wireClient(rig, { entries: ZERO_WINDOW });
    client.send(headers(1, POST, END_HEADERS));
    await untilEach(client, 'HEADERS 1');
    client.send(Buffer.concat([data(1, 'x'.repeat(1000)), windowUpdate(1, 1000)]));
    const got = await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    expect(messages(got)).toEqual([
      'HEADERS 1',
      'DATA 1 Access denied\r\n end',
      'RST_STREAM 1 NO_ERROR',
    ]);
    expect(rig.origin.connections).toHaveLength(0);
    expect(await records(rig, 1)).toEqual(['denied no-http-rule-matched 403 /']);
  });

  it('that is never taken ends with its stream, and asks for no more of the request', async () => {
    const rig = await start({
      policy: allowHttp('* /other'),
      limits: { streamIdleTimeoutMs: 5000 },
    });
    const client = await wireClient(rig, { entries: ZERO_WINDOW });
    client.send(Buffer.concat([headers(1, POST, END_HEADERS), data(1, 'x'.repeat(16_000))]));
    await untilEach(client, 'HEADERS 1');
    client.send(Buffer.concat([data(1, 'x'.repeat(16_000)), data(1, 'x'.repeat(16_000))]));
    await settled();
    expect(framesOf(client).filter((one) => one.startsWith('WINDOW_UPDATE 1'))).toEqual([]);
    for (let i = 0; i < 6; i++) rig.time.advance(1000);
    await untilEach(client, 'RST_STREAM 1 INTERNAL_ERROR');
    await records(rig, 1);
  });
});

describe('credit', () => {
  it('comes back for responses that a client gave up while they waited', async () => {
    const rig = await start();
    const client = await wireClient(rig, { entries: ZERO_WINDOW });
    const count = 40;
    const content = 'x'.repeat(16_000);
    for (let i = 0; i < count; i++) {
      const id = 2 * i + 1;
      client.send(headers(id, GET, END | END_HEADERS));
      const upstream = i === 0 ? await wireUpstream(rig) : await rig.origin.connection();
      await untilEach(upstream, `HEADERS ${id} end`);
      upstream.send(
        Buffer.concat([
          headers(id, OK, END_HEADERS),
          data(id, content),
          data(id, content),
          data(id, content, END),
        ]),
      );
      await untilEach(client, `HEADERS ${id}`);
      client.send(reset(id));
      await rig.recorder.untilRecords(i + 1);
    }
    const upstream = await rig.origin.connection();
    await untilFrames(upstream, (frames) => {
      const credits = frames.flatMap((one) => /^WINDOW_UPDATE 0 (\d+)/.exec(one)?.[1] ?? []);
      // What is not announced yet is less than half of the window.
      const total = credits.reduce((sum, one) => sum + Number(one), 0);
      return total >= count * 3 * content.length;
    });
    expect(rig.origin.connections).toHaveLength(1);
  });

  it('counts padding: a byte in 256 arrives, however much there is of it', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await wireUpstream(rig);
    const padded = Buffer.concat([Buffer.from([254]), Buffer.from('p'), Buffer.alloc(254)]);
    const count = 2000;
    client.send(Buffer.concat(Array.from({ length: count }, () => frame(0, 0x8, 1, padded))));
    client.send(data(1, '', END));
    const frames = await untilFrames(upstream, (all) => all.some((one) => one.endsWith(' end')));
    const content = frames.flatMap((one) => /^DATA 1 (p*)/.exec(one)?.[1] ?? []).join('');
    expect(content).toHaveLength(count);
  });
});

describe('GOAWAY of an upstream', () => {
  it('refuses what it did not look at; the rest ends there, later streams elsewhere', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(Buffer.concat([1, 3].map((id) => headers(id, GET, END | END_HEADERS))));
    const first = await wireUpstream(rig);
    await untilEach(first, 'HEADERS 3 end');
    first.send(goAway(1));
    await untilEach(client, 'RST_STREAM 3 REFUSED_STREAM');
    client.send(headers(5, GET, END | END_HEADERS));
    const second = await wireUpstream(rig, { index: 1 });
    await untilEach(second, 'HEADERS 5 end');
    second.send(headers(5, OK, END | END_HEADERS));
    first.send(headers(1, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 1 end', 'HEADERS 5 end');
    expect(await first.over()).toBe('fin');
    expect([...(await records(rig, 3))].sort()).toEqual([
      'error upstream-closed 0 /',
      'forwarded allowed 200 /',
      'forwarded allowed 200 /',
    ]);
  });

  it('that takes no stream at all is a 503, not a circle of connections', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await rig.origin.connection();
    upstream.send(Buffer.concat([settings([CONCURRENT_STREAMS, 0]), SETTINGS_ACK, goAway(0)]));
    await untilEach(client, 'HEADERS 1');
    expect(await records(rig, 1)).toEqual(['error upstream-closed 503 /']);
    expect(rig.origin.connections).toHaveLength(1);
  });
});

describe('streams that wait for their turn', () => {
  it('go up in order, and one that is reset meanwhile never does', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    const ids = [1, 3, 5, 7];
    client.send(Buffer.concat(ids.map((id) => headers(id, POST, END_HEADERS))));
    client.send(Buffer.concat(ids.map((id) => data(id, `c${id}`, END))));
    const upstream = await wireUpstream(rig, { entries: [[CONCURRENT_STREAMS, 1]] });
    await untilEach(upstream, 'DATA 1 c1 end');
    client.send(reset(5));
    await rig.recorder.untilRecords(1);
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(upstream, 'DATA 3 c3 end');
    upstream.send(headers(3, OK, END | END_HEADERS));
    const got = await untilEach(upstream, 'DATA 7 c7 end');
    expect(messages(got).filter((one) => !one.includes(' end'))).toEqual([
      'HEADERS 1',
      'HEADERS 3',
      'HEADERS 7',
    ]);
  });
});

describe('a drain', () => {
  it('takes what was on its way, and says GOAWAY twice, a round trip apart', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    await untilEach(client, 'SETTINGS ack');
    void rig.plane.drain();
    const frames = await untilEach(client, 'PING');
    expect(frames).toContain(`GOAWAY ${UINT31_MAX} NO_ERROR`);
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    client.send(frame(0x6, 0x1, 0, Buffer.from('sallypor', 'latin1')));
    await untilEach(client, 'GOAWAY 1 NO_ERROR');
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 1 end');
    expect((await client.over()).how).toBe('fin');
    expect(await records(rig, 1)).toEqual(['forwarded allowed 200 /']);
  });
});

describe('a drain that is over in the moment in which a time-out is due', () => {
  it('ends the connection once, with one record', async () => {
    const rig = await start({
      limits: { connectTimeoutMs: 2000, headTimeoutMs: 2000 },
      sockets: {
        ...PLAIN_SOCKETS,
        connect: () => Object.assign(new Socket(), { connecting: true }),
      },
    });
    const client = await wireClient(rig);
    client.send(headers(1, GET, END | END_HEADERS));
    await rig.recorder.untilOpened(1);
    await untilEach(client, 'SETTINGS ack');
    void rig.plane.drain();
    await untilEach(client, 'PING');
    client.send(frame(0x6, 0x1, 0, Buffer.from('sallypor', 'latin1')));
    await untilEach(client, 'GOAWAY 1 NO_ERROR');
    // A head that is not finished, begun when the attempt to connect was.
    client.send(Buffer.concat([frame(0x6, 0, 0, Buffer.alloc(8)), frame(0x1, 0, 3, block(GET))]));
    await untilEach(client, 'PING ack');
    rig.time.advance(2000);
    expect((await client.over()).how).toBe('fin');
    expect(await records(rig, 1)).toEqual(['error connect-timeout 504 /']);
    expect(rig.recorder.closed).toEqual(['drained']);
    expect(framesOf(client).at(-1)).toMatch(/^DATA 1 .* end$/s);
  });
});

describe('SETTINGS that are not acknowledged', () => {
  it('end the connection of a client with SETTINGS_TIMEOUT', async () => {
    const rig = await start({ limits: { h2SettingsTimeoutMs: 3000 } });
    const client = await rig.client();
    client.send(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), settings()]));
    await untilEach(client, 'SETTINGS ack');
    for (let i = 0; i < 4; i++) rig.time.advance(1000);
    await untilEach(client, 'GOAWAY 0 SETTINGS_TIMEOUT');
    expect(await records(rig, 1)).toEqual(['error http2-error 0 -']);
  });

  it('by an upstream are its failure', async () => {
    const rig = await start({ limits: { h2SettingsTimeoutMs: 3000 } });
    const client = await wireClient(rig);
    client.send(headers(1, GET, END | END_HEADERS));
    const upstream = await rig.origin.connection();
    upstream.send(settings());
    await untilEach(upstream, 'HEADERS 1 end');
    for (let i = 0; i < 4; i++) rig.time.advance(1000);
    await untilEach(upstream, 'GOAWAY 0 SETTINGS_TIMEOUT');
    expect(await records(rig, 1)).toEqual(['error upstream-http2-error 502 /']);
  });
});
