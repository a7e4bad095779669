/** TLS: judged by its server name alone, passed through as it is, on ports without HTTP rules. */
import { afterEach, describe, expect, it } from 'vitest';
import { clientHello } from '../../support/client_hello.ts';
import { allowHttp, closeRigs, cnp, type RigOptions, startRig } from '../../support/plane_rig.ts';
import { settled } from '../../support/settled.ts';

afterEach(closeRigs);

const L4_ONLY = cnp('');
const API_ONLY = cnp(', serverNames: [api.test]');
const HELLO = clientHello('api.test');
const HELLO_TEXT = HELLO.toString('latin1');

describe('whether a TLS connection passes', () => {
  const cases: readonly [about: string, policy: string, hello: Buffer, outcome: string][] = [
    ['the allowed name', API_ONLY, HELLO, 'passes'],
    ['another name', API_ONLY, clientHello('evil.test'), 'sni-not-allowed'],
    ['no name where one is demanded', API_ONLY, clientHello(''), 'sni-not-allowed'],
    ['any name on a port of L4 rules', L4_ONLY, clientHello('any.test'), 'passes'],
    ['no name on a port of L4 rules', L4_ONLY, clientHello(''), 'passes'],
    ['any name on a port of HTTP rules', allowHttp('*'), HELLO, 'not-judgeable'],
    ['no name on a port of HTTP rules', allowHttp('*'), clientHello(''), 'not-judgeable'],
  ];
  for (const [about, policy, hello, outcome] of cases) {
    it(`${about}: ${outcome}`, async () => {
      const rig = await startRig({ policy });
      const client = await rig.client();
      client.send(hello);
      if (outcome === 'passes') {
        const upstream = await rig.origin.connection();
        await upstream.untilBytes(hello.length);
        expect(upstream.received).toBe(hello.toString('latin1'));
        return;
      }
      expect(await client.over()).toEqual({ text: '', how: 'reset' });
      expect(rig.recorder.summaries).toEqual([`denied ${outcome} 0 -`]);
      expect(rig.origin.connections).toEqual([]);
    });
  }

  it('a hello in pieces is judged once it is whole, and nothing goes upstream before', async () => {
    const rig = await startRig({ policy: API_ONLY });
    const client = await rig.client();
    for (let i = 0; i < HELLO.length - 1; i++) {
      client.send(HELLO.subarray(i, i + 1));
      if (i % 16 === 0) await new Promise(setImmediate);
    }
    await settled();
    expect(rig.origin.connections).toEqual([]);
    client.send(HELLO.subarray(HELLO.length - 1));
    expect(await (await rig.origin.connection()).until(HELLO_TEXT)).toBe(HELLO_TEXT);
  });

  const broken: readonly [about: string, bytes: Buffer, detail: string][] = [
    ['a hello that is none', Buffer.from('160301000501000001ff', 'hex'), 'hello-form'],
    [
      'a hello without an end',
      Buffer.concat([Buffer.from('1603014000010fffff0303', 'hex'), Buffer.alloc(80_000, 1)]),
      'hello-too-long',
    ],
  ];
  for (const [about, bytes, detail] of broken) {
    it(`${about} is reset and recorded`, async () => {
      const rig = await startRig({ policy: L4_ONLY });
      const client = await rig.client();
      client.send(bytes);
      expect(await client.over()).toEqual({ text: '', how: 'reset' });
      expect(rig.recorder.summaries).toEqual(['error malformed-client-hello 0 -']);
      expect(rig.recorder.records[0]?.cause?.detail).toBe(detail);
      expect(rig.origin.connections).toEqual([]);
    });
  }

  it('--dry-run lets through what would be refused, and says so', async () => {
    const outcomes: readonly [policy: string, reason: string][] = [
      [allowHttp('GET /a'), 'not-judgeable'],
      [cnp(', serverNames: [other.test]'), 'sni-not-allowed'],
    ];
    for (const [policy, reason] of outcomes) {
      const rig = await startRig({ policy, behaviour: { isDryRun: true } });
      const client = await rig.client();
      client.send(HELLO);
      const upstream = await rig.origin.connection();
      await upstream.untilBytes(HELLO.length);
      client.end();
      upstream.end();
      const [record] = await rig.recorder.untilRecords(1);
      expect(record).toMatchObject({
        verdict: 'forwarded',
        isDryRun: true,
        decision: { verdict: 'deny', reason },
      });
    }
  });
});

describe('a TLS connection that passes', () => {
  it('carries bytes both ways and is one record', async () => {
    const { rig, client, upstream } = await open();
    upstream.send('hello from there');
    await client.until('hello from there');
    client.send('and back');
    await upstream.until('and back');
    client.end();
    expect(await upstream.over()).toBe('fin');
    upstream.end();
    expect(await client.over()).toMatchObject({ how: 'fin' });
    const records = await rig.recorder.untilRecords(1);
    expect(records).toMatchObject([
      {
        verdict: 'forwarded',
        serverName: 'api.test',
        responseSource: 'upstream',
        bytesIn: HELLO.length + 'and back'.length,
        bytesOut: 'hello from there'.length,
      },
    ]);
  });

  it('is half-closed by either side, and the other goes on', async () => {
    for (const first of ['client', 'upstream'] as const) {
      const { client, upstream } = await open();
      const [closer, other] = first === 'client' ? [client, upstream] : [upstream, client];
      closer.end();
      await new Promise<void>((resolve) => {
        if (other.isEnded) resolve();
        else other.socket.once('end', () => resolve());
      });
      other.send('still here');
      await closer.until('still here');
      other.end();
      await closer.over();
    }
  });

  it('the last bytes arrive although both sides have ended', async () => {
    const big = Buffer.alloc(12 * 1024 * 1024, 'x');
    const { client, upstream } = await open({ limits: { bufferBytesMax: 16 * 1024 * 1024 } });
    upstream.socket.pause();
    upstream.end();
    client.socket.write(big);
    client.end();
    await settled();
    upstream.socket.resume();
    await upstream.untilBytes(HELLO.length + big.length);
    expect(await upstream.over()).toBe('fin');
  });

  it('a reset of one side is a reset of the other', async () => {
    for (const first of ['client', 'upstream'] as const) {
      const { rig, client, upstream } = await open();
      if (first === 'client') client.reset();
      else upstream.reset();
      const how = first === 'client' ? await upstream.over() : (await client.over()).how;
      expect(how).toBe('reset');
      await rig.recorder.untilRecords(1);
      expect(rig.recorder.records).toHaveLength(1);
    }
  });

  it('is closed when nothing moves for streamIdleTimeoutMs', async () => {
    const { rig, client } = await open({ limits: { streamIdleTimeoutMs: 60_000 } });
    rig.time.advance(59_000);
    client.send('x');
    await (await rig.origin.connection()).untilBytes(HELLO.length + 1);
    rig.time.advance(59_000);
    expect(rig.recorder.records).toEqual([]);
    rig.time.advance(2_000);
    expect(await client.over()).toMatchObject({ how: 'reset' });
    expect(rig.recorder.summaries).toEqual(['error stream-idle-timeout 0 -']);
  });

  it('is not cut by requestTimeoutMs', async () => {
    const { rig, client, upstream } = await open({ limits: { requestTimeoutMs: 1_000 } });
    rig.time.advance(5_000);
    client.send('more');
    await upstream.until('more');
  });

  it('of an upstream that refuses is reset and recorded', async () => {
    const other = await startRig();
    const upstreamPort = other.origin.port;
    other.origin.stop();
    const rig = await startRig({ policy: API_ONLY, upstreamPort });
    const client = await rig.client();
    client.send(HELLO);
    expect(await client.over()).toEqual({ text: '', how: 'reset' });
    expect(await rig.recorder.untilRecords(1)).toMatchObject([
      { verdict: 'error', fault: 'connect-failed', responseSource: 'none', serverName: 'api.test' },
    ]);
    expect(rig.recorder.connects).toEqual(['failed']);
  });
});

describe('a TLS connection and a changed policy', () => {
  const changes: readonly [about: string, from: string, to: string, reason: string | null][] = [
    ['is kept while its name is allowed', API_ONLY, cnp(', serverNames: ["*.test"]'), null],
    [
      'is reset when its name no longer is',
      API_ONLY,
      cnp(', serverNames: [b.test]'),
      'sni-not-allowed',
    ],
    ['is reset when the port gets HTTP rules', L4_ONLY, allowHttp('*'), 'not-judgeable'],
  ];
  for (const [about, from, to, reason] of changes) {
    for (const name of ['api.test', '']) {
      if (name === '' && from === API_ONLY) continue;
      it(`${about} (server name "${name}")`, async () => {
        const { rig, client, upstream } = await open({ policy: from }, clientHello(name));
        rig.update(to);
        if (reason === null) {
          client.send('still here');
          await upstream.until('still here');
          expect(rig.recorder.records).toEqual([]);
          return;
        }
        expect(await client.over()).toMatchObject({ how: 'reset' });
        expect(await upstream.over()).toBe('reset');
        expect(rig.recorder.records).toMatchObject([
          { verdict: 'denied', fault: 'policy-changed', decision: { reason } },
        ]);
        expect(rig.recorder.closed).toEqual(['policy-changed']);
      });
    }
  }
});

async function open(options: RigOptions = {}, hello = HELLO) {
  const rig = await startRig({ policy: API_ONLY, ...options });
  const client = await rig.client();
  client.send(hello);
  const upstream = await rig.origin.connection();
  await upstream.untilBytes(hello.length);
  return { rig, client, upstream };
}
