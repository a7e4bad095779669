/** A connection before its first request: who it is, what it speaks, and whether it may speak at all. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import { endOf } from '../../support/end_of.ts';
import { allowHttp, closeRigs, cnp, type RigOptions, startRig } from '../../support/plane_rig.ts';
import { answerHeads, OK } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const SNI_ONLY = cnp(', serverNames: [api.test]');
const STRANGER: RigOptions['listener'] = { identity: { kind: 'fixed', identity: 44 as Identity } };

describe('a connection that the policy refuses', () => {
  const cases: readonly [about: string, options: RigOptions, reason: string][] = [
    ['of an identity that no rule allows', { listener: STRANGER }, 'remote-not-allowed'],
    ['of an unknown identity', listenerOf(0), 'remote-not-allowed'],
    ['before any policy is known', { policy: '' }, 'no-policy'],
  ];
  for (const [about, options, reason] of cases) {
    it(`${about} is reset without a byte, before it has sent one`, async () => {
      const rig = await startRig(options);
      expect(await endOf(rig.port)).toEqual({ text: '', how: 'reset' });
      expect(rig.recorder.summaries).toEqual([`denied ${reason} 0 -`]);
      expect(rig.recorder.closed).toEqual(['denied']);
      expect(rig.origin.connections).toEqual([]);
    });
  }

  const needsServerName: readonly [about: string, bytes: string | Buffer][] = [
    ['plain HTTP', GET],
    ['HTTP/2', PREFACE],
    ['something else', '\x00\x01\x02'],
  ];
  for (const [about, bytes] of needsServerName) {
    it(`where a server name is demanded, ${about} is reset`, async () => {
      const rig = await startRig({ policy: SNI_ONLY });
      expect(await rig.exchange(bytes)).toEqual({ text: '', how: 'reset' });
      expect(rig.recorder.summaries).toEqual(['denied sni-not-allowed 0 -']);
      expect(rig.origin.connections).toEqual([]);
    });
  }
});

describe('what a connection speaks', () => {
  it('HTTP/1 is found one byte at a time', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    for (const char of `\r\n${GET}`) {
      client.send(char);
      await new Promise(setImmediate);
    }
    expect(await client.until('ok')).toBe(OK);
    expect(rig.origin.received).toBe(GET);
  });

  it('what nothing here can judge gets 400, and the upstream sees nothing', async () => {
    const rig = await startRig();
    const { text, how } = await rig.exchange('\x00\x01\x02');
    expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(text).toContain('\r\nconnection: close\r\n');
    expect(how).toBe('fin');
    expect(rig.recorder.summaries).toEqual(['error unknown-protocol 400 -']);
    expect(rig.origin.connections).toEqual([]);
  });

  it('one that brings nothing and goes is no request', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.end();
    await client.over();
    await rig.recorder.untilClosed(1);
    expect(rig.recorder.summaries).toEqual([]);
    expect(rig.recorder.closed).toEqual(['downstream-closed']);
  });

  it('one that goes in the middle of the preface is a record', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(PREFACE.slice(0, 10));
    client.end();
    await client.over();
    expect(rig.recorder.summaries).toEqual(['error downstream-closed 0 -']);
  });

  it('one that says nothing is closed after detectTimeoutMs', async () => {
    const rig = await startRig({ limits: { detectTimeoutMs: 5_000 } });
    const client = await rig.client();
    await rig.recorder.untilOpened(1);
    rig.time.advance(4_999);
    expect(rig.plane.connectionCount).toBe(1);
    rig.time.advance(200);
    await client.over();
    expect(rig.recorder.summaries).toEqual(['error detect-timeout 0 -']);
    expect(rig.recorder.closed).toEqual(['timeout']);
  });
});

describe('who is calling', () => {
  const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.7, labels: { app: api } }
  - { name: default/client, ip: 127.0.0.5, labels: { app: client } }
`;
  const byEndpoints: RigOptions = {
    endpoints: ENDPOINTS,
    script: answerHeads,
    listener: { identity: { kind: 'sources', sources: ['endpoints'] } },
  };

  it('is the owner of the source address', async () => {
    const rig = await startRig(byEndpoints);
    const client = await rig.client({ localAddress: '127.0.0.5' });
    client.send(GET);
    await client.until('ok');
    const [record] = rig.recorder.records;
    expect(record?.meta).toMatchObject({
      identitySource: 'endpoints',
      endpointIp: '10.0.0.7',
      port: 8080,
      source: { ip: '127.0.0.5' },
    });
  });

  it('is world when nobody knows the address, whatever the request says of it', async () => {
    const rig = await startRig(byEndpoints);
    const bytes = 'GET /a HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.5\r\n\r\n';
    expect(await endOf(rig.port, { localAddress: '127.0.0.6', bytes })).toEqual({
      text: '',
      how: 'reset',
    });
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      remoteIdentity: 2,
      identitySource: 'none',
    });
  });

  it('a forwarded address in a request changes nothing either for one who is known', async () => {
    const rig = await startRig({ ...byEndpoints, policy: allowHttp('GET /a') });
    const client = await rig.client({ localAddress: '127.0.0.5' });
    client.send('GET /a HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 9.9.9.9\r\n\r\n');
    await client.until('ok');
    expect(rig.recorder.records[0]?.meta.source.ip).toBe('127.0.0.5');
  });

  it('at egress the subject is the source and the remote is the destination', async () => {
    const policy = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: out, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress:
    - toEndpoints: [{ matchLabels: { app: api } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: /a }] } }]
`;
    const rig = await startRig({
      ...byEndpoints,
      policy,
      listener: {
        direction: 'egress',
        identity: { kind: 'sources', sources: ['endpoints'] },
      },
    });
    const client = await rig.client({ localAddress: '127.0.0.5' });
    client.send(GET);
    await client.until('ok');
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      direction: 'egress',
      endpointIp: '127.0.0.5',
      identitySource: 'endpoints',
    });
    const stranger = await endOf(rig.port, { localAddress: '127.0.0.6' });
    expect(stranger).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.summaries.at(-1)).toBe('denied no-policy 0 -');
  });
});

function listenerOf(identity: number): RigOptions {
  return { listener: { identity: { kind: 'fixed', identity: identity as Identity } } };
}
