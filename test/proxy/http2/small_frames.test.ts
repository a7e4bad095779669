/** Content in very small frames: what it costs to hold, and that nobody is cut for what others send. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  data,
  frame,
  GET,
  headers,
  OK,
  POST,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS, MEBIBYTE } from '../../support/http2_frames.ts';
import { framesOf, untilEach, wireClient, wireUpstream } from '../../support/http2_wire_peers.ts';
import { allowHttp, closeRigs, type RigOptions, startRig } from '../../support/plane_rig.ts';
import { settled } from '../../support/settled.ts';
import { stalledAt } from '../../support/stalled_at.ts';

afterEach(closeRigs);

const PING = 0x6;
const UINT31_MAX = 0x7fff_ffff;
const WIDE = [[0x4, UINT31_MAX]] as const;
const WIDE_CONNECTION = windowUpdate(0, UINT31_MAX - 65_535);
/** 6,400 frames of one byte, as much as one read takes. */
const CRUMBS = Buffer.concat(Array.from({ length: 6400 }, () => data(1, 'x')));

function start(options: RigOptions = {}) {
  return startRig({ policy: allowHttp('* /'), ...options });
}

describe('content in frames of one byte', () => {
  it('that waits for an upstream goes there in as few frames as it takes', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    const count = 60_000;
    client.send(headers(1, POST, END_HEADERS));
    const crumbs = Array.from({ length: count }, () => data(1, 'x'));
    client.send(Buffer.concat([...crumbs, data(1, '', END), frame(PING, 0, 0, Buffer.alloc(8))]));
    await untilEach(client, 'PING ack');
    const upstream = await wireUpstream(rig);
    await expect
      .poll(() => framesOf(upstream).some((one) => /^DATA 1 .* ?end/.test(one)))
      .toBe(true);
    const content = framesOf(upstream).filter((one) => one.startsWith('DATA 1'));
    expect(content.join('').split('x')).toHaveLength(count + 1);
    expect(content.length).toBeLessThanOrEqual(20);
  });

  it('from an upstream does not cut a client that reads slowly', async () => {
    const rig = await start();
    const client = await wireClient(rig, { entries: WIDE, isKeeping: false });
    client.send(Buffer.concat([WIDE_CONNECTION, headers(1, GET, END | END_HEADERS)]));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    client.socket.pause();
    upstream.send(headers(1, OK, END_HEADERS));
    const sent = await stalledAt(upstream, 64 * MEBIBYTE, { block: CRUMBS });
    // It may ask, and say how much more it takes, while it is slow.
    client.send(Buffer.concat([frame(PING, 0, 0, Buffer.alloc(8)), windowUpdate(1, 1)]));
    await settled();
    expect(rig.recorder.closed).toEqual([]);
    client.socket.resume();
    upstream.send(data(1, '', END));
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /']);
    await client.untilBytes(sent);
  });

  it('from a client does not cut an upstream that reads slowly', async () => {
    const windows = {
      h2StreamWindowBytes: 512 * MEBIBYTE,
      h2ConnectionWindowBytes: 512 * MEBIBYTE,
    };
    const rig = await start({ limits: windows, isOriginKeeping: false });
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await rig.origin.connection();
    upstream.send(Buffer.concat([settings(...WIDE), WIDE_CONNECTION, SETTINGS_ACK]));
    await untilEach(client, 'SETTINGS ack');
    upstream.socket.pause();
    const sent = await stalledAt(client, 64 * MEBIBYTE, { block: CRUMBS });
    upstream.send(Buffer.concat([frame(PING, 0, 0, Buffer.alloc(8)), windowUpdate(1, 1)]));
    await settled();
    expect(rig.recorder.records).toEqual([]);
    upstream.socket.resume();
    client.send(data(1, '', END));
    await upstream.untilBytes(sent);
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 1 end');
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /']);
  });
});
