/** The streams of HTTP/2 in numbers: each opened and closed once, each early end counted once. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  data,
  frame,
  GET,
  headers,
  OK,
  POST,
  reset,
  uint32,
  windowUpdate,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS } from '../../support/http2_frames.ts';
import {
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import {
  allowHttp,
  closeRigs,
  cnp,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import type { OriginConnection } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const UINT31_MAX = 0x7fff_ffff;
const NOBODY = cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' });

interface Scene {
  readonly rig: Rig;
  readonly client: RawClient;
  readonly upstream: OriginConnection;
}

function start(options: RigOptions = {}): Promise<Rig> {
  return startRig({ policy: allowHttp('* /'), ...options });
}

/** Streams 1, 3 and 5 are at the upstream, their requests without an end. */
async function threeOpen(options: RigOptions): Promise<Scene> {
  const rig = await start(options);
  const client = await wireClient(rig);
  client.send(Buffer.concat([1, 3, 5].map((id) => headers(id, POST, END_HEADERS))));
  const upstream = await wireUpstream(rig);
  await untilEach(upstream, 'HEADERS 5');
  expect(rig.recorder.streamsOpenCount).toBe(3);
  return { rig, client, upstream };
}

function advance(rig: Rig, seconds: number): void {
  for (let i = 0; i < seconds; i++) rig.time.advance(1000);
}

type Act = (scene: Scene) => unknown;

const answered: Act = async ({ upstream, client }) => {
  client.send(Buffer.concat([1, 3, 5].map((id) => data(id, '', END))));
  // An answer that overtakes the end of its request would end the stream early.
  await untilFrames(upstream, (all) => all.some((one) => one.startsWith('DATA 5')));
  upstream.send(Buffer.concat([1, 3, 5].map((id) => headers(id, OK, END | END_HEADERS))));
};

/** What happens while three streams are open, and what is counted of it. */
const CASES: readonly [string, Act, readonly string[], RigOptions?][] = [
  ['answers', answered, []],
  [
    'resets of the client, one of them with a code that nobody knows',
    ({ client }) => client.send(Buffer.concat([reset(1), reset(3, 2), reset(5, 0xabcd)])),
    ['downstream CANCEL 1', 'downstream INTERNAL_ERROR 1', 'downstream UNKNOWN 1'],
  ],
  [
    'resets of the upstream',
    ({ upstream }) => upstream.send(Buffer.concat([reset(1, 7), reset(3, 7), reset(5, 8)])),
    ['upstream CANCEL 1', 'upstream REFUSED_STREAM 2'],
  ],
  [
    "the upstream's GOAWAY that leaves two out",
    ({ upstream }) => {
      upstream.send(frame(7, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
      upstream.send(headers(1, OK, END | END_HEADERS));
    },
    ['proxy response-complete 1', 'upstream REFUSED_STREAM 2'],
  ],
  ['a client that is gone', ({ client }) => client.reset(), ['downstream connection-lost 3']],
  ['a client that has ended', ({ client }) => client.end(), ['downstream connection-lost 3']],
  ['an upstream that is gone', ({ upstream }) => upstream.reset(), ['upstream connection-lost 3']],
  [
    'an upstream that breaks the rules of the connection',
    ({ upstream }) => upstream.send(data(2, 'x')),
    ['proxy upstream-http2-error 3'],
  ],
  [
    'a client that breaks those',
    ({ client }) => client.send(data(2, 'x')),
    ['proxy http2-error 3'],
  ],
  [
    'errors of single streams, on both sides',
    ({ client, upstream }) => {
      client.send(Buffer.concat([windowUpdate(1, 0), headers(3, ['UPPER', 'x'], 5)]));
      upstream.send(windowUpdate(5, UINT31_MAX));
    },
    ['proxy http2-error 1', 'proxy malformed-field 1', 'proxy malformed-response 1'],
  ],
  [
    'streams on which nothing moves',
    ({ rig }) => advance(rig, 6),
    ['proxy stream-idle-timeout 3'],
    { limits: { streamIdleTimeoutMs: 5000 } },
  ],
  [
    'responses that are whole before their requests',
    ({ upstream }) =>
      upstream.send(Buffer.concat([1, 3, 5].map((id) => headers(id, OK, END | END_HEADERS)))),
    ['proxy response-complete 3'],
  ],
  [
    'a policy that allows the connection no more',
    ({ rig }) => rig.update(NOBODY),
    ['proxy policy-changed 3'],
  ],
  ['a drain that is cut', ({ rig }) => rig.plane.stop(), ['proxy draining 3']],
];

describe('three open streams', () => {
  it.each(CASES)(
    '%s: none stays, each early end is counted once',
    async (_, act, told, options = {}) => {
      const scene = await threeOpen(options);
      await act(scene);
      const { recorder } = scene.rig;
      await recorder.untilStreamsOver(3);
      await recorder.untilRecords(3);
      expect(recorder.streamsOpenedCount).toBe(3);
      expect(recorder.resetSummaries).toEqual(told);
      expect(recorder.records).toHaveLength(3);
    },
  );
});

describe('streams that never reach the upstream', () => {
  it('denied, malformed and refused ones count, too', async () => {
    const rig = await start({ policy: allowHttp('* /other'), limits: { h2StreamCountMax: 1 } });
    const client = await wireClient(rig, { entries: [[0x4, 0]] });
    await untilEach(client, 'SETTINGS ack');
    client.send(headers(1, GET, END | END_HEADERS));
    await untilEach(client, 'HEADERS 1');
    // The answer waits for a window, so these are too many.
    client.send(Buffer.concat([3, 5].map((id) => headers(id, GET, END | END_HEADERS))));
    await untilEach(client, 'RST_STREAM 5 REFUSED_STREAM');
    expect(rig.recorder.streamsOpenCount).toBe(1);
    client.send(windowUpdate(1, 1000));
    await untilFrames(client, (all) => all.some((one) => one.endsWith('denied\r\n end')));
    client.send(headers(7, [...GET, 'connection', 'close'], END | END_HEADERS));
    await untilEach(client, 'RST_STREAM 7 PROTOCOL_ERROR');
    client.send(headers(9, POST, END_HEADERS));
    await untilEach(client, 'HEADERS 9');
    client.send(windowUpdate(9, 1000));
    await untilEach(client, 'RST_STREAM 9 NO_ERROR');
    await rig.recorder.untilStreamsOver(3);
    expect(rig.recorder.streamsOpenedCount).toBe(3);
    expect(rig.recorder.resetSummaries).toEqual([
      'proxy malformed-field 1',
      'proxy response-complete 1',
      'proxy stream-refused 2',
    ]);
  });

  it('those that waited for an upstream that refuses are answered, not reset', async () => {
    const rig = await start({ upstreamPort: 1 });
    const client = await wireClient(rig);
    client.send(Buffer.concat([1, 3].map((id) => headers(id, GET, END | END_HEADERS))));
    await rig.recorder.untilStreamsOver(2);
    expect(rig.recorder.resetSummaries).toEqual([]);
  });
});
