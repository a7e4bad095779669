/**
 * Whatever calls into a connection from outside (a socket of either side, a turn's end, a sweep, a changed policy, a
 * drain, another connection that needs room), an exception in it is counted as ours, closes both sides of that
 * connection, and goes no further: others are served.
 */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Http2Connection } from '../../src/codec/http2/connection.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { PLAIN_SOCKETS, type Sockets } from '../../src/platform/sockets.ts';
import { Linger } from '../../src/proxy/accept/linger.ts';
import { Http1Intake } from '../../src/proxy/http1/intake.ts';
import { Http1Relay } from '../../src/proxy/http1/relay.ts';
import { Http1Upstream } from '../../src/proxy/http1/upstream.ts';
import { Http2Endings } from '../../src/proxy/http2/endings.ts';
import { Http2Relay } from '../../src/proxy/http2/relay.ts';
import { GatheredWrite } from '../../src/proxy/plane/gathered_write.ts';
import { ReadMemory } from '../../src/proxy/plane/memory/read_memory.ts';
import { Shares } from '../../src/proxy/plane/shares.ts';
import { RequestLife } from '../../src/proxy/request/request_life.ts';
import { Passthrough } from '../../src/proxy/tls/passthrough.ts';
import { data, GET, headers, POST } from '../codec/http2/wire.ts';
import { clientHello } from '../support/client_hello.ts';
import { untilFrames, wireClient, wireUpstream } from '../support/http2_wire_peers.ts';
import { closeRigs, cnp, type Rig, startRig } from '../support/plane_rig.ts';
import type { RawClient } from '../support/raw_client.ts';
import { answerHeads, OK, type OriginConnection } from '../support/raw_origin.ts';

afterEach(() => {
  vi.restoreAllMocks();
  closeRigs();
});

const BUG = new Error('a bug');
const GET_A = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const UPGRADE = 'GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
/** More than both kernels keep for a reader that does not read. */
const MUCH = Buffer.alloc(24 * 1024 * 1024, 'x');

/** A connection on which something is in hand. */
interface Scene {
  readonly rig: Rig;
  readonly client: RawClient;
  readonly origin: OriginConnection;
  /** The proxy's own one, to its upstream. */
  readonly upstreamSocket: Socket;
}

type Begin = () => Promise<Scene>;

interface Entry {
  readonly about: string;
  readonly begin: Begin;
  /** What is to fail, the next time that it is called. */
  readonly fails: () => void;
  readonly trigger: (scene: Scene) => unknown;
}

function failing<Part extends object>(part: Part, method: keyof Part & string): () => void {
  return () => {
    vi.spyOn(part, method as never).mockImplementationOnce((() => {
      throw BUG;
    }) as never);
  };
}

async function rigOf(): Promise<{ rig: Rig; upstreams: Socket[] }> {
  const upstreams: Socket[] = [];
  const sockets: Sockets = {
    ...PLAIN_SOCKETS,
    connect: (target, options) => {
      const socket = PLAIN_SOCKETS.connect(target, options);
      upstreams.push(socket);
      return socket;
    },
  };
  return { rig: await startRig({ policy: cnp(''), sockets }), upstreams };
}

async function begun(send: (rig: Rig) => Promise<RawClient>, wanted: string): Promise<Scene> {
  const { rig, upstreams } = await rigOf();
  const client = await send(rig);
  const origin = await rig.origin.connection();
  if (wanted !== '') await origin.until(wanted);
  return { rig, client, origin, upstreamSocket: upstreams[0] as Socket };
}

function sending(bytes: string | Buffer): (rig: Rig) => Promise<RawClient> {
  return async (rig) => {
    const client = await rig.client();
    client.send(bytes);
    return client;
  };
}

const http1: Begin = () => begun(sending(GET_A), '\r\n\r\n');
const upload: Begin = () =>
  begun(sending(`POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n`), 'POST');
const tls: Begin = () => begun(sending(clientHello('api.test')), '\x16\x03');

async function tunnel(): Promise<Scene> {
  const scene = await begun(sending(UPGRADE), '\r\n\r\n');
  scene.origin.send(SWITCHED);
  await scene.client.until('101');
  return scene;
}

async function http2(): Promise<Scene> {
  const scene = await begun(async (rig) => {
    const client = await wireClient(rig);
    client.send(headers(1, POST, 0x4));
    return client;
  }, 'PRI');
  await wireUpstream(scene.rig);
  await untilFrames(scene.origin, (frames) => frames.some((one) => one.startsWith('HEADERS 1')));
  return scene;
}

const sweep = ({ rig }: Scene): void => rig.time.advance(DEFAULT_LIMITS.sweepIntervalMs);

const RELAYS = [
  ['HTTP/1.1', http1, Http1Relay.prototype],
  ['HTTP/2', http2, Http2Relay.prototype],
  ['TLS', tls, Passthrough.prototype],
] as const;

const ENTRIES: readonly Entry[] = [
  ...RELAYS.flatMap(([name, begin, relay]) => {
    const of = (
      about: string,
      method: keyof typeof relay & string,
      trigger: Entry['trigger'],
    ): Entry => ({ about: `${name}: ${about}`, begin, fails: failing(relay, method), trigger });
    return [
      of('bytes of the client', 'onDownstreamData', ({ client }) => client.send('x')),
      of('the FIN of the client', 'onDownstreamEnd', ({ client }) => client.end()),
      of('the reset of the client', 'onDownstreamGone', ({ client }) => client.reset()),
      of('a sweep', 'expire', sweep),
      of('a changed policy', 'judgeOpen', ({ rig }) => rig.plane.policyChanged()),
      of('what a changed policy does', 'reject', ({ rig }) =>
        rig.update(cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' })),
      ),
    ];
  }),
  ...[
    ['bytes of the upstream', 'onUpstreamData', (it: OriginConnection) => it.send(OK)] as const,
    ['the FIN of the upstream', 'onUpstreamEnd', (it: OriginConnection) => it.end()] as const,
    [
      'the reset of the upstream',
      'onUpstreamFailed',
      (it: OriginConnection) => it.reset(),
    ] as const,
  ].flatMap(([about, method, act]) => [
    {
      about: `HTTP/1.1: ${about}`,
      begin: http1,
      fails: failing(Http1Upstream.prototype, method),
      trigger: ({ origin }: Scene) => act(origin),
    },
    {
      about: `TLS: ${about}`,
      begin: tls,
      fails: failing(Passthrough.prototype, method),
      trigger: ({ origin }: Scene) => act(origin),
    },
  ]),
  {
    about: 'HTTP/2: bytes of the upstream',
    begin: http2,
    fails: failing(Http2Relay.prototype, 'onTurnBegin'),
    trigger: ({ origin }) => origin.send('x'),
  },
  {
    about: 'HTTP/2: the FIN of the upstream',
    begin: http2,
    fails: failing(Http2Relay.prototype, 'onLost'),
    trigger: ({ origin }) => origin.end(),
  },
  {
    about: 'HTTP/2: the reset of the upstream',
    begin: http2,
    fails: failing(Http2Relay.prototype, 'onLost'),
    trigger: ({ origin }) => origin.reset(),
  },
  {
    about: 'HTTP/2: frames that the client has taken',
    begin: http2,
    fails: failing(Http2Connection.prototype, 'written'),
    // The answer to it is the only thing that is written.
    trigger: ({ client }) => client.send(Buffer.from('0000080600000000000000000000000000', 'hex')),
  },
  {
    about: 'HTTP/2: frames that the upstream has taken',
    begin: http2,
    fails: failing(Http2Connection.prototype, 'written'),
    trigger: ({ origin }) => origin.send(Buffer.from('0000080600000000000000000000000000', 'hex')),
  },
  {
    about: 'HTTP/2: room at the upstream',
    begin: http2,
    fails: failing(Http2Relay.prototype, 'onUpstreamDrain'),
    trigger: ({ upstreamSocket }) => upstreamSocket.emit('drain'),
  },
  {
    about: 'HTTP/1.1: the upstream is connected',
    begin: http1,
    fails: failing(Http1Upstream.prototype, 'onUpstreamConnected'),
    trigger: () => {},
  },
  {
    about: 'HTTP/1.1: the end of a turn',
    begin: http1,
    fails: failing(GatheredWrite.prototype, 'flush'),
    trigger: ({ origin }) => origin.send(OK),
  },
  {
    about: 'HTTP/1.1: requests that were held, in a turn of their own',
    begin: () => begun(sending(GET_A + GET_A), '\r\n\r\n'),
    fails: failing(Http1Intake.prototype, 'goOn'),
    trigger: ({ origin }) => origin.send(OK),
  },
  {
    about: 'HTTP/1.1: room at the upstream',
    begin: upload,
    fails: failing(Http1Relay.prototype, 'onUpstreamRoom'),
    trigger: ({ upstreamSocket }) => upstreamSocket.emit('drain'),
  },
  {
    about: 'HTTP/1.1: room at the client',
    begin: http1,
    fails: failing(Http1Relay.prototype, 'onDownstreamDrain'),
    trigger: async ({ client, origin, upstreamSocket }) => {
      client.socket.pause();
      origin.send(`HTTP/1.1 200 OK\r\ncontent-length: ${MUCH.length}\r\n\r\n`);
      origin.send(MUCH);
      await expect.poll(() => upstreamSocket.isPaused()).toBe(true);
      client.socket.resume();
    },
  },
  {
    about: 'HTTP/1.1: all is written after the last reply',
    begin: () => begun(sending(GET_A.replace('host', 'connection: close\r\nhost')), '\r\n\r\n'),
    fails: failing(Linger.prototype, 'flushed'),
    trigger: ({ origin }) => origin.send(OK),
  },
  {
    about: 'memory that reads have used',
    begin: http1,
    fails: failing(ReadMemory.prototype, 'used'),
    trigger: ({ client }) => client.send('x'),
  },
  {
    about: 'memory that reads of the upstream have used',
    begin: http1,
    fails: failing(ReadMemory.prototype, 'used'),
    trigger: ({ origin }) => origin.send('HTTP/1.1 200 OK\r\n'),
  },
  {
    about: 'a tunnel: room at the upstream',
    begin: tunnel,
    fails: failing(Socket.prototype, 'resume'),
    trigger: ({ upstreamSocket }) => upstreamSocket.emit('drain'),
  },
  {
    about: 'a tunnel: all is written',
    begin: tunnel,
    fails: failing(RequestLife.prototype, 'finish'),
    trigger: ({ client, origin }) => {
      client.end();
      origin.end();
    },
  },
  {
    about: 'TLS: all is written',
    begin: tls,
    fails: failing(RequestLife.prototype, 'finish'),
    trigger: ({ client, origin }) => {
      client.end();
      origin.end();
    },
  },
  {
    about: 'TLS: room at the upstream',
    begin: tls,
    fails: failing(Socket.prototype, 'resume'),
    trigger: ({ upstreamSocket }) => upstreamSocket.emit('drain'),
  },
];

describe('an exception at an entry is counted, closes that connection on both sides, and no other', () => {
  it.each(ENTRIES)('$about', async ({ begin, fails, trigger }) => {
    const isBeforeBegin = begin === http1 && trigger.length === 0;
    if (isBeforeBegin) fails();
    const scene = isBeforeBegin ? await begunUnsent() : await begin();
    if (!isBeforeBegin) fails();
    await trigger(scene);
    const { rig, client, origin } = scene;
    await client.over();
    await origin.over();
    expect(rig.takeInternalErrors()).toEqual([BUG]);
    expect(rig.plane.connectionCount).toBe(0);
    expect(rig.recorder.closed).toHaveLength(1);
    rig.update(cnp(''));
    await isServed(rig);
  });
});

describe('an exception of a connection that another one calls', () => {
  it('when content has to be given up: it ends the one that holds it', async () => {
    const rig = await startRig({ policy: cnp(''), limits: { h2ContentBytesMax: 70_000 } });
    const holding = await answered(rig, 0, 60_000);
    failing(Http2Endings.prototype, 'giveUp')();
    const asking = await answered(rig, 1, 15_000);
    await holding.client.over();
    await holding.origin.over();
    expect(rig.takeInternalErrors()).toEqual([BUG]);
    expect(asking.client.isClosed || asking.client.isEnded).toBe(false);
    expect(rig.plane.connectionCount).toBe(1);
  });

  it('when its place is needed: it ends the one that had it', async () => {
    const limits = { connectionCountMax: 1, evictionRestMinMs: 0 };
    const rig = await startRig({ policy: cnp(''), limits, script: answerHeads });
    const idle = await rig.client();
    idle.send(GET_A);
    await idle.until('ok');
    failing(Http1Relay.prototype, 'heldBytes')();
    const asking = await rig.client();
    asking.send(GET_A);
    await asking.until('ok');
    await idle.over();
    expect(rig.takeInternalErrors()).toEqual([BUG]);
    expect(rig.plane.connectionCount).toBe(1);
  });
});

describe('an exception of a sweep that is of no connection', () => {
  it('is counted, and deadlines are looked at all the same', async () => {
    const { rig, client } = await http1();
    failing(Shares.prototype, 'sweep')();
    rig.time.advance(3_600_000);
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 504 /);
    expect(rig.takeInternalErrors()).toEqual([BUG]);
  });
});

describe('an exception while a connection is ended because of one', () => {
  it.each(RELAYS)('%s: both sides are closed all the same', async (_, begin, relay) => {
    const { rig, client, origin } = await begin();
    failing(relay, 'onDownstreamData')();
    failing(relay, 'abandon')();
    client.send('x');
    await client.over();
    await origin.over();
    expect(rig.takeInternalErrors()).toEqual([BUG, BUG]);
    expect(rig.plane.connectionCount).toBe(0);
    expect(rig.recorder.closed).toEqual(['fault']);
    expect(rig.recorder.streamsOpenCount).toBe(0);
    await isServed(rig);
  });

  it.each(RELAYS)('%s, twice: the client is let go all the same', async (_, begin, relay) => {
    const { rig, client } = await begin();
    for (const method of ['onDownstreamData', 'abandon', 'sever'] as const)
      failing(relay, method)();
    client.send('x');
    await client.over();
    expect(rig.takeInternalErrors()).toEqual([BUG, BUG, BUG]);
    expect(rig.plane.connectionCount).toBe(0);
    await isServed(rig);
  });
});

async function begunUnsent(): Promise<Scene> {
  const { rig, upstreams } = await rigOf();
  const client = await rig.client();
  client.send(GET_A);
  const origin = await rig.origin.connection();
  return { rig, client, origin, upstreamSocket: upstreams[0] as Socket };
}

/** A client that takes nothing of an answer of so many bytes. */
async function answered(rig: Rig, index: number, byteLength: number) {
  const client = await wireClient(rig, { entries: [[0x4, 0]] });
  client.send(headers(1, GET));
  const origin = await wireUpstream(rig, { index });
  await untilFrames(origin, (frames) => frames.some((one) => one.startsWith('HEADERS 1')));
  origin.send(headers(1, [':status', '200'], 0x4));
  for (let left = byteLength; left > 0; left -= 10_000) {
    origin.send(data(1, Buffer.alloc(Math.min(left, 10_000))));
  }
  await untilFrames(client, (frames) => frames.some((one) => one.startsWith('HEADERS 1')));
  return { client, origin };
}

async function isServed(rig: Rig): Promise<void> {
  const client = await rig.client();
  client.send(GET_A);
  const count = rig.origin.connections.length;
  const origin = await rig.origin.connection(count === 1 ? 1 : count - 1);
  await origin.until(GET_A);
  origin.send(OK);
  await client.until('ok');
}
