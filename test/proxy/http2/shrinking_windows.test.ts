/**
 * RFC 9113 6.9.2: a peer that makes SETTINGS_INITIAL_WINDOW_SIZE smaller in the middle of a body may leave us a window
 * below zero, and gets not a byte more before it has opened it again; then it gets the rest, in order and whole.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
  data,
  frame,
  framesIn,
  headers,
  OK,
  POST,
  settings,
  told,
  windowUpdate,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS, INITIAL_WINDOW } from '../../support/http2_frames.ts';
import {
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import { closeRigs, startRig } from '../../support/plane_rig.ts';

afterEach(closeRigs);

interface Peer {
  readonly received: string;
  send(bytes: Buffer): void;
}

/** Stream 1 is open both ways: `from` sends content on it, `to` has the windows. */
interface Scene {
  readonly from: Peer;
  readonly to: Peer;
}

const CONTENT_BYTES = 40_000;
const CONTENT = Buffer.from(Array.from({ length: CONTENT_BYTES }, (_, i) => i % 251));
const FIRST_WINDOW = 20_000;
/** Below that of a connection, so that only streams' windows are met. */
const FRAME_BYTES = 10_000;

async function scene(side: 'response' | 'request'): Promise<Scene> {
  const entries = [[INITIAL_WINDOW, FIRST_WINDOW]] as const;
  const rig = await startRig();
  const client = await wireClient(rig, side === 'response' ? { entries } : {});
  client.send(headers(1, POST, END_HEADERS));
  const upstream = await wireUpstream(rig, side === 'request' ? { entries } : {});
  await untilEach(upstream, 'HEADERS 1');
  upstream.send(headers(1, OK, END_HEADERS));
  await untilEach(client, 'HEADERS 1');
  return side === 'response' ? { from: upstream, to: client } : { from: client, to: upstream };
}

function sendAll(from: Peer, endFlag = END): void {
  for (let at = 0; at < CONTENT_BYTES; at += FRAME_BYTES) {
    const isLast = at + FRAME_BYTES === CONTENT_BYTES;
    from.send(data(1, CONTENT.subarray(at, at + FRAME_BYTES), isLast ? endFlag : 0));
  }
}

/** Content that it has by now, all that was sent to the proxy before it asked being dealt with. */
async function contentOf(to: Peer): Promise<Buffer> {
  const acksBefore = acks(to);
  to.send(frame(0x6, 0, 0, Buffer.alloc(8)));
  await untilFrames(to, () => acks(to) > acksBefore);
  const frames = framesIn([Buffer.from(to.received, 'latin1')]);
  return Buffer.concat(frames.filter(({ type }) => type === 0).map(({ payload }) => payload));
}

function acks({ received }: Peer): number {
  return told([Buffer.from(received, 'latin1')]).filter((one) => one === 'PING ack').length;
}

async function untilContent(to: Peer, byteCount: number): Promise<void> {
  await expect.poll(async () => (await contentOf(to)).length).toBe(byteCount);
}

describe.each(['response', 'request'] as const)(
  'a smaller window in the middle of a %s',
  (side) => {
    it('below zero: not a byte before it is above zero again, then exactly what it takes', async () => {
      const { from, to } = await scene(side);
      sendAll(from);
      await untilContent(to, FIRST_WINDOW);
      to.send(settings([INITIAL_WINDOW, 5_000]));
      expect(await contentOf(to)).toHaveLength(FIRST_WINDOW);
      to.send(windowUpdate(1, 15_000));
      expect(await contentOf(to)).toHaveLength(FIRST_WINDOW);
      to.send(windowUpdate(1, 1));
      expect(await contentOf(to)).toHaveLength(FIRST_WINDOW + 1);
      to.send(settings([INITIAL_WINDOW, 5_010]));
      expect(await contentOf(to)).toHaveLength(FIRST_WINDOW + 11);
      to.send(windowUpdate(1, CONTENT_BYTES));
      expect((await contentOf(to)).equals(CONTENT)).toBe(true);
      const frames = told([Buffer.from(to.received, 'latin1')]);
      // NO_ERROR: the response is whole, so the rest of the request is not asked for.
      const ends = frames.filter((one) => /^(RST_STREAM|GOAWAY)/.test(one));
      expect(ends.filter((one) => one !== 'RST_STREAM 1 NO_ERROR')).toEqual([]);
    });

    it('to nothing, and back: the end comes with the last byte', async () => {
      const { from, to } = await scene(side);
      sendAll(from);
      await untilContent(to, FIRST_WINDOW);
      to.send(settings([INITIAL_WINDOW, 0]));
      to.send(settings([INITIAL_WINDOW, CONTENT_BYTES]));
      expect((await contentOf(to)).equals(CONTENT)).toBe(true);
      const last = framesIn([Buffer.from(to.received, 'latin1')]).findLast(
        ({ type }) => type === 0,
      );
      expect((last?.flags ?? 0) & END).toBe(END);
    });

    it('whatever the windows become, when: what a model says has come, and in the end all', async () => {
      const step = fc.oneof(
        fc.record({ kind: fc.constant('initial' as const), size: fc.nat(30_000) }),
        fc.record({
          kind: fc.constant('update' as const),
          size: fc.integer({ min: 1, max: 9_000 }),
        }),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 12 }), async (steps) => {
          const { from, to } = await scene(side);
          sendAll(from);
          await untilContent(to, FIRST_WINDOW);
          let initial = FIRST_WINDOW;
          let window = 0;
          let sent = FIRST_WINDOW;
          for (const { kind, size } of steps) {
            if (kind === 'initial') {
              to.send(settings([INITIAL_WINDOW, size]));
              window += size - initial;
              initial = size;
            } else {
              to.send(windowUpdate(1, size));
              window += size;
            }
            const more = Math.max(0, Math.min(window, CONTENT_BYTES - sent));
            window -= more;
            sent += more;
            expect(await contentOf(to)).toHaveLength(sent);
          }
          to.send(windowUpdate(1, CONTENT_BYTES * 3));
          expect((await contentOf(to)).equals(CONTENT)).toBe(true);
          closeRigs();
        }),
        { numRuns: 15 },
      );
    });
  },
);

describe('both bodies of one stream at once', () => {
  it('come whole through windows that both peers make smaller', async () => {
    const rig = await startRig();
    const entries = [[INITIAL_WINDOW, FIRST_WINDOW]] as const;
    const client = await wireClient(rig, { entries });
    client.send(headers(1, POST, END_HEADERS));
    const upstream = await wireUpstream(rig, { entries });
    await untilEach(upstream, 'HEADERS 1');
    upstream.send(headers(1, OK, END_HEADERS));
    sendAll(client);
    // A response that ends before its request would stop that.
    sendAll(upstream, 0);
    for (const peer of [client, upstream]) await untilContent(peer, FIRST_WINDOW);
    for (const peer of [client, upstream]) peer.send(settings([INITIAL_WINDOW, 1]));
    for (const peer of [client, upstream]) {
      expect(await contentOf(peer)).toHaveLength(FIRST_WINDOW);
    }
    for (const peer of [client, upstream]) {
      for (let i = 0; i < 5; i++) peer.send(windowUpdate(1, 9_000));
    }
    for (const peer of [client, upstream]) await untilContent(peer, CONTENT_BYTES);
    expect((await contentOf(client)).equals(CONTENT)).toBe(true);
    expect((await contentOf(upstream)).equals(CONTENT)).toBe(true);
    upstream.send(data(1, '', END));
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /']);
  });
});
