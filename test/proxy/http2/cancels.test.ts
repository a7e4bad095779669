/** Streams that clients give up: all day and by the thousand it is life, at once and for nothing it is an attack. */
import { afterEach, describe, expect, it } from 'vitest';
import { data, GET, headers, OK, POST, reset, windowUpdate } from '../../codec/http2/wire.ts';
import { END, END_HEADERS } from '../../support/http2_frames.ts';
import {
  framesOf,
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import { allowHttp, closeRigs, startRig } from '../../support/plane_rig.ts';

afterEach(closeRigs);

const OPEN = END_HEADERS;
const id = (i: number): number => 2 * i + 1;

const isGoAway = (one: string): boolean => one.startsWith('GOAWAY');
const isHead = (one: string): boolean => one.startsWith('HEADERS');

describe('a client that gives up what takes too long', () => {
  it('keeps its other streams, however many it gives up', async () => {
    const rig = await startRig({ policy: allowHttp('* /') });
    const client = await wireClient(rig);
    client.send(headers(1, GET));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    for (let i = 1; i <= 150; i++) {
      client.send(headers(id(i), GET));
      await untilEach(upstream, `HEADERS ${id(i)} end`);
      rig.time.advance(40);
      client.send(reset(id(i)));
      await untilEach(upstream, `RST_STREAM ${id(i)} CANCEL`);
    }
    upstream.send(Buffer.concat([headers(1, OK, OPEN), data(1, 'at last', END)]));
    const got = await untilEach(client, 'DATA 1 at last end');
    expect(got.filter(isGoAway)).toEqual([]);
  });
});

/** Each sends what it sends for stream `id`, in pieces that the upstream may have seen before the next comes. */
const ATTACKS: readonly [string, (id: number) => readonly Buffer[]][] = [
  ['resets each stream at once', (id) => [headers(id, GET), reset(id)]],
  ['makes us reset each by a WINDOW_UPDATE of 0', (id) => [headers(id, GET), windowUpdate(id, 0)]],
  ['makes us reset each by content after its end', (id) => [headers(id, GET), data(id, 'x')]],
  [
    'makes us reset each by a window that overflows',
    (id) => [headers(id, GET), windowUpdate(id, 0x7fff_ffff)],
  ],
  [
    'makes us reset each by content that is not as long as promised',
    (id) => [headers(id, [...POST, 'content-length', '1'], OPEN), data(id, 'xy', END)],
  ],
  [
    'makes us reset each by a second head',
    (id) => [headers(id, POST, OPEN), headers(id, ['x', 'y'], OPEN)],
  ],
];

describe('a client that opens streams only to have them reset', () => {
  it.each(ATTACKS)('%s: is ended, with few streams upstream', async (_, pieces) => {
    const rig = await startRig({ policy: allowHttp('* /') });
    const client = await wireClient(rig);
    client.send(headers(1, GET));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    for (let i = 1; i <= 300 && !client.isEnded; i++) {
      const [first, second] = pieces(id(i)) as [Buffer, Buffer];
      client.send(first);
      await untilFrames(upstream, (frames) => client.isEnded || frames.filter(isHead).length > i);
      client.send(second);
    }
    const got = await untilFrames(client, (frames) => frames.some(isGoAway));
    expect(got.find(isGoAway)).toMatch(/ENHANCE_YOUR_CALM$/);
    expect(framesOf(upstream).filter(isHead).length).toBeLessThanOrEqual(103);
  });

  it.each(ATTACKS)('%s in one breath: nothing is asked of the upstream', async (_, pieces) => {
    const rig = await startRig({ policy: allowHttp('* /') });
    const client = await wireClient(rig);
    client.send(headers(1, GET));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    // More than one read's worth, but never a stream in two.
    for (let i = 1; i <= 2000 && !client.isEnded; i += 20) {
      const ids = Array.from({ length: 20 }, (_unused, k) => id(i + k));
      client.send(Buffer.concat(ids.flatMap((one) => [...pieces(one)])));
    }
    const got = await untilFrames(client, (frames) => frames.some(isGoAway));
    expect(got.find(isGoAway)).toMatch(/ENHANCE_YOUR_CALM$/);
    // A read may end within a piece.
    expect(framesOf(upstream).filter(isHead).length).toBeLessThanOrEqual(103);
  });

  it('and asks in between for what is denied: that makes up for nothing', async () => {
    const rig = await startRig({ policy: allowHttp('* /') });
    const client = await wireClient(rig);
    const denied = [...GET.slice(0, 6), ':path', '/denied'];
    for (let i = 0; i <= 600 && !client.isEnded; i += 2) {
      client.send(
        Buffer.concat([headers(id(i), denied), headers(id(i + 1), GET), reset(id(i + 1))]),
      );
      await untilFrames(
        client,
        (frames) => client.isEnded || frames.includes(`HEADERS ${id(i)}`) || frames.some(isGoAway),
      );
    }
    const got = await untilFrames(client, (frames) => frames.some(isGoAway));
    expect(got.find(isGoAway)).toMatch(/ENHANCE_YOUR_CALM$/);
  });
});
