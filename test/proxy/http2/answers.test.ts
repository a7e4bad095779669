/** What a client of the HTTP/2 relay is told, by us or by the upstream, and what is put on record. */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { PLAIN_SOCKETS, type Sockets } from '../../../src/platform/sockets.ts';
import {
  block,
  data,
  frame,
  GET,
  headers,
  OK,
  POST,
  reset,
  windowUpdate,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS } from '../../support/http2_frames.ts';
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

const TARGET_BYTES = DEFAULT_LIMITS.targetBytesMax;
const GRPC = [...POST, 'content-type', 'application/grpc', 'te', 'trailers'];
const HEAD = [':method', 'HEAD', ...GET.slice(2)];

function start(options: RigOptions = {}): Promise<Rig> {
  return startRig({ policy: allowHttp('* /.*'), ...options });
}

function withValues(
  fields: readonly string[],
  changes: Readonly<Record<string, string>>,
): string[] {
  return fields.map((value, i) =>
    i % 2 === 1 ? (changes[fields[i - 1] as string] ?? value) : value,
  );
}

/** A request that is refused before it is judged: the answer, the reset that follows, the record. */
const REFUSED: readonly [string, readonly string[], readonly string[], string][] = [
  [
    'CONNECT',
    [':method', 'CONNECT', ':authority', 'a.test'],
    ['HEADERS 1', 'NO_ERROR'],
    'error connect-refused 405 -',
  ],
  [
    'a target too long',
    withValues(GET, { ':path': `/${'a'.repeat(TARGET_BYTES)}` }),
    ['HEADERS 1', 'NO_ERROR'],
    'error target-too-long 414 -',
  ],
  [
    'an expectation that we do not know',
    [...GET, 'expect', 'tea'],
    ['HEADERS 1', 'NO_ERROR'],
    'error malformed-expect 417 -',
  ],
  [
    'cookie crumbs without an end',
    [...GET, ...Array.from({ length: 3000 }, () => ['cookie', 'a=0123456789']).flat()],
    ['HEADERS 1', 'NO_ERROR'],
    'error head-too-large 431 -',
  ],
  [
    'no path',
    withValues(GET, { ':path': '' }),
    ['HEADERS 1', 'NO_ERROR'],
    'error malformed-pseudo-field 400 -',
  ],
  [
    'a field of the connection',
    [...GET, 'connection', 'close'],
    ['HEADERS 1', 'NO_ERROR'],
    'error malformed-field 400 -',
  ],
];

describe('a request that is refused as such', () => {
  it.each(REFUSED)('%s', async (_, fields, told, record) => {
    const rig = await start();
    const client = await wireClient(rig);
    // Content would follow: so the answer, if there is one, is followed by a reset.
    client.send(blockFrames(1, fields));
    const got = await untilFrames(client, (all) =>
      all.some((one) => one.startsWith('RST_STREAM 1')),
    );
    const expected = told.map((one) => (one.startsWith('HEADERS') ? one : `RST_STREAM 1 ${one}`));
    expect(got.filter((one) => /^(HEADERS|RST_STREAM)/.test(one))).toEqual(expected);
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.summaries).toEqual([record]);
    expect(rig.origin.connections).toHaveLength(0);
    // The connection lives.
    client.send(headers(3, GET, END | END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 3 end');
  });
});

/** A head in as many frames as it needs. */
function blockFrames(streamId: number, fields: readonly string[]): Buffer {
  const whole = headers(streamId, fields).subarray(9);
  const frames: Buffer[] = [];
  for (let at = 0; at < whole.length; at += 16_384) {
    const isLast = at + 16_384 >= whole.length;
    const flags = isLast ? END_HEADERS : 0;
    frames.push(frame(at === 0 ? 1 : 9, flags, streamId, whole.subarray(at, at + 16_384)));
  }
  return Buffer.concat(frames);
}

type Break = (rig: Rig) => Promise<void> | void;

const closeFirst: Break = async (rig) => (await rig.origin.connection()).end();

/** Its SYN is never answered. */
const NEVER_CONNECTED: Sockets = {
  ...PLAIN_SOCKETS,
  connect: () => Object.assign(new Socket(), { connecting: true }),
};

/** How the upstream fails before a head; HTTP status and, for gRPC, the status in the head. */
const FAILURES: readonly [string, RigOptions, Break, [string, number, number]][] = [
  ['refuses', { upstreamPort: 1 }, () => {}, ['connect-failed', 503, 14]],
  [
    'never accepts',
    { sockets: NEVER_CONNECTED, limits: { connectTimeoutMs: 500 } },
    async (rig) => {
      // The attempt is made once the request has come.
      while (rig.recorder.connects.length === 0) {
        rig.time.advance(200);
        await settled();
      }
      expect(rig.recorder.connects).toEqual(['timeout']);
    },
    ['connect-timeout', 504, 14],
  ],
  ['closes', {}, closeFirst, ['upstream-closed', 503, 14]],
  [
    'resets',
    {},
    async (rig) => {
      const upstream = await rig.origin.connection();
      await upstream.untilBytes(24);
      upstream.reset();
    },
    ['upstream-reset', 503, 14],
  ],
  [
    'speaks HTTP/1.1',
    {},
    async (rig) => (await rig.origin.connection()).send('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ['upstream-http2-error', 502, 14],
  ],
  [
    'says nothing',
    { limits: { h2SettingsTimeoutMs: 1000 } },
    async (rig) => {
      const upstream = await rig.origin.connection();
      await upstream.untilBytes(24);
      for (let i = 0; i < 3; i++) rig.time.advance(1000);
    },
    ['upstream-http2-error', 502, 14],
  ],
  [
    'is too slow',
    { limits: { requestTimeoutMs: 2000 } },
    async (rig) => {
      const upstream = await wireUpstream(rig);
      await untilFrames(upstream, (all) => all.some((one) => one.startsWith('HEADERS 1')));
      for (let i = 0; i < 4; i++) rig.time.advance(1000);
      await untilEach(upstream, 'RST_STREAM 1 CANCEL');
    },
    ['request-timeout', 504, 14],
  ],
];

describe('an upstream that fails before its response', () => {
  it.each(FAILURES)(
    '%s: a status for HTTP, another for gRPC',
    async (_, options, fail, expected) => {
      for (const fields of [GET, GRPC]) {
        const rig = await start(options);
        const client = await wireClient(rig);
        client.send(headers(1, fields, END | END_HEADERS));
        await fail(rig);
        const isGrpc = fields === GRPC;
        await untilEach(client, isGrpc ? 'HEADERS 1 end' : 'HEADERS 1');
        const [record] = await rig.recorder.untilRecords(1);
        const [fault, status, grpcStatus] = expected;
        expect(record).toMatchObject({
          fault,
          status: isGrpc ? 200 : status,
          grpcStatus: isGrpc ? grpcStatus : null,
          responseSource: 'local',
        });
      }
    },
  );
});

describe('the response of the upstream', () => {
  it.each<[string, readonly string[], Buffer, readonly string[]]>([
    [
      'informational heads before it',
      GET,
      Buffer.concat([
        headers(1, [':status', '103', 'link', '</a>'], END_HEADERS),
        headers(1, OK, END | END_HEADERS),
      ]),
      ['HEADERS 1', 'HEADERS 1 end'],
    ],
    [
      'the head alone for HEAD, whatever its length says',
      HEAD,
      headers(1, [...OK, 'content-length', '1000'], END | END_HEADERS),
      ['HEADERS 1 end'],
    ],
    [
      'a head in several frames',
      GET,
      Buffer.concat([
        frame(1, END, 1, block(OK)),
        frame(9, 0, 1, block(['x', 'y'])),
        frame(9, END_HEADERS, 1, block(['x', 'z'])),
      ]),
      ['HEADERS 1 end'],
    ],
    ['204', GET, headers(1, [':status', '204'], END | END_HEADERS), ['HEADERS 1 end']],
    [
      'trailers',
      GET,
      Buffer.concat([
        headers(1, OK, END_HEADERS),
        data(1, 'x'),
        headers(1, ['grpc-status', '5'], END | END_HEADERS),
      ]),
      ['HEADERS 1', 'DATA 1 x', 'HEADERS 1 end'],
    ],
  ])('%s', async (_, fields, bytes, told) => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(headers(1, fields, END | END_HEADERS));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1 end');
    upstream.send(bytes);
    const last = told[told.length - 1] as string;
    const got = await untilEach(client, last);
    expect(got.filter((one) => /^(HEADERS|DATA|RST)/.test(one))).toEqual(told);
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ verdict: 'forwarded', fault: null, responseSource: 'upstream' });
  });

  it('of gRPC has its status on record, from trailers and from a head alone', async () => {
    const rig = await start();
    const client = await wireClient(rig);
    client.send(Buffer.concat([1, 3].map((id) => headers(id, GRPC, END | END_HEADERS))));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 3 end');
    upstream.send(
      Buffer.concat([
        headers(1, OK, END_HEADERS),
        headers(1, ['grpc-status', '5'], END | END_HEADERS),
        headers(3, [...OK, 'grpc-status', '9'], END | END_HEADERS),
      ]),
    );
    const records = await rig.recorder.untilRecords(2);
    expect(records.map(({ grpcStatus }) => grpcStatus)).toEqual([5, 9]);
  });
});

/** CVE-2025-8671: what a client does so that the proxy resets a stream that the upstream works on. */
const RESET_PRIMITIVES: readonly [string, (id: number) => Buffer][] = [
  ['WINDOW_UPDATE of 0', (id) => windowUpdate(id, 0)],
  ['a window that overflows', (id) => windowUpdate(id, 0x7fff_ffff)],
  ['DATA after the end', (id) => data(id, 'x')],
  ['HEADERS after the end', (id) => headers(id, ['x', 'y'], END | END_HEADERS)],
  ['PRIORITY of the wrong length', (id) => frame(2, 0, id, Buffer.alloc(4))],
  ['a plain reset', (id) => reset(id)],
];

describe('resets that a client provokes', () => {
  it.each(RESET_PRIMITIVES)(
    'by %s: the connection ends, the upstream is spared',
    async (_, piece) => {
      const rig = await start();
      const client = await wireClient(rig);
      client.send(headers(1, GET, END | END_HEADERS));
      const upstream = await wireUpstream(rig);
      await untilEach(upstream, 'HEADERS 1 end');
      const attack = Array.from({ length: 500 }, (_unused, i) =>
        Buffer.concat([headers(2 * i + 3, GET, END | END_HEADERS), piece(2 * i + 3)]),
      );
      client.send(Buffer.concat(attack));
      expect(await rig.recorder.untilClosed(1)).toEqual(['fault']);
      await untilFrames(client, (all) =>
        all.some((one) => /^GOAWAY .* ENHANCE_YOUR_CALM/.test(one)),
      );
      await upstream.over();
      const asked = framesOf(upstream).filter((one) => one.startsWith('HEADERS'));
      expect(asked.length).toBeLessThanOrEqual(102);
    },
  );
});

describe('an overloaded proxy', () => {
  it('answers 503, UNAVAILABLE to gRPC, on connections that it has', async () => {
    const rig = await start({ limits: { memoryBytesMax: 16 * 1024 * 1024 } });
    const client = await wireClient(rig);
    await untilEach(client, 'SETTINGS ack');
    rig.time.advance(2000);
    client.send(headers(1, GET, END | END_HEADERS));
    client.send(headers(3, GRPC, END | END_HEADERS));
    const records = await rig.recorder.untilRecords(2);
    expect(records.map(({ status, grpcStatus }) => [status, grpcStatus])).toEqual([
      [503, null],
      [200, 14],
    ]);
    expect(rig.origin.connections).toHaveLength(0);
  });
});
