/**
 * Blocks of fields beyond their bounds, and messages that are malformed: each costs its own stream, with an answer
 * where one can be given, and no other. Only what is many times as large costs the connection.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { HpackDecoder } from '../../../src/codec/http2/hpack_decoder.ts';
import { block, data, frame, framesIn, GET, headers, OK, POST } from '../../codec/http2/wire.ts';
import { END } from '../../support/http2_frames.ts';
import {
  framesOf,
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import type { OriginConnection } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const OPEN = 0x4;
const FRAME_BYTES = 16 * 1024;
const GRPC = [...POST, 'content-type', 'application/grpc', 'te', 'trailers'];
const BOUNDS = { listBytesMax: 1 << 20, fieldCountMax: 1000 };

/** A block in as many frames as it takes. */
function large(streamId: number, fields: readonly string[], flags = 0): Buffer {
  const bytes = block(fields);
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += FRAME_BYTES) {
    const part = bytes.subarray(at, at + FRAME_BYTES);
    const end = at + FRAME_BYTES >= bytes.length ? OPEN : 0;
    frames.push(
      at === 0 ? frame(0x1, flags | end, streamId, part) : frame(0x9, end, streamId, part),
    );
  }
  return Buffer.concat(frames);
}

/** Fields of the first answer on that stream; our answers are encoded without dynamic state. */
function answer(client: RawClient, streamId: number): Record<string, string> {
  const frames = framesIn([Buffer.from(client.received, 'latin1')]);
  const head = frames.find((one) => one.type === 0x1 && one.streamId === streamId);
  const decoder = new HpackDecoder(0);
  const payload = head?.payload ?? Buffer.alloc(0);
  decoder.decode(payload, 0, payload.length, BOUNDS);
  const found: Record<string, string> = {};
  for (let i = 0; i < decoder.fields.length; i += 2) {
    found[decoder.fields[i] as string] = decoder.fields[i + 1] as string;
  }
  return found;
}

interface Open {
  readonly rig: Rig;
  readonly client: RawClient;
  readonly upstream: OriginConnection;
}

/** Stream 1 is open, and must live through whatever follows. */
async function opened(): Promise<Open> {
  const rig = await startRig({ policy: allowHttp('* /') });
  const client = await wireClient(rig);
  client.send(headers(1, GET));
  const upstream = await wireUpstream(rig);
  await untilEach(upstream, 'HEADERS 1 end');
  return { rig, client, upstream };
}

/** It lives, and so does the connection for new ones. */
async function isAlive({ client, upstream }: Open): Promise<void> {
  client.send(headers(101, GET));
  await untilEach(upstream, 'HEADERS 101 end');
  upstream.send(Buffer.concat([headers(1, OK, OPEN), data(1, 'alive', END)]));
  upstream.send(Buffer.concat([headers(101, OK, OPEN), data(101, 'new', END)]));
  const got = await untilEach(client, 'DATA 1 alive end', 'DATA 101 new end');
  expect([...got, ...framesOf(upstream)].filter((one) => one.startsWith('GOAWAY'))).toEqual([]);
}

const SIZES = [62_000, 90_000, 120_000, 400_000];

describe.each(SIZES)('a block of %i bytes', (size) => {
  const bulk = ['x-bulk', 'v'.repeat(size)];

  it('as the head of a request: 431, for that stream only', async () => {
    const open = await opened();
    open.client.send(large(3, [...GET, ...bulk], END));
    await untilEach(open.client, 'DATA 3 Request Header Fields Too Large\r\n end');
    expect(answer(open.client, 3)).toMatchObject({ ':status': '431' });
    await open.rig.recorder.untilRecords(1);
    expect(open.rig.recorder.records[0]).toMatchObject({ fault: 'head-too-large', status: 431 });
    await isAlive(open);
  });

  it.each([
    ['before', [...GRPC, ...bulk]],
    ['behind', [...POST, ...bulk, 'content-type', 'application/grpc']],
  ])(
    'as metadata of a gRPC request, its content type %s it: RESOURCE_EXHAUSTED',
    async (_, fields) => {
      const open = await opened();
      open.client.send(Buffer.concat([large(3, fields), data(3, 'message')]));
      // It still sends, and keeps the answer.
      await untilEach(open.client, 'HEADERS 3 end', 'RST_STREAM 3 NO_ERROR');
      expect(answer(open.client, 3)).toMatchObject({ ':status': '200', 'grpc-status': '8' });
      await open.rig.recorder.untilRecords(1);
      expect(open.rig.recorder.records[0]).toMatchObject({
        fault: 'head-too-large',
        grpcStatus: 8,
      });
      await isAlive(open);
    },
  );

  it('as trailers of a request: 431, and the upstream is told', async () => {
    const open = await opened();
    open.client.send(headers(3, POST, OPEN));
    await untilEach(open.upstream, 'HEADERS 3');
    open.client.send(large(3, bulk, END));
    await untilEach(open.client, 'DATA 3 Request Header Fields Too Large\r\n end');
    await untilEach(open.upstream, 'RST_STREAM 3 CANCEL');
    await isAlive(open);
  });

  it.each([
    ['502', POST, { ':status': '502' }],
    ['RESOURCE_EXHAUSTED to gRPC', GRPC, { ':status': '200', 'grpc-status': '8' }],
  ])('as the head of a response: %s', async (_, request, expected) => {
    const open = await opened();
    open.client.send(headers(3, request));
    await untilEach(open.upstream, 'HEADERS 3 end');
    open.upstream.send(large(3, [...OK, ...bulk], END));
    await untilFrames(open.client, (frames) =>
      frames.some((one) => /^(HEADERS|DATA) 3.* end$/s.test(one)),
    );
    expect(answer(open.client, 3)).toMatchObject(expected);
    await isAlive(open);
  });

  it('as trailers of a response: a reset of that stream', async () => {
    const open = await opened();
    open.client.send(headers(3, GET));
    await untilEach(open.upstream, 'HEADERS 3 end');
    open.upstream.send(Buffer.concat([headers(3, OK, OPEN), large(3, bulk, END)]));
    await untilEach(open.client, 'HEADERS 3', 'RST_STREAM 3 INTERNAL_ERROR');
    await isAlive(open);
  });
});

describe('beyond the hard bound', () => {
  it('by bytes: the connection of that peer ends', async () => {
    const { client } = await opened();
    client.send(large(3, [...GET, 'x-bulk', 'v'.repeat(600_000)], END));
    const got = await untilFrames(client, (frames) =>
      frames.some((one) => one.startsWith('GOAWAY')),
    );
    expect(got.at(-1)).toBe('GOAWAY 1 ENHANCE_YOUR_CALM');
  });

  it('by frames: the connection of that peer ends', async () => {
    const { client } = await opened();
    client.send(frame(0x1, END, 3, block(GET)));
    for (let i = 0; i < 100; i++) client.send(frame(0x9, 0, 3, Buffer.from([0x82])));
    const got = await untilFrames(client, (frames) =>
      frames.some((one) => one.startsWith('GOAWAY')),
    );
    expect(got.at(-1)).toBe('GOAWAY 1 ENHANCE_YOUR_CALM');
  });

  it('of an upstream: its streams end, the client’s connection does not', async () => {
    const { client, upstream, rig } = await opened();
    upstream.send(large(1, [...OK, 'x-bulk', 'v'.repeat(600_000)], END));
    await untilFrames(client, (frames) =>
      frames.some((one) => /^(HEADERS|DATA|RST_STREAM) 1\b/.test(one)),
    );
    client.send(headers(3, GET));
    const next = await wireUpstream(rig, { index: 1 });
    await untilEach(next, 'HEADERS 3 end');
    expect(framesOf(client).filter((one) => one.startsWith('GOAWAY'))).toEqual([]);
  });
});

it('the table stays in step with a block that was too large', async () => {
  const open = await opened();
  const indexed = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.of(0x40, name.length),
      Buffer.from(name),
      Buffer.of(value.length),
      Buffer.from(value),
    ]);
  const bulk = block(['x-bulk', 'v'.repeat(70_000)]);
  const bytes = Buffer.concat([block(GET), indexed('x-early', 'a'), bulk, indexed('x-late', 'b')]);
  const parts = Array.from({ length: Math.ceil(bytes.length / FRAME_BYTES) }, (_, i) =>
    bytes.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES),
  );
  const frames = parts.map((part, i) =>
    frame(i === 0 ? 0x1 : 0x9, (i === 0 ? END : 0) | (i === parts.length - 1 ? OPEN : 0), 3, part),
  );
  open.client.send(Buffer.concat(frames));
  await untilEach(open.client, 'DATA 3 Request Header Fields Too Large\r\n end');
  // The newest entry of the table is x-late, the one before it x-early.
  const again = Buffer.concat([block(GET), Buffer.of(0xbe, 0xbf)]);
  open.client.send(frame(0x1, END | OPEN, 5, again));
  await untilEach(open.upstream, 'HEADERS 5 end');
  const seen = framesIn([Buffer.from(open.upstream.received, 'latin1')]);
  const head = seen.find((one) => one.type === 0x1 && one.streamId === 5);
  const decoder = new HpackDecoder(4096);
  decoder.decode(head?.payload ?? Buffer.alloc(0), 0, head?.payload.length ?? 0, BOUNDS);
  expect(decoder.fields.slice(-4)).toEqual(['x-late', 'b', 'x-early', 'a']);
  await isAlive(open);
});

/** By name: fields of a head, and whether it ends its stream. */
const MALFORMED: readonly [string, readonly string[]][] = [
  ['a name in upper case', [...GET, 'X-Upper', '1']],
  ['a field of one connection', [...GET, 'connection', 'close']],
  ['te other than trailers', [...GET, 'te', 'gzip']],
  ['an unknown pseudo-field', [':nonsense', '1', ...GET]],
  ['no :path', GET.slice(0, 6)],
  ['two :method', [':method', 'GET', ...GET]],
  ['a control character in a value', [...GET, 'x', 'a\u0000b']],
  ['two lengths', [...GET, 'content-length', '1', 'content-length', '2']],
];

describe('a malformed request', () => {
  it.each(MALFORMED)(
    '%s: 400, then the code that tells why, for that stream only',
    async (_, fields) => {
      const open = await opened();
      open.client.send(headers(3, fields));
      const got = await untilEach(open.client, 'RST_STREAM 3 PROTOCOL_ERROR');
      expect(got.filter((one) => / 3\b/.test(one))).toEqual([
        'HEADERS 3',
        'DATA 3 Bad Request\r\n end',
        'RST_STREAM 3 PROTOCOL_ERROR',
      ]);
      expect(answer(open.client, 3)).toMatchObject({ ':status': '400' });
      await open.rig.recorder.untilRecords(1);
      expect(open.rig.recorder.records[0]).toMatchObject({ status: 400, responseSource: 'local' });
      await isAlive(open);
    },
  );

  it.each(MALFORMED)(
    '%s, and more to come: 400, then a stop that loses nothing of it',
    async (_, fields) => {
      const open = await opened();
      open.client.send(Buffer.concat([headers(3, fields, OPEN), data(3, 'more')]));
      await untilEach(open.client, 'DATA 3 Bad Request\r\n end', 'RST_STREAM 3 NO_ERROR');
      await isAlive(open);
    },
  );

  it('to gRPC is told in its own way', async () => {
    const open = await opened();
    open.client.send(headers(3, [...GRPC, 'X-Upper', '1'], OPEN));
    await untilEach(open.client, 'HEADERS 3 end', 'RST_STREAM 3 NO_ERROR');
    expect(answer(open.client, 3)).toMatchObject({ ':status': '200', 'grpc-status': '13' });
    await isAlive(open);
  });

  it('whose content is not as long as promised: 400, and the upstream is told', async () => {
    const open = await opened();
    open.client.send(headers(3, [...POST, 'content-length', '5'], OPEN));
    await untilEach(open.upstream, 'HEADERS 3');
    open.client.send(data(3, 'abc', END));
    await untilEach(open.client, 'DATA 3 Bad Request\r\n end', 'RST_STREAM 3 PROTOCOL_ERROR');
    await untilEach(open.upstream, 'RST_STREAM 3 CANCEL');
    await isAlive(open);
  });

  it.each([
    ['more content than promised', data(3, 'abcdef')],
    ['trailers that end nothing', headers(3, ['x', 'y'], OPEN)],
    ['a pseudo-field among its trailers', headers(3, [':path', '/'], OPEN)],
  ])('with %s, and more to come: 400, and the code that tells why', async (_, bytes) => {
    const open = await opened();
    open.client.send(headers(3, [...POST, 'content-length', '5'], OPEN));
    await untilEach(open.upstream, 'HEADERS 3');
    open.client.send(bytes);
    await untilEach(open.client, 'DATA 3 Bad Request\r\n end', 'RST_STREAM 3 PROTOCOL_ERROR');
    await untilEach(open.upstream, 'RST_STREAM 3 CANCEL');
    await isAlive(open);
  });

  it('whose response has begun is reset', async () => {
    const open = await opened();
    open.client.send(headers(3, [...POST, 'content-length', '5'], OPEN));
    await untilEach(open.upstream, 'HEADERS 3');
    open.upstream.send(headers(3, OK, OPEN));
    await untilEach(open.client, 'HEADERS 3');
    open.client.send(data(3, 'abc', END));
    const got = await untilEach(open.client, 'RST_STREAM 3 PROTOCOL_ERROR');
    expect(got.filter((one) => one.startsWith('DATA 3'))).toEqual([]);
    await isAlive(open);
  });
});
