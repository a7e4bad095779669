/**
 * Clients, upstreams, policies and time misbehave at random, from a seed. Whatever happens: each
 * request that was read is one record, what was opened is closed, nothing denied goes upstream, and no
 * error is ours.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { runLlhttp } from '../support/llhttp.ts';
import { allowHttp, closeRigs, cnp, type Rig, startRig } from '../support/plane_rig.ts';
import type { RawClient } from '../support/raw_client.ts';
import { OK, type OriginConnection } from '../support/raw_origin.ts';
import { SeededRandom } from '../support/seeded_random.ts';
import { settled } from '../support/settled.ts';

afterEach(closeRigs);

const SCENARIO_COUNT = 120;
const FIRST_SEED = 20_260_301;
const CLIENT_COUNT = 4;
const STEP_COUNT = 30;

describe('everything goes wrong', () => {
  it(`seeds ${FIRST_SEED} to ${FIRST_SEED + SCENARIO_COUNT - 1}`, async () => {
    const faults = new Set<string>();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SCENARIO_COUNT; seed++) {
      try {
        for (const fault of await scenario(new SeededRandom(seed))) faults.add(fault);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    // The scenarios reach what they are meant to reach.
    expect([...faults]).toEqual(
      expect.arrayContaining([
        'null',
        'downstream-closed',
        'downstream-reset',
        'upstream-closed',
        'upstream-truncated',
        'malformed-response',
        'policy-changed',
        'head-timeout',
      ]),
    );
  });
});

async function scenario(random: SeededRandom): Promise<readonly string[]> {
  const rig = await startRig({
    policy: random.pick(POLICIES),
    script: (connection) => misbehave(connection, random),
    behaviour: { isHttp10Enabled: random.below(2) === 0 },
    limits: { bufferBytesMax: 4096, pipelinedBytesMax: 1024 },
  });
  const clients: RawClient[] = [];
  for (let step = 0; step < STEP_COUNT; step++) {
    if (clients.length < CLIENT_COUNT && random.below(3) === 0) clients.push(await rig.client());
    await act(rig, clients, random);
    if (random.below(2) === 0) await new Promise(setImmediate);
  }
  for (const client of clients) client.close();
  await settle(rig);
  check(rig);
  const faults = rig.recorder.records.map(({ fault }) => String(fault));
  rig.stop();
  return faults;
}

/** What still waits for something is given up; what was on its way arrives. */
async function settle(rig: Rig): Promise<void> {
  for (let i = 0; i < 200; i++) {
    rig.time.advance(24 * 3_600_000);
    for (const { socket } of rig.origin.connections) socket.resume();
    await settled();
    if (i > 2 && rig.plane.connectionCount === 0 && openUpstreams(rig).length === 0) return;
  }
}

function openUpstreams({ origin }: Rig): readonly OriginConnection[] {
  return origin.connections.filter(({ isEnded, isClosed }) => !isEnded && !isClosed);
}

function check(rig: Rig): void {
  const { recorder, origin, plane } = rig;
  expect(recorder.internalErrors).toEqual([]);
  expect(recorder.closed).toHaveLength(recorder.openedCount);
  expect(plane.connectionCount).toBe(0);
  expect(openUpstreams(rig)).toEqual([]);
  // No request is two records: each head is an object of its own.
  const heads = recorder.records.flatMap(({ head }) => (head === null ? [] : [head]));
  expect(new Set(heads).size).toBe(heads.length);
  for (const record of recorder.records) {
    if (record.verdict === 'forwarded') expect(record.decision?.verdict).toBe('allow');
    if (record.responseSource === 'none') expect(record.status).toBe(0);
    else expect(record.status).toBeGreaterThan(0);
  }
  // What passes through a tunnel is judged by nobody.
  const asked = origin.connections
    .filter((connection) => !tunnels.has(connection))
    .flatMap(({ received }) => runLlhttp(Buffer.from(received, 'latin1'), 'request').messages)
    .map(({ target }) => target);
  expect(asked).not.toContain('/never');
  const forwarded = recorder.records.filter(({ decision }) => decision?.verdict === 'allow');
  // A policy that changes while a request is in flight rewrites the decision of its record.
  const rejected = recorder.records.filter(({ fault }) => fault === 'policy-changed');
  expect(asked.length).toBeLessThanOrEqual(
    forwarded.length + rejected.length + recorder.retriedCount,
  );
}

/** Connections on which a 101 was sent. */
const tunnels = new WeakSet<OriginConnection>();

const POLICIES: readonly string[] = [
  allowHttp('GET /a', 'POST /a'),
  allowHttp('GET /b', 'POST /b'),
  allowHttp('* /a', '* /b'),
  cnp(', rules: { http: [{ path: "/[ab]" }] }', {
    from: 'fromEndpoints: [{ matchLabels: { app: other } }]',
  }),
];

const REQUESTS: readonly string[] = [
  'GET /a HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  'GET /never HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /a HTTP/1.0\r\nhost: x\r\n\r\n',
  'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello',
  `POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 9000\r\n\r\n${'z'.repeat(9000)}`,
  'POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc',
  'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n',
  'POST /b HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi',
  'GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
  'GET /b HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly bytes',
  'GET /a%2fb HTTP/1.1\r\nhost: x\r\n\r\n',
  'GET /b HTTP/1.1\r\nhost: x\r\nbad\r\n\r\n',
];

async function act(rig: Rig, clients: readonly RawClient[], random: SeededRandom): Promise<void> {
  if (clients.length === 0) return;
  const client = random.pick(clients);
  switch (random.below(16)) {
    case 0:
      client.end();
      return;
    case 1:
      client.reset();
      return;
    case 2:
      client.socket.pause();
      return;
    case 3:
      client.socket.resume();
      return;
    case 4:
      rig.update(random.pick(POLICIES));
      return;
    case 5:
      rig.time.advance(random.pick([50, 1_000, 15_000, 400_000]));
      return;
    case 6: {
      const { connections } = rig.origin;
      if (connections.length > 0) misbehave(random.pick(connections), random);
      return;
    }
    default:
      if (client.socket.writable) client.send(cut(random));
  }
}

/** Mostly whole requests, at times a piece of one. */
function cut(random: SeededRandom): string {
  const request = random.pick(REQUESTS);
  return random.below(4) === 0 ? request.slice(0, random.below(request.length)) : request;
}

function misbehave(connection: OriginConnection, random: SeededRandom): void {
  if (!connection.socket.writable) return;
  switch (random.below(15)) {
    case 0:
      connection.end();
      return;
    case 1:
      connection.reset();
      return;
    case 2:
      connection.send('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe');
      return;
    case 10:
      connection.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe');
      return;
    case 3:
      connection.send('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
      return;
    case 4:
      connection.send('HTTP/1.1 100 Continue\r\n\r\n');
      return;
    case 5:
      tunnels.add(connection);
      connection.send(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhi',
      );
      return;
    case 6:
      connection.end('HTTP/1.1 200 OK\r\n\r\nuntil the end');
      return;
    case 7:
      connection.send('nonsense\r\n\r\n');
      return;
    case 8:
      connection.send(`HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n${'y'.repeat(60_000)}`);
      return;
    case 9:
      connection.socket.pause();
      return;
    default:
      connection.send(OK);
  }
}
