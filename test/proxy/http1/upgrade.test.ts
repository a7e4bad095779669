/** WebSocket and what else is asked for with Upgrade: judged first, then bytes both ways. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  allowHttp,
  closeRigs,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import { answerHeads, OK, type OriginConnection } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const UPGRADE =
  'GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';
const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';

describe('an upgrade', () => {
  it('that is denied: nothing goes upstream, and the connection ends', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a') });
    const { text } = await rig.exchange(`${UPGRADE}early frames`);
    expect(text).toMatch(/^HTTP\/1\.1 403 .*connection: close\r\n/s);
    expect(rig.origin.connections).toHaveLength(0);
    expect(rig.recorder.summaries).toEqual(['denied no-http-rule-matched 403 /ws']);
  });

  it('holds all that follows it until its 101', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(`${UPGRADE}early`);
    client.send(' and later');
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    client.send(' frames');
    await roundTrip(rig);
    expect(origin.received).toBe(UPGRADE);
    origin.send('HTTP/1.1 102 Processing\r\n\r\n');
    await client.until('102 Processing\r\n\r\n');
    expect(origin.received).toBe(UPGRADE);
    origin.send(`${SWITCHED}first`);
    await client.until('first');
    await origin.until('early and later frames');
    expect(origin.received).toBe(`${UPGRADE}early and later frames`);
  });

  it('above earlyTunnelBytesMax before its 101: 400, and none of it goes upstream', async () => {
    const rig = await startRig({ limits: { earlyTunnelBytesMax: 10 } });
    const client = await rig.client();
    client.send(UPGRADE);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    client.send('eleven bytes');
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 400 /);
    expect(await origin.over()).toBe('reset');
    expect(origin.received).toBe(UPGRADE);
    expect(rig.recorder.summaries).toEqual(['error early-tunnel-bytes 400 /ws']);
  });

  it('to which the upstream says something else: that is relayed, both sides are closed, held bytes are dropped', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(`${UPGRADE}${GET}`);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    const { text, how } = await client.over();
    expect(text).toBe('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
    expect(how).toBe('fin');
    expect(await origin.over()).toMatch(/fin|reset/);
    expect(rig.origin.received).toBe(UPGRADE);
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /ws']);
  });

  it('to which the upstream switches to another protocol: 502', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(UPGRADE);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(SWITCHED.replace('websocket', 'smtp'));
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 502 /);
    expect(rig.recorder.summaries).toEqual(['error unexpected-upgrade 502 /ws']);
  });

  it.each([
    ['h2c', 'connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n'],
    ['without "connection: upgrade"', 'upgrade: websocket\r\n'],
  ])('%s is no upgrade: the origin does not hear of it', async (_, fields) => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    client.send(`GET /a HTTP/1.1\r\nhost: x\r\n${fields}\r\n`);
    client.send(GET);
    client.end();
    await client.over();
    expect(rig.origin.received).not.toMatch(/upgrade|http2|websocket/i);
  });
});

describe('an upgrade to something else', () => {
  const EXEC =
    'POST /exec HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: tcp\r\ncontent-length: 2\r\n\r\n{}';
  const SPDY =
    'POST /exec HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\ncontent-length: 0\r\n\r\n';
  const behaviour = { upgrades: ['websocket', 'tcp', 'spdy/3.1'] };

  it.each([EXEC, SPDY, UPGRADE.replace('websocket', 'a, b/2')])(
    'that is not named: refused in its own word, and nothing is sent: %j',
    async (bytes) => {
      const rig = await startRig();
      const { text, how } = await rig.exchange(`${bytes}early`);
      const [status, fault] = bytes.includes('a, b')
        ? [400, 'malformed-upgrade']
        : [403, 'upgrade-refused'];
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*connection: close\r\n`, 's'));
      expect(how).toBe('fin');
      expect(rig.origin.connections).toHaveLength(0);
      const path = status === 400 ? '-' : '/exec';
      expect(rig.recorder.summaries).toEqual([`error ${fault} ${status} ${path}`]);
    },
  );

  it.each([
    [EXEC, 'tcp'],
    [SPDY, 'SPDY/3.1'],
  ])('that is named: its content, then a tunnel, judged again: %j', async (bytes, protocol) => {
    const rig = await startRig({ behaviour, policy: allowHttp('POST /exec') });
    const client = await rig.client();
    client.send(`${bytes}early`);
    const origin = await rig.origin.connection();
    await origin.untilBytes(bytes.length);
    expect(origin.received).toBe(bytes);
    origin.send(SWITCHED.replace('websocket', protocol));
    await client.until('\r\n\r\n');
    await origin.until('early');
    origin.send('out');
    await client.until('out');
    rig.update(allowHttp('GET /a'));
    expect((await client.over()).how).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['denied policy-changed 101 /exec']);
  });

  it('that policy denies: nothing is sent', async () => {
    const rig = await startRig({ behaviour, policy: allowHttp('GET /a') });
    expect((await rig.exchange(EXEC)).text).toMatch(/^HTTP\/1\.1 403 /);
    expect(rig.origin.connections).toHaveLength(0);
  });

  it('to which the upstream switches before it has all of the content: 502', async () => {
    const rig = await startRig({ behaviour });
    const client = await rig.client();
    client.send(EXEC.slice(0, -1));
    const origin = await rig.origin.connection();
    await origin.until('{');
    origin.send(SWITCHED.replace('websocket', 'tcp'));
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 502 /);
    expect(rig.recorder.summaries).toEqual(['error unexpected-upgrade 502 /exec']);
  });

  it.each(['h2c', 'TLS/1.0, HTTP/1.1', 'TLS/1.2', 'HTTP/2.0'])(
    '%s: served plainly, as if it had not been offered',
    async (offer) => {
      const rig = await startRig({ script: answerHeads });
      const client = await rig.client();
      client.send(UPGRADE.replace('websocket', offer));
      await client.until('ok');
      expect(rig.origin.received).not.toMatch(/upgrade/i);
    },
  );
});

describe('a tunnel', () => {
  it('carries bytes both ways as they are and is one record, once it has ended', async () => {
    const { rig, client, origin } = await tunnelled();
    client.send(GET);
    await origin.until(GET);
    origin.send('\x81\x00\xff');
    await client.until('\x81\x00\xff');
    expect(rig.recorder.records).toHaveLength(0);
    client.end();
    expect(await origin.over()).toBe('fin');
    await client.over();
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({
      verdict: 'forwarded',
      status: 101,
      fault: null,
      bytesIn: UPGRADE.length + GET.length,
      bytesOut: SWITCHED.length + 3,
    });
    expect(rig.recorder.records).toHaveLength(1);
  });

  it.each(['client', 'origin'] as const)(
    'half-closed by the %s: the other side goes on',
    async (first) => {
      const { rig, client, origin } = await tunnelled();
      if (first === 'client') {
        client.end();
        await ended(origin);
        origin.send('still here');
        await client.until('still here');
        origin.end();
      } else {
        origin.end();
        await ended(client);
        client.send('still here');
        await origin.until('still here');
        client.end();
      }
      await rig.recorder.untilRecords(1);
      expect(rig.recorder.records[0]).toMatchObject({ fault: null, status: 101 });
    },
  );

  it.each(['client', 'origin'] as const)(
    'reset by the %s: the other side is reset, one record',
    async (first) => {
      const { rig, client, origin } = await tunnelled();
      if (first === 'client') {
        client.reset();
        expect(await origin.over()).toBe('reset');
      } else {
        origin.reset();
        expect((await client.over()).how).toBe('reset');
      }
      await rig.recorder.untilRecords(1);
      expect(rig.recorder.records).toHaveLength(1);
    },
  );

  it('on which nothing moves is closed after streamIdleTimeoutMs', async () => {
    const { rig, client, origin } = await tunnelled();
    rig.time.advance(299_999);
    expect(rig.recorder.records).toHaveLength(0);
    client.send('moved');
    await origin.until('moved');
    rig.time.advance(299_000);
    expect(rig.recorder.records).toHaveLength(0);
    rig.time.advance(1_100);
    await client.over();
    expect(rig.recorder.summaries).toEqual(['error stream-idle-timeout 101 /ws']);
  });

  it.each([
    [
      'no longer allows the remote',
      allowHttp('*').replace('app: client', 'app: other'),
      'remote-not-allowed',
    ],
    ['no longer allows its request', allowHttp('GET /other'), 'no-http-rule-matched'],
  ])('is reset by a policy that %s', async (_, policy, reason) => {
    const { rig, client, origin } = await tunnelled();
    rig.update(policy);
    expect((await client.over()).how).toBe('reset');
    expect(await origin.over()).toBe('reset');
    expect(rig.recorder.records).toHaveLength(1);
    expect(rig.recorder.records[0]).toMatchObject({
      verdict: 'denied',
      fault: 'policy-changed',
      decision: { reason },
      policyRevision: 2,
    });
  });

  it('is not cut by requestTimeoutMs: its response was complete with the 101', async () => {
    const { rig, client, origin } = await tunnelled({ limits: { requestTimeoutMs: 1_000 } });
    rig.time.advance(5_000);
    client.send('more');
    await origin.until('more');
    expect(rig.recorder.records).toHaveLength(0);
  });

  it('is not begun when the policy that came while the upstream had not answered denies it', async () => {
    const rig = await startRig({ policy: allowHttp('GET /ws') });
    const client = await rig.client();
    client.send(`${UPGRADE}early`);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    rig.update(allowHttp('GET /a'));
    origin.send(`${SWITCHED}first`);
    expect(await client.over()).toEqual({ text: '', how: 'reset' });
    expect(await origin.over()).toBe('reset');
    expect(origin.received).toBe(UPGRADE);
    expect(rig.recorder.summaries).toEqual(['denied policy-changed 0 /ws']);
  });

  it('is begun with --dry-run, whatever policy came meanwhile', async () => {
    const rig = await startRig({
      policy: allowHttp('GET /ws'),
      behaviour: { isDryRun: true },
    });
    const client = await rig.client();
    client.send(UPGRADE);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    rig.update(allowHttp('GET /a'));
    origin.send(`${SWITCHED}first`);
    await client.until('first');
  });

  it('goes on under a policy that still allows it', async () => {
    const { rig, client, origin } = await tunnelled();
    rig.update(allowHttp('GET /ws'));
    client.send('more');
    await origin.until('more');
    expect(rig.recorder.records).toHaveLength(0);
  });
});

async function tunnelled(
  options: RigOptions = {},
): Promise<{ rig: Rig; client: RawClient; origin: OriginConnection }> {
  const rig = await startRig(options);
  const client = await rig.client();
  client.send(UPGRADE);
  const origin = await rig.origin.connection();
  await origin.until('\r\n\r\n');
  origin.send(SWITCHED);
  await client.until(SWITCHED);
  return { rig, client, origin };
}

/** The other side's FIN is here; nothing is closed in answer. */
async function ended(side: RawClient | OriginConnection): Promise<void> {
  await new Promise<void>((resolve) => {
    if (side.isEnded) resolve();
    else side.socket.once('end', resolve);
  });
}

/** What was sent before has been seen by the plane. */
async function roundTrip(rig: Rig): Promise<void> {
  await rig.exchange('GET / HTTP/1.0\r\n\r\n');
}
