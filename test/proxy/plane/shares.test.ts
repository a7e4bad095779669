/** At no bound does one client take what the others need: a test for each bound that clients fill. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { clientHello } from '../../support/client_hello.ts';
import { endOf } from '../../support/end_of.ts';
import {
  allowHttp,
  closeRigs,
  cnp,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import { answerHeads, OK } from '../../support/raw_origin.ts';
import { settled } from '../../support/settled.ts';

afterEach(() => {
  vi.restoreAllMocks();
  closeRigs();
});

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const DENIED = 'GET /denied HTTP/1.1\r\nhost: x\r\n\r\n';
const UPGRADE = 'GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
const GREEDY = { localAddress: '127.0.0.66' };
const MODEST = { localAddress: '127.0.0.7' };
const BOUND = 10;

/** What a client can hold a connection with. */
const HOLDS: readonly {
  readonly about: string;
  readonly state: 'spare' | 'idle' | 'busy';
  readonly options?: RigOptions;
  readonly hold: (client: RawClient) => Promise<unknown>;
}[] = [
  { about: 'that sends nothing', state: 'spare', hold: async () => {} },
  {
    about: 'that sends half a head',
    state: 'spare',
    hold: async (client) => client.send('GET /a HTTP/1.1\r\n'),
  },
  {
    about: 'each of whose requests is denied',
    state: 'spare',
    hold: (client) => ask(client, DENIED, '403'),
  },
  { about: 'whose requests are allowed', state: 'idle', hold: (client) => ask(client, GET, 'ok') },
  {
    about: 'whose requests are never answered',
    state: 'busy',
    options: { script: () => {} },
    hold: async (client) => client.send(GET),
  },
  {
    about: 'that opens tunnels',
    state: 'busy',
    options: { script: (connection) => connection.send(SWITCHED) },
    hold: (client) => ask(client, UPGRADE, '101'),
  },
  {
    about: 'that begins a TLS handshake',
    state: 'spare',
    hold: async (client) => client.send(clientHello('api.test').subarray(0, 20)),
  },
];

describe('connectionCountMax', () => {
  for (const { about, state, options, hold } of HOLDS) {
    it(`a client ${about} makes room for others, and they are served`, async () => {
      const rig = await startRig({
        policy: allowHttp('GET /a'),
        script: answerHeads,
        ...options,
        limits: { connectionCountMax: BOUND },
      });
      const greedy = await fill(rig, hold);
      for (let i = 0; i < BOUND / 2; i++) {
        const modest = await rig.client(MODEST);
        modest.send(DENIED);
        await modest.until('403');
      }
      const evicted = Array.from({ length: BOUND / 2 }, () => `connections ${state}`);
      expect(rig.recorder.evictions).toEqual(evicted);
      expect(rig.plane.connectionCount).toBe(BOUND);
      await Promise.all(greedy.slice(0, BOUND / 2).map((client) => client.over()));
      expect(greedy.slice(BOUND / 2).every((client) => !client.isClosed)).toBe(true);
    });
  }

  it('its own new connections are refused, and take nothing from anybody', async () => {
    const rig = await startRig({ script: answerHeads, limits: { connectionCountMax: 4 } });
    const modest = await rig.client(MODEST);
    await ask(modest, GET, 'ok');
    await fill(rig, (client) => ask(client, GET, 'ok'), 3);
    for (let i = 0; i < 5; i++) {
      expect((await endOf(rig.port, { bytes: '', ...GREEDY })).text).toMatch(/^HTTP\/1\.1 503 /);
    }
    modest.send(GET);
    await modest.until('ok', 2);
    expect(rig.recorder.evictions).toEqual([]);
  });

  it('what it has left idle for evictionRestMinMs makes room for its own', async () => {
    const rig = await startRig({ script: answerHeads, limits: { connectionCountMax: 3 } });
    const [first] = await fill(rig, (client) => ask(client, GET, 'ok'), 3);
    rig.time.advance(1_000);
    const next = await rig.client(GREEDY);
    await ask(next, GET, 'ok');
    await first?.over();
    expect(rig.recorder.evictions).toEqual(['connections idle']);
  });

  it('the longest idle goes first, and what was never allowed anything before it', async () => {
    const rig = await startRig({
      policy: allowHttp('GET /a'),
      script: answerHeads,
      limits: { connectionCountMax: 4 },
    });
    const [a, b, denied, c] = [
      await rig.client(GREEDY),
      await rig.client(GREEDY),
      await rig.client(GREEDY),
      await rig.client(GREEDY),
    ];
    await ask(a, GET, 'ok');
    await ask(b, GET, 'ok');
    await ask(denied, DENIED, '403');
    await ask(c, GET, 'ok');
    await ask(a, GET, 'ok', 2);
    await ask(await rig.client(MODEST), GET, 'ok');
    await denied.over();
    await ask(await rig.client(MODEST), GET, 'ok');
    await b.over();
    expect([a.isClosed, c.isClosed]).toEqual([false, false]);
  });

  it.each(['close', 'keep-alive'])(
    'a last response (%s) that is still read is whole',
    async (end) => {
      const bytes = 16 * 1024 * 1024;
      const head = `HTTP/1.1 200 OK\r\ncontent-length: ${bytes}\r\nconnection: ${end}\r\n\r\n`;
      const rig = await startRig({
        script: (connection, chunk) =>
          connection.send(chunk.includes('/big') ? head + 'x'.repeat(bytes) : OK),
        limits: { connectionCountMax: 3, bufferBytesMax: bytes },
      });
      const reading = await rig.client({ ...GREEDY, isReading: false, isKeeping: false });
      reading.send(GET.replace('/a', '/big'));
      await rig.recorder.untilRecords(1);
      const [first, second] = await fill(rig, (client) => ask(client, GET, 'ok'), 2);
      await ask(await rig.client(MODEST), GET, 'ok');
      await first?.over();
      expect([rig.recorder.evictions, second?.isClosed]).toEqual([['connections idle'], false]);
      let readBytes = 0;
      reading.socket.on('data', (chunk) => {
        readBytes += chunk.length;
      });
      reading.socket.resume();
      await vi.waitFor(() => expect(readBytes).toBe(head.length + bytes), 10_000);
    },
  );

  it('of those that are busy it is the one that has not moved for the longest', async () => {
    const rig = await startRig({
      script: (connection, chunk) => connection.send(chunk.startsWith('GET') ? SWITCHED : chunk),
      limits: { connectionCountMax: 3 },
    });
    const [first, second, third] = await fill(rig, (client) => ask(client, UPGRADE, '101'), 3);
    rig.time.advance(1_000);
    first?.send('moves');
    third?.send('moves');
    await first?.until('moves');
    await third?.until('moves');
    await ask(await rig.client(MODEST), UPGRADE, '101');
    await second?.over();
    expect(rig.recorder.records.map(({ fault }) => fault)).toEqual(['evicted']);
    expect([first?.isClosed, third?.isClosed]).toEqual([false, false]);
  });

  it('there is no limit for anybody until the bound is reached', async () => {
    const rig = await startRig({ script: answerHeads, limits: { connectionCountMax: 40 } });
    await fill(rig, (client) => ask(client, GET, 'ok'), 39);
    await ask(await rig.client(MODEST), GET, 'ok');
    expect(rig.recorder.evictions).toEqual([]);
    expect(rig.recorder.summaries.filter((text) => text.includes('overloaded'))).toEqual([]);
  });

  it('many addresses of one identity are one holder for the others', async () => {
    const rig = await startRig({
      ...proxied(),
      limits: { connectionCountMax: 6 },
    });
    const others = [];
    for (let i = 1; i <= 6; i++) others.push(await proxiedClient(rig, `10.9.9.${i}`));
    for (let i = 0; i < 3; i++) await proxiedClient(rig, '10.0.0.8');
    expect(rig.recorder.evictions).toEqual(Array(3).fill('connections idle'));
    await Promise.all(others.slice(0, 3).map((client) => client.over()));
    rig.time.advance(100);
    expect(rig.recorder.holders).toEqual({
      identities: 2,
      addresses: 4,
      largestIdentity: 3,
      largestAddress: 3,
    });
  });

  it('who is behind a PROXY header is the holder, not who sends it', async () => {
    const rig = await startRig({ ...proxied(), limits: { connectionCountMax: 6 } });
    const greedy = [];
    for (let i = 0; i < 6; i++) greedy.push(await proxiedClient(rig, '10.0.0.9'));
    for (let i = 0; i < 3; i++) await proxiedClient(rig, '10.0.0.8');
    await Promise.all(greedy.slice(0, 3).map((client) => client.over()));
    expect(rig.recorder.evictions).toEqual(Array(3).fill('connections idle'));
  });
});

describe('requestCountMax', () => {
  it('above it the one with the most gives its own back, and the others go on', async () => {
    const rig = await startRig({
      script: (connection, chunk) => {
        if (chunk.includes('/slow')) return;
        connection.send(OK);
      },
      limits: { requestCountMax: 5 },
    });
    const greedy = await fill(rig, async (client) => client.send(GET.replace('/a', '/slow')), 8);
    await rig.origin.connection(7);
    rig.time.advance(100);
    expect(rig.recorder.evictions).toEqual(Array(3).fill('requests busy'));
    await Promise.all(greedy.slice(0, 3).map((client) => client.over()));
    await ask(await rig.client(MODEST), GET, 'ok');
  });
});

describe('memoryBytesMax', () => {
  const MIB = 1024 * 1024;
  const LIMITS = { memoryBytesMax: 64 * MIB, bufferBytesMax: MIB };

  it('near it a client that does not read makes room, and the others are served', async () => {
    const big = `HTTP/1.1 200 OK\r\ncontent-length: ${64 * MIB}\r\n\r\n${'x'.repeat(40 * MIB)}`;
    const rig = await startRig({
      script: (connection, chunk) => connection.send(chunk.includes('/big') ? big : OK),
      limits: LIMITS,
    });
    const modest = await rig.client(MODEST);
    await ask(modest, GET, 'ok');
    const greedy = await rig.client({ ...GREEDY, isReading: false });
    greedy.send(GET.replace('/a', '/big'));
    vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(60 * MIB);
    await vi.waitFor(() => {
      rig.time.advance(100);
      expect(rig.recorder.evictions).toEqual(['memory busy']);
    }, 10_000);
    await ask(modest, GET, 'ok', 2);
    await ask(await rig.client(MODEST), GET, 'ok');
    expect(rig.recorder.records.map(({ fault }) => fault)).toContain('evicted');
  });

  it('nobody is cut for memory that no client holds', async () => {
    const rig = await startRig({ script: answerHeads, limits: LIMITS });
    const client = await rig.client(MODEST);
    await ask(client, GET, 'ok');
    vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(60 * MIB);
    rig.time.advance(100);
    await ask(client, GET, 'ok', 2);
    expect(rig.recorder.evictions).toEqual([]);
  });
});

async function ask(client: RawClient, request: string, answer: string, times = 1): Promise<void> {
  client.send(request);
  await client.until(answer, times);
}

/** So many connections of the greedy one, each held, in order. */
async function fill(
  rig: Rig,
  hold: (client: RawClient) => Promise<unknown>,
  count = BOUND,
): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  for (let i = 0; i < count; i++) {
    const before = rig.recorder.openedCount;
    const client = await rig.client(GREEDY);
    await rig.recorder.untilOpened(before + 1);
    await hold(client);
    clients.push(client);
  }
  // Those that only send have been read once all before them have.
  await settled();
  return clients;
}

function proxied(): RigOptions {
  return {
    policy: cnp('', { from: 'fromEntities: [all]' }),
    script: answerHeads,
    listener: {
      destination: { kind: 'proxy-protocol' },
      identity: { kind: 'sources', sources: ['endpoints'] },
    },
  };
}

async function proxiedClient(rig: Rig, ip: string): Promise<RawClient> {
  const client = await rig.client();
  client.send(`PROXY TCP4 ${ip} 10.0.0.7 1234 8080\r\n${GET}`);
  await client.until('ok');
  return client;
}
