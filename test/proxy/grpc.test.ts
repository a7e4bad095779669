/** gRPC as it comes: the interop cases of the gRPC project, through the proxy as without it. */
import { afterEach, describe, expect, it } from 'vitest';
import { type Call, GrpcClient, startGrpcServer } from '../support/grpc_peers.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../support/plane_rig.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  closeRigs();
});

interface Setup {
  readonly rig: Rig;
  readonly direct: GrpcClient;
  readonly proxied: GrpcClient;
}

async function setUp(policy = allowHttp('POST /test.Bytes/.*')): Promise<Setup> {
  const server = await startGrpcServer();
  const rig = await startRig({ policy, upstreamPort: server.port });
  const direct = new GrpcClient(server.port);
  const proxied = new GrpcClient(rig.port);
  cleanups.push(
    () => direct.close(),
    () => proxied.close(),
    () => server.stop(),
  );
  return { rig, direct, proxied };
}

const LARGE = Buffer.alloc(3_000_000, 7);

const CASES: readonly (readonly [string, Call, number])[] = [
  ['empty unary', { kind: 'unary', method: 'Echo', messages: [Buffer.alloc(0)] }, 0],
  ['large unary', { kind: 'unary', method: 'Echo', messages: [LARGE] }, 0],
  [
    'custom metadata, text and binary',
    {
      kind: 'unary',
      method: 'Echo',
      messages: [Buffer.from('m')],
      metadata: {
        'x-initial': 'test value, with commas',
        'x-trailing-bin': Buffer.from([0xab, 0xab, 0xab, 0x00, 0xff]),
      },
    },
    0,
  ],
  ['status and message', { kind: 'unary', method: 'Fail', messages: [Buffer.from([9])] }, 9],
  ['unimplemented method', { kind: 'unary', method: 'None', messages: [Buffer.from('a')] }, 12],
  [
    'client streaming',
    {
      kind: 'clientStream',
      method: 'Count',
      messages: [27182, 8, 1828, 45904].map((size) => Buffer.alloc(size, 1)),
    },
    0,
  ],
  [
    'server streaming',
    { kind: 'serverStream', method: 'Split', messages: [Buffer.from([31, 9, 0, 253, 58])] },
    0,
  ],
  [
    'ping-pong',
    {
      kind: 'duplex',
      method: 'PingPong',
      messages: Array.from({ length: 50 }, (_, i) => Buffer.alloc(i * 997, i)),
    },
    0,
  ],
  ['empty stream', { kind: 'duplex', method: 'PingPong', messages: [] }, 0],
  [
    'cancel after begin',
    { kind: 'clientStream', method: 'Count', messages: [], cancelAfter: 0 },
    1,
  ],
  [
    'cancel after first response',
    { kind: 'duplex', method: 'PingPong', messages: [Buffer.from('one')], cancelAfter: 1 },
    1,
  ],
];

describe('the same through the proxy as direct', () => {
  it.each(CASES)('%s', async (_, call, code) => {
    const { direct, proxied } = await setUp();
    const expected = await direct.call(call);
    expect(expected.code).toBe(code);
    expect(await proxied.call(call)).toEqual(expected);
  });

  it('compressed messages', async () => {
    const { rig } = await setUp();
    const compressed = new GrpcClient(rig.port, { isCompressed: true });
    cleanups.push(() => compressed.close());
    const messages = [Buffer.alloc(1_000_000, 3)];
    const { code, messages: got } = await compressed.call({
      kind: 'duplex',
      method: 'PingPong',
      messages,
    });
    expect([code, got]).toEqual([0, ['1000000:0303030303030303']]);
    const [record] = await rig.recorder.untilRecords(1);
    // A megabyte of one byte, deflated.
    expect(record?.bytesIn).toBeLessThan(10_000);
  });

  it('a time-out on a server that sleeps', async () => {
    const { rig, proxied } = await setUp();
    const { code } = await proxied.call({
      kind: 'unary',
      method: 'Sleep',
      messages: [Buffer.from('a')],
      options: { deadline: Date.now() + 200 },
    });
    expect(code).toBe(4);
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ fault: 'downstream-reset' });
  });

  it('a hundred calls at once', async () => {
    const { rig, proxied } = await setUp();
    const calls = Array.from({ length: 100 }, (_, i) =>
      proxied.call({ kind: 'unary', method: 'Echo', messages: [Buffer.from(`${i}`)] }),
    );
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    expect(codes).toEqual(Array(100).fill(0));
    const records = await rig.recorder.untilRecords(100);
    expect(new Set(records.map(({ grpcStatus }) => grpcStatus))).toEqual(new Set([0]));
  });
});

describe('a method that the policy does not allow', () => {
  it('is PERMISSION_DENIED, and the channel goes on', async () => {
    const { rig, proxied } = await setUp(allowHttp('POST /test.Bytes/Echo'));
    const echo: Call = { kind: 'unary', method: 'Echo', messages: [Buffer.from('a')] };
    const pingPong: Call = { ...echo, kind: 'duplex', method: 'PingPong' };
    expect((await proxied.call(echo)).code).toBe(0);
    expect(await proxied.call(pingPong)).toMatchObject({ code: 7, messages: [] });
    expect((await proxied.call(echo)).code).toBe(0);
    const records = await rig.recorder.untilRecords(3);
    expect(records.map(({ verdict, grpcStatus }) => [verdict, grpcStatus])).toEqual([
      ['forwarded', 0],
      ['denied', 7],
      ['forwarded', 0],
    ]);
  });

  it('an upstream that is not there is UNAVAILABLE', async () => {
    const server = await startGrpcServer();
    server.stop();
    const rig = await startRig({ policy: allowHttp('POST /.*'), upstreamPort: server.port });
    const proxied = new GrpcClient(rig.port);
    cleanups.push(() => proxied.close());
    const { code } = await proxied.call({ kind: 'unary', method: 'Echo', messages: [] });
    expect(code).toBe(14);
  });
});
