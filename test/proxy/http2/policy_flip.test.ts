/**
 * Rules that change while streams wait to be sent upstream: what is sent is what the rules allow at that
 * moment, and as they want it then.
 */
import { afterEach, describe, expect, it } from 'vitest';
import {
  block,
  data,
  frame,
  headers,
  OK,
  SETTINGS_ACK,
  settings,
  uint32,
} from '../../codec/http2/wire.ts';
import { END, END_HEADERS } from '../../support/http2_frames.ts';
import { framesOf, untilEach, wireClient, wireUpstream } from '../../support/http2_wire_peers.ts';
import {
  allowHttp,
  closeRigs,
  cnp,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';

afterEach(closeRigs);

const ONE_AT_A_TIME = [[0x3, 1]] as const;

function request(path: string, ...fields: readonly string[]): string[] {
  const pseudo = [':method', 'POST', ':scheme', 'http', ':authority', 'a.test', ':path', path];
  return [...pseudo, ...fields];
}

function get(id: number, path: string, ...fields: readonly string[]): Buffer {
  return headers(id, request(path, ...fields), END | END_HEADERS);
}

function messages(peer: { readonly received: string }): string[] {
  return framesOf(peer).filter((one) => /^(HEADERS|DATA|RST)/.test(one));
}

/** Stream 1 is at an upstream that takes no other beside it; `waiting` are asked for after it. */
async function behindOne(waiting: Buffer, options: RigOptions = {}) {
  const rig = await startRig({ policy: allowHttp('* /.*'), ...options });
  const client = await wireClient(rig);
  client.send(get(1, '/first'));
  const upstream = await wireUpstream(rig, { entries: ONE_AT_A_TIME });
  await untilEach(upstream, 'HEADERS 1 end');
  client.send(waiting);
  await takenBy(rig, client);
  return { rig, client, upstream };
}

/** All that the client has sent so far is read: a PING stood behind it. */
async function takenBy(_rig: Rig, client: RawClient): Promise<void> {
  const before = framesOf(client).filter((one) => one === 'PING ack').length;
  client.send(frame(0x6, 0, 0, Buffer.alloc(8)));
  await untilPings(client, before + 1);
}

async function untilPings(client: RawClient, count: number): Promise<void> {
  await expect
    .poll(() => framesOf(client).filter((one) => one === 'PING ack').length)
    .toBeGreaterThanOrEqual(count);
}

describe('a stream that waits for its turn upstream while the rules change', () => {
  it('is sent only if the rules in force then allow it', async () => {
    const { rig, client, upstream } = await behindOne(
      Buffer.concat([get(3, '/old'), get(5, '/both'), get(7, '/old')]),
    );
    const before = rig.store.current().revision;
    rig.update(allowHttp('* /first', '* /both', '* /new'));
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 5 end');
    upstream.send(headers(5, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 5 end', 'DATA 7 Access denied\r\n end');
    client.send(get(9, '/new'));
    await untilEach(upstream, 'HEADERS 9 end');
    expect(messages(upstream)).toEqual(['HEADERS 1 end', 'HEADERS 5 end', 'HEADERS 9 end']);
    upstream.send(headers(9, OK, END | END_HEADERS));
    const records = await rig.recorder.untilRecords(5);
    expect([...rig.recorder.summaries].sort()).toEqual([
      'denied no-http-rule-matched 403 /old',
      'denied no-http-rule-matched 403 /old',
      'forwarded allowed 200 /both',
      'forwarded allowed 200 /first',
      'forwarded allowed 200 /new',
    ]);
    for (const { head, policyRevision } of records) {
      expect([head?.path, policyRevision > before]).toEqual([head?.path, head?.path !== '/first']);
    }
  });

  it('is sent as the rules in force want its fields, made of what the client sent', async () => {
    const tenant = (value: string): string =>
      cnp(
        `, rules: { http: [{ path: "/.*", headerMatches: [{ name: x-tenant, value: ${value}, mismatch: REPLACE }] }] }`,
      );
    const waiting = [3, 5].map((id) => get(id, '/x', 'x-tenant', 'evil'));
    const options = { policy: tenant('old') };
    const { rig, upstream } = await behindOne(Buffer.concat(waiting), options);
    rig.update(tenant('new'));
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 3 end');
    rig.update(allowHttp('* /.*'));
    upstream.send(headers(3, OK, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 5 end');
    const { received } = upstream;
    const at = [1, 3, 5].map((id) => received.indexOf(`\x01\x05${idBytes(id)}`));
    const [first, third, fifth] = at as [number, number, number];
    expect(received.slice(first, third)).toContain('old');
    expect(received.slice(third, fifth)).toContain('new');
    expect(received.slice(third, fifth)).not.toMatch(/old|evil/);
    expect(received.slice(fifth)).toContain('evil');
  });

  it('takes its content along, and gives the credit back', async () => {
    const rest = 'x'.repeat(16_000);
    const { rig, client, upstream } = await behindOne(
      Buffer.concat([headers(3, request('/old'), END_HEADERS), data(3, rest), data(3, 'tail')]),
    );
    rig.update(allowHttp('* /first', '* /new'));
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(client, 'RST_STREAM 3 NO_ERROR');
    // More than the window of the connection, of streams that go the same way.
    for (let id = 5; id < 5 + 2 * 80; id += 2) {
      client.send(Buffer.concat([headers(id, request('/old'), END_HEADERS), data(id, rest)]));
      await untilEach(client, `RST_STREAM ${id} NO_ERROR`);
    }
    client.send(get(1001, '/new'));
    await untilEach(upstream, 'HEADERS 1001 end');
    expect(messages(upstream)).toEqual(['HEADERS 1 end', 'HEADERS 1001 end']);
  });

  it('is told in the form of gRPC when it is gRPC', async () => {
    const grpc = ['content-type', 'application/grpc', 'te', 'trailers'];
    const { rig, client, upstream } = await behindOne(get(3, '/s.S/M', ...grpc));
    rig.update(allowHttp('* /first'));
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(client, 'HEADERS 3 end');
    const records = await rig.recorder.untilRecords(2);
    expect(records.find(({ head }) => head?.path === '/s.S/M')).toMatchObject({
      verdict: 'denied',
      status: 200,
      grpcStatus: 7,
      responseSource: 'local',
    });
  });

  it('passes in dry-run, and is recorded as denied by the rules in force', async () => {
    const { rig, upstream } = await behindOne(Buffer.concat([get(3, '/old'), get(5, '/new')]), {
      policy: allowHttp('* /old'),
      behaviour: { isDryRun: true },
    });
    rig.update(allowHttp('* /new'));
    upstream.send(headers(1, OK, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 3 end');
    upstream.send(headers(3, OK, END | END_HEADERS));
    await untilEach(upstream, 'HEADERS 5 end');
    upstream.send(headers(5, OK, END | END_HEADERS));
    const records = await rig.recorder.untilRecords(3);
    expect(records.map(({ head, isDryRun }) => [head?.path, isDryRun])).toEqual([
      ['/first', true],
      ['/old', true],
      ['/new', false],
    ]);
  });
});

describe('a stream that waits for a connection while the rules change', () => {
  it('is not sent when they deny it: the upstream sees our preface and nothing else', async () => {
    const rig = await startRig({ policy: allowHttp('* /.*') });
    const client = await wireClient(rig);
    client.send(get(1, '/old'));
    const upstream = await rig.origin.connection();
    await upstream.untilBytes(24);
    rig.update(allowHttp('* /new'));
    upstream.send(Buffer.concat([settings(), SETTINGS_ACK]));
    await untilEach(client, 'DATA 1 Access denied\r\n end');
    client.send(get(3, '/new'));
    await untilEach(upstream, 'HEADERS 3 end');
    expect(messages(upstream)).toEqual(['HEADERS 3 end']);
  });

  it('makes no fresh connection when they deny it', async () => {
    const { rig, client, upstream } = await behindOne(get(3, '/old'));
    rig.update(allowHttp('* /first'));
    upstream.send(frame(0x7, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
    await untilEach(client, 'DATA 3 Access denied\r\n end');
    upstream.send(headers(1, OK, END | END_HEADERS));
    await rig.recorder.untilRecords(2);
    expect(rig.origin.connections).toHaveLength(1);
    expect(rig.recorder.connects).toEqual(['connected']);
  });
});

describe('a policy that no more allows the connection', () => {
  it('ends the streams that wait, too, each with one record', async () => {
    const waiting = Buffer.concat([get(3, '/a'), get(5, '/b')]);
    const { rig, client, upstream } = await behindOne(waiting);
    rig.update(cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' }));
    expect((await client.over()).how).toBe('reset');
    await upstream.over();
    expect(messages(upstream)).toEqual(['HEADERS 1 end']);
    expect([...rig.recorder.summaries].sort()).toEqual([
      'denied policy-changed 0 /a',
      'denied policy-changed 0 /b',
      'denied policy-changed 0 /first',
    ]);
  });
});

function idBytes(id: number): string {
  return uint32(id).toString('latin1');
}

/** So that a change of the encoder does not make a test of values pass for nothing. */
it('values are legible on the wire', () => {
  expect(block(['x-tenant', 'evil']).toString('latin1')).toContain('evil');
});
