/** Streams that stand still: whatever waits for them here costs none of the others anything, and has a bound. */
import { afterEach, describe, expect, it } from 'vitest';
import { data, GET, headers, OK, POST, windowUpdate } from '../../codec/http2/wire.ts';
import { END, END_HEADERS, INITIAL_WINDOW } from '../../support/http2_frames.ts';
import {
  framesOf,
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import { allowHttp, closeRigs, startRig } from '../../support/plane_rig.ts';

afterEach(closeRigs);

/** What such streams take of it. */
const STALLED_WINDOW = 500;
const NARROW: readonly (readonly [number, number])[] = [[INITIAL_WINDOW, STALLED_WINDOW]];
/** What the proxy lets each of them send (`h2StreamWindowBytes`). */
const STREAM_BYTES = 64 * 1024;
const FRAME_BYTES = 16 * 1024;
const id = (i: number): number => 2 * i + 1;

interface Peer {
  readonly received: string;
  send(bytes: Buffer): void;
}

/** Sends as much as both windows of the proxy let it, like any peer; says what it has waited for in vain. */
class ContentSender {
  readonly #peer: Peer;
  #sentBytes = 0;

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  async send(streamId: number, byteCount: number, flags = 0): Promise<void> {
    for (let left = byteCount; left > 0; left -= FRAME_BYTES) {
      const length = Math.min(left, FRAME_BYTES);
      await untilFrames(
        this.#peer,
        (frames) => connectionWindow(frames) >= this.#sentBytes + length,
      );
      this.#sentBytes += length;
      this.#peer.send(data(streamId, Buffer.alloc(length, 'x'), left === length ? flags : 0));
    }
  }
}

/** All that the peer of this side was ever allowed to send on the connection. */
function connectionWindow(frames: readonly string[]): number {
  let window = 65_535;
  for (const one of frames) {
    if (one.startsWith('WINDOW_UPDATE 0 ')) window += Number(one.slice('WINDOW_UPDATE 0 '.length));
  }
  return window;
}

describe.each([1, 16, 20, 60, 99])('%i streams that stand still', (count) => {
  it('as their client does not read them: a response to another is whole', async () => {
    const rig = await startRig({ policy: allowHttp('* /') });
    const client = await wireClient(rig, { entries: NARROW });
    client.send(windowUpdate(0, 1024 * 1024));
    for (let i = 0; i < count; i++) client.send(headers(id(i), GET));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, `HEADERS ${id(count - 1)} end`);
    const sender = new ContentSender(upstream);
    for (let i = 0; i < count; i++) {
      upstream.send(headers(id(i), OK, END_HEADERS));
      await sender.send(id(i), STREAM_BYTES);
    }
    const last = id(count);
    client.send(Buffer.concat([headers(last, GET), windowUpdate(last, 1024 * 1024)]));
    await untilEach(upstream, `HEADERS ${last} end`);
    upstream.send(headers(last, OK, END_HEADERS));
    await sender.send(last, 40_000, END);
    const got = await untilFrames(client, (frames) =>
      frames.some((one) => one.startsWith(`DATA ${last} `) && one.endsWith(' end')),
    );
    expect(got.filter((one) => /^(GOAWAY|RST_STREAM)/.test(one))).toEqual([]);
  });

  it('as their upstream does not read them: another upload is whole', async () => {
    const rig = await startRig({ policy: allowHttp('* /') });
    const client = await wireClient(rig);
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await wireUpstream(rig, { entries: NARROW });
    await untilEach(upstream, 'HEADERS 1');
    const sender = new ContentSender(client);
    for (let i = 0; i < count; i++) {
      if (i > 0) client.send(headers(id(i), POST, END_HEADERS));
      await sender.send(id(i), STREAM_BYTES);
    }
    const last = id(count);
    client.send(headers(last, POST, END_HEADERS));
    await untilEach(upstream, `HEADERS ${last}`);
    upstream.send(Buffer.concat([windowUpdate(last, 40_000), windowUpdate(0, 40_000)]));
    await sender.send(last, 40_000, END);
    const got = await untilFrames(upstream, (frames) =>
      frames.some((one) => one.startsWith(`DATA ${last} `) && one.endsWith(' end')),
    );
    expect(got.filter((one) => /^(GOAWAY|RST_STREAM)/.test(one))).toEqual([]);
  });
});

describe('memory for streams that stand still', () => {
  it('has a bound in the worker: those that stood still for longest are given up, no other is', async () => {
    const bytesMax = 1024 * 1024;
    const rig = await startRig({
      policy: allowHttp('* /'),
      limits: { h2ContentBytesMax: bytesMax },
    });
    const client = await wireClient(rig, { entries: NARROW });
    client.send(windowUpdate(0, 1024 * 1024));
    const count = 60;
    for (let i = 0; i < count; i++) client.send(headers(id(i), GET));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, `HEADERS ${id(count - 1)} end`);
    const sender = new ContentSender(upstream);
    for (let i = 0; i < count; i++) {
      rig.time.advance(1);
      upstream.send(headers(id(i), OK, END_HEADERS));
      await sender.send(id(i), STREAM_BYTES);
    }
    const isReset = (one: string): boolean => one.startsWith('RST_STREAM');
    const keptMax = bytesMax / (STREAM_BYTES - STALLED_WINDOW);
    await untilFrames(client, (frames) => count - frames.filter(isReset).length <= keptMax);
    const got = await untilFrames(
      upstream,
      (frames) => count - frames.filter(isReset).length <= keptMax,
    );
    // The first ones, and each with its own reason.
    const resets = framesOf(client).filter(isReset);
    expect(resets).toEqual(resets.map((_, i) => `RST_STREAM ${id(i)} ENHANCE_YOUR_CALM`));
    expect(got.filter(isReset)).toEqual(resets.map((_, i) => `RST_STREAM ${id(i)} CANCEL`));
    const kept = id(count - 1);
    client.send(windowUpdate(kept, 1024 * 1024));
    upstream.send(data(kept, '', END));
    await untilFrames(client, (frames) =>
      frames.some((one) => one.startsWith(`DATA ${kept} `) && one.endsWith(' end')),
    );
    expect(new Set(rig.recorder.records.map(({ fault }) => fault))).toEqual(
      new Set(['overloaded', null]),
    );
  });

  it('is given back when their connection ends', async () => {
    const rig = await startRig({
      policy: allowHttp('* /'),
      limits: { h2ContentBytesMax: 1024 * 1024 },
    });
    for (let round = 0; round < 4; round++) {
      const client = await wireClient(rig, { entries: NARROW });
      client.send(windowUpdate(0, 1024 * 1024));
      for (let i = 0; i < 10; i++) client.send(headers(id(i), GET));
      const upstream = await wireUpstream(rig, { index: round });
      await untilEach(upstream, `HEADERS ${id(9)} end`);
      const sender = new ContentSender(upstream);
      for (let i = 0; i < 10; i++) {
        upstream.send(headers(id(i), OK, END_HEADERS));
        await sender.send(id(i), STREAM_BYTES);
      }
      await untilFrames(
        client,
        (frames) => frames.filter((one) => one.startsWith('DATA')).length === 10,
      );
      expect(framesOf(client).filter((one) => one.startsWith('RST_STREAM'))).toEqual([]);
      client.close();
      await rig.recorder.untilRecords(10 * (round + 1));
    }
  });
});
