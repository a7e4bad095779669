/** A changed policy meets connections that are open; a drain ends them in order. */
import { afterEach, describe, expect, it } from 'vitest';
import { endOf } from '../support/end_of.ts';
import { allowHttp, closeRigs, cnp, type RigOptions, startRig } from '../support/plane_rig.ts';
import { answerHeads, OK } from '../support/raw_origin.ts';
import { settled } from '../support/settled.ts';

afterEach(closeRigs);

const GET_A = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const GET_B = 'GET /b HTTP/1.1\r\nhost: x\r\n\r\n';
const POST = 'POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n';
const NOBODY = cnp('', { from: 'fromEndpoints: [{ matchLabels: { app: other } }]' });

describe('a changed policy', () => {
  it('is met by the next request on a live connection', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    rig.update(allowHttp('GET /b'));
    client.send(GET_A + GET_B);
    await client.until('ok', 2);
    expect(rig.recorder.records.map(({ policyRevision }) => policyRevision)).toEqual([1, 2, 2]);
    expect(rig.recorder.summaries).toEqual([
      'forwarded allowed 200 /a',
      'denied no-http-rule-matched 403 /a',
      'forwarded allowed 200 /b',
    ]);
    expect(rig.origin.received).toBe(GET_A + GET_B);
  });

  it('is met by requests that were pipelined under the one before', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a') });
    const client = await rig.client();
    client.send(GET_A + GET_A);
    const upstream = await rig.origin.connection();
    await upstream.until(GET_A);
    rig.update(allowHttp('GET /b'));
    upstream.send(OK);
    await client.until('Access denied');
    expect(upstream.received).toBe(GET_A);
  });

  it('lets the request in flight end', async () => {
    const rig = await startRig({ policy: allowHttp('POST /a') });
    const client = await rig.client();
    client.send(`${POST}12`);
    const upstream = await rig.origin.connection();
    await upstream.until('12');
    rig.update(allowHttp('GET /b'));
    client.send('34');
    await upstream.until('1234');
    upstream.send(OK);
    expect(await client.until('ok')).toBe(OK);
  });

  it('that loses its HTTP rules or is gone lets nothing pass unjudged', async () => {
    for (const [policy, outcome] of [
      [cnp(''), 'forwarded allowed 200 /b'],
      [cnp(', rules: { http: [{ path: /c }] }'), 'denied no-http-rule-matched 403 /b'],
    ] as const) {
      const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
      const client = await rig.client();
      client.send(GET_A);
      await client.until('ok');
      rig.update(policy);
      client.send(GET_B);
      await rig.recorder.untilRecords(2);
      expect(rig.recorder.summaries[1]).toBe(outcome);
    }
  });

  const stages: readonly [about: string, sent: string, records: readonly string[]][] = [
    ['that is silent so far', '', ['denied remote-not-allowed 0 -']],
    ['in the middle of its first head', GET_A.slice(0, 10), ['denied policy-changed 0 -']],
    ['with a request in flight', GET_A, ['denied policy-changed 0 /a']],
    ['in the middle of content', `${POST}12`, ['denied policy-changed 0 /a']],
  ];
  for (const [about, sent, records] of stages) {
    it(`resets a connection that it no longer allows, one ${about}`, async () => {
      const rig = await startRig();
      const client = await rig.client();
      await rig.recorder.untilOpened(1);
      client.send(sent);
      const isForwarded = sent.includes('\r\n\r\n');
      if (isForwarded) await (await rig.origin.connection()).until(sent);
      else await settled();
      rig.update(NOBODY);
      expect(await client.over()).toEqual({ text: '', how: 'reset' });
      if (isForwarded) expect(await (await rig.origin.connection()).over()).toBe('reset');
      expect(rig.recorder.summaries).toEqual(records);
      expect(rig.recorder.records[0]?.decision?.reason).toBe('remote-not-allowed');
    });
  }

  it('resets an idle connection that it no longer allows, and records that', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    rig.update(NOBODY);
    expect(await client.over()).toEqual({ text: OK, how: 'reset' });
    expect(rig.recorder.summaries).toEqual([
      'forwarded allowed 200 /a',
      'denied policy-changed 0 -',
    ]);
    expect(rig.recorder.closed).toEqual(['policy-changed']);
    expect(await endOf(rig.port)).toEqual({ text: '', how: 'reset' });
  });

  it('closes nothing with --dry-run', async () => {
    const rig = await startRig({ script: answerHeads, behaviour: { isDryRun: true } });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    rig.update(NOBODY);
    client.send(GET_A);
    await client.until('ok', 2);
    expect(rig.recorder.records[1]).toMatchObject({
      isDryRun: true,
      decision: { verdict: 'deny', reason: 'remote-not-allowed' },
    });
  });

  it('never lets through what both policies deny, however often they are swapped', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), script: answerHeads });
    const client = await rig.client();
    let sent = 0;
    for (let round = 0; round < 60; round++) {
      client.send(`${GET_A}${GET_B}GET /never HTTP/1.1\r\nhost: x\r\n\r\n`);
      sent += 3;
      rig.update(round % 2 === 0 ? allowHttp('GET /b') : allowHttp('GET /a'));
      if (round % 7 === 0) await rig.recorder.untilRecords(sent);
    }
    const records = await rig.recorder.untilRecords(sent);
    expect(records).toHaveLength(sent);
    expect(rig.origin.received).not.toContain('/never');
    const forwarded = records.filter(({ verdict }) => verdict === 'forwarded').length;
    expect(rig.origin.received.split('GET /').length - 1).toBe(forwarded);
    expect(client.receivedBytes).toBeGreaterThan(0);
  });
});

describe('a drain', () => {
  it('stops accepting, closes idle connections and ends when none is left', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    const drained = rig.plane.drain();
    expect(await client.over()).toEqual({ text: OK, how: 'fin' });
    await drained;
    expect(rig.plane.connectionCount).toBe(0);
    expect(await endOf(rig.port)).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.closed).toEqual(['drained']);
    expect(rig.recorder.records).toHaveLength(1);
  });

  it('lets a response in flight end, and says that the connection closes', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET_A);
    const upstream = await rig.origin.connection();
    await upstream.until(GET_A);
    const drained = rig.plane.drain();
    upstream.send(OK);
    const { text, how } = await client.over();
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toContain('\r\nconnection: close\r\n');
    expect(text).toMatch(/ok$/);
    expect(how).toBe('fin');
    await drained;
  });

  it('takes a request whose head had begun, and closes after it', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    client.send(GET_A);
    await client.until('ok');
    client.send(GET_A.slice(0, 9));
    await settled();
    const drained = rig.plane.drain();
    client.send(GET_A.slice(9));
    const { text } = await client.over();
    expect(text.split('200 OK')).toHaveLength(3);
    expect(text).toContain('connection: close');
    await drained;
  });

  it('cuts what is still open after drainTimeoutMs; a tunnel too', async () => {
    const rig = await startRig({ limits: { drainTimeoutMs: 3_000 } });
    const client = await rig.client();
    client.send(GET_A);
    await (await rig.origin.connection()).until(GET_A);
    const drained = rig.plane.drain();
    rig.time.advance(2_900);
    expect(rig.plane.connectionCount).toBe(1);
    rig.time.advance(200);
    await drained;
    await client.over();
    expect(rig.plane.connectionCount).toBe(0);
    expect(rig.recorder.summaries).toEqual(['error draining 0 /a']);
  });
});

describe('a client that reads slowly', () => {
  const BIG = 8 * 1024 * 1024;
  const script: RigOptions['script'] = (connection) => {
    connection.send(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${BIG}\r\n\r\n`);
    connection.send(Buffer.alloc(BIG, 'x'));
  };

  it('gets its response to the last byte, also when the connection closes after it', async () => {
    // Much more is waiting in the proxy than a kernel takes when the exchange is over.
    const limits = { delayedCloseTimeoutMs: 100, bufferBytesMax: 2 * BIG };
    const rig = await startRig({ script, limits });
    const client = await rig.client({ isKeeping: false });
    client.socket.pause();
    client.send(GET_A);
    await rig.recorder.untilRecords(1);
    rig.time.advance(5_000);
    client.socket.resume();
    await client.over();
    expect(client.receivedBytes).toBeGreaterThan(BIG);
  });

  it('and stops reading is cut after streamIdleTimeoutMs', async () => {
    const rig = await startRig({ script, limits: { streamIdleTimeoutMs: 10_000 } });
    const client = await rig.client({ isReading: false });
    client.send(GET_A);
    await (await rig.origin.connection()).until(GET_A);
    await settled();
    rig.time.advance(9_000);
    expect(rig.plane.connectionCount).toBe(1);
    rig.time.advance(11_000);
    rig.time.advance(11_000);
    await rig.recorder.untilClosed(1);
    expect(rig.recorder.records).toMatchObject([{ fault: 'stream-idle-timeout' }]);
  });
});
