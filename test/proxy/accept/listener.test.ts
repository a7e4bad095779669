/** Listeners: binding, and where a connection was going according to the redirect. */
import { createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import { OwnAddresses } from '../../../src/proxy/plane/own_addresses.ts';
import { endOf } from '../../support/end_of.ts';
import {
  address,
  allowHttp,
  closeRigs,
  ENDPOINTS,
  Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import { answerHeads, OK, RawOrigin } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const ON_ANY_PORT = allowHttp('GET /a').replace('"8080"', '"1", endPort: 65535');
const BY_ENDPOINTS = { kind: 'sources', sources: ['endpoints'] } as const;
const CLIENT_43 = { kind: 'fixed', identity: 43 as Identity } as const;

describe('binding', () => {
  it('tells the address with the port that was bound', async () => {
    const rig = await startRig({ listener: { name: 'front', address: address('[::1]:0') } });
    rig.plane.stop();
    const again = new Rig(rig.origin, { listener: { name: 'front', address: address('[::1]:0') } });
    const [bound] = await again.plane.start();
    expect(bound).toMatchObject({ name: 'front', address: { ip: '::1', family: 6 } });
    expect(bound?.address.port).toBeGreaterThan(0);
    again.plane.stop();
  });

  const failures: readonly [about: string, code: string, ip: string][] = [
    ['a port in use', 'EADDRINUSE', '127.0.0.1'],
    ['an address that is not ours', 'EADDRNOTAVAIL', '192.0.2.1'],
  ];
  for (const [about, code, ip] of failures) {
    it(`${about} rejects with ${code}, and nothing is left listening`, async () => {
      const taken = await listening();
      const origin = await RawOrigin.start();
      const rig = new Rig(origin, { listener: { address: address(`${ip}:${portOf(taken)}`) } });
      await expect(rig.start()).rejects.toMatchObject({ code });
      expect(rig.plane.connectionCount).toBe(0);
      rig.stop();
      taken.close();
    });
  }

  it('an accept for which nothing can be resolved ends that connection only', async () => {
    let isBroken = true;
    const rig = await startRig({
      script: answerHeads,
      currentSnapshot: (real) => {
        if (isBroken) throw new Error('made to fail');
        return real();
      },
    });
    expect(await endOf(rig.port)).toEqual({ text: '', how: 'reset' });
    expect(rig.takeInternalErrors()).toMatchObject([{ message: 'made to fail' }]);
    isBroken = false;
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
  });
});

describe('the original destination', () => {
  it('is the address that was connected to, with local-address', async () => {
    const rig = await startRig({
      endpoints: ENDPOINTS.replace('10.0.0.7', '127.0.0.1'),
      policy: ON_ANY_PORT,
      script: answerHeads,
      listener: { destination: { kind: 'local-address' } },
    });
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    expect(rig.recorder.records[0]?.meta).toMatchObject({
      endpointIp: '127.0.0.1',
      port: rig.port,
      destination: { ip: '127.0.0.1', port: rig.port },
    });
  });

  it('is where the upstream is, when the listener says so', async () => {
    const origin = await RawOrigin.start(answerHeads);
    const rig = await startRig({
      ...proxied(),
      endpoints: ENDPOINTS.replace('10.0.0.7', '127.0.0.1'),
      policy: ON_ANY_PORT,
      listener: { ...proxied().listener, upstream: { kind: 'original-destination' } },
    });
    const client = await rig.client();
    client.send(`PROXY TCP4 10.0.0.8 127.0.0.1 5000 ${origin.port}\r\n${GET}`);
    await client.until('ok');
    expect(origin.received).toBe(GET);
    expect(rig.origin.connections).toEqual([]);
    origin.stop();
  });
});

describe('a connection to the proxy itself', () => {
  const WILDCARD = { name: 'front', address: address('0.0.0.0:0') };
  const cases: readonly [about: string, bound: string, target: string][] = [
    ['by the address that is bound', '127.0.0.1:0', '127.0.0.1'],
    ['by the address that means this machine', '127.0.0.1:0', '0.0.0.0'],
    ['by an address of an interface, when all are bound', '0.0.0.0:0', '127.0.0.1'],
    ['by another loopback address, when all are bound', '0.0.0.0:0', '127.9.9.9'],
  ];
  it.each(cases)('%s goes nowhere', async (_, bound, target) => {
    const rig = await startRig({
      ...proxied(),
      endpoints: ENDPOINTS.replace('10.0.0.7', target),
      policy: ON_ANY_PORT,
      listener: {
        ...proxied().listener,
        address: address(bound),
        upstream: { kind: 'original-destination' },
      },
    });
    const header = `PROXY TCP4 10.0.0.8 ${target} 5000 ${rig.port}\r\n`;
    expect(await rig.exchange(header + GET)).toMatchObject({ how: 'reset', text: '' });
    expect(rig.recorder.records.map(({ fault }) => fault)).toEqual(['no-destination']);
  });

  it('directly, with local-address, goes nowhere', async () => {
    const rig = await startRig({
      endpoints: ENDPOINTS.replace('10.0.0.7', '127.0.0.1'),
      policy: ON_ANY_PORT,
      listener: {
        ...WILDCARD,
        destination: { kind: 'local-address' },
        upstream: { kind: 'original-destination' },
      },
    });
    expect(await rig.exchange(GET)).toMatchObject({ how: 'reset', text: '' });
    expect(rig.recorder.records.map(({ fault }) => fault)).toEqual(['no-destination']);
  });

  it('is none when only the port is the same', async () => {
    const own = new OwnAddresses();
    own.add(address('127.0.0.1:15006'));
    own.add(address('0.0.0.0:15007'));
    own.add(address('[::]:15008'));
    const isOwn = (text: string): boolean => own.has(address(text));
    expect(['10.0.0.7:15006', '10.255.255.7:15007', '127.0.0.1:15008'].map(isOwn)).toEqual([
      false,
      false,
      false,
    ]);
    expect(['127.0.0.1:15006', '127.0.0.2:15007', '[::1]:15008'].map(isOwn)).toEqual([
      true,
      true,
      true,
    ]);
  });
});

describe('PROXY protocol', () => {
  const V1 = 'PROXY TCP4 10.0.0.8 10.0.0.7 5000 8080\r\n';
  const V2 = `\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c${bytes(10, 0, 0, 8)}${bytes(10, 0, 0, 7)}${bytes(0x13, 0x88)}${bytes(0x1f, 0x90)}`;

  for (const [version, header] of Object.entries({ V1, V2 })) {
    it(`${version} says who calls whom; the header goes no further`, async () => {
      const rig = await startRig({ ...proxied(), script: answerHeads });
      const client = await rig.client();
      client.send(header + GET);
      expect(await client.until('ok')).toBe(OK);
      expect(rig.origin.received).toBe(GET);
      expect(rig.recorder.records[0]?.meta).toMatchObject({
        remoteIdentity: 43,
        identitySource: 'endpoints',
        endpointIp: '10.0.0.7',
        port: 8080,
        source: { ip: '10.0.0.8', port: 5000 },
      });
    });

    it(`${version} byte by byte`, async () => {
      const rig = await startRig({ ...proxied(), script: answerHeads });
      const client = await rig.client();
      for (const char of header + GET) {
        client.send(char);
        await new Promise(setImmediate);
      }
      expect(await client.until('ok')).toBe(OK);
      expect(rig.origin.received).toBe(GET);
    });
  }

  it('whom no rule allows is reset as soon as the header says who it is', async () => {
    const rig = await startRig(proxied());
    const end = await endOf(rig.port, { bytes: V1.replace('10.0.0.8', '10.0.0.9') });
    expect(end).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.summaries).toEqual(['denied remote-not-allowed 0 -']);
    expect(rig.recorder.records[0]?.meta.remoteIdentity).toBe(44);
  });

  it('is demanded of every connection: a request without it is reset and recorded', async () => {
    const rig = await startRig(proxied());
    expect(await endOf(rig.port, { bytes: GET })).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.summaries).toEqual(['error malformed-proxy-protocol 0 -']);
    expect(rig.recorder.records[0]?.cause?.detail).toBe('proxy-missing');
    expect(rig.origin.connections).toEqual([]);
  });

  it('a second header is not believed', async () => {
    const rig = await startRig({ ...proxied(), script: answerHeads });
    const client = await rig.client();
    client.send(V1 + V1 + GET);
    const { text } = await client.over();
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(rig.origin.received).toBe('');
  });

  it('is not read where the listener does not ask for it', async () => {
    const rig = await startRig({ script: answerHeads });
    const { text } = await rig.exchange(V1 + GET);
    expect(text).toMatch(/^HTTP\/1\.1 (400|505) /);
    expect(rig.origin.received).toBe('');
  });

  it('LOCAL has nowhere to go when the upstream is the original destination', async () => {
    const rig = await startRig({
      listener: { ...proxied().listener, upstream: { kind: 'original-destination' } },
    });
    const end = await endOf(rig.port, { bytes: 'PROXY UNKNOWN\r\n' });
    expect(end).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.summaries).toEqual(['error no-destination 0 -']);
  });

  it('is believed of trustedProxies only: anybody else is reset before a byte is read', async () => {
    const rig = await startRig({
      ...proxied(),
      script: answerHeads,
      listener: { ...proxied().listener, trustedProxies: ['127.0.0.8/30', '::1'] },
    });
    const stranger = await endOf(rig.port, { bytes: V1, localAddress: '127.0.0.12' });
    expect(stranger).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.summaries).toEqual(['error untrusted-proxy 0 -']);
    const trusted = await rig.client({ localAddress: '127.0.0.11' });
    trusted.send(`${V1}${GET}`);
    expect(await trusted.until('ok')).toBe(OK);
  });

  it('a header that does not come ends the connection after proxyProtocolTimeoutMs', async () => {
    const rig = await startRig({ ...proxied(), limits: { proxyProtocolTimeoutMs: 2_000 } });
    const client = await rig.client();
    client.send(V1.slice(0, 10));
    await rig.recorder.untilOpened(1);
    rig.time.advance(1_900);
    expect(rig.plane.connectionCount).toBe(1);
    rig.time.advance(200);
    await client.over();
    expect(rig.recorder.summaries).toEqual(['error proxy-protocol-timeout 0 -']);
  });
});

describe('bounds of a listener', () => {
  it('above connectionCountMax: 503 with retry-after and a close; others are unharmed', async () => {
    const rig = await startRig({ limits: { connectionCountMax: 2 }, script: answerHeads });
    const kept = [await rig.client(), await rig.client()];
    await rig.recorder.untilOpened(2);
    const { text, how } = await endOf(rig.port);
    expect(text).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/);
    expect(text).toContain('\r\nretry-after: 1\r\n');
    expect(text).toContain('\r\nconnection: close\r\n');
    expect(how).toBe('fin');
    expect(rig.recorder.summaries).toEqual(['error overloaded 503 -']);
    for (const client of kept) {
      client.send(GET);
      expect(await client.until('ok')).toBe(OK);
    }
    expect(rig.origin.connections).toHaveLength(2);
  });

  it('those that wait for their 503 to be read are bounded too', async () => {
    const rig = await startRig({ limits: { connectionCountMax: 2 } });
    for (let i = 0; i < 4; i++) await rig.client({ isReading: false });
    await rig.recorder.untilOpened(4);
    expect(await endOf(rig.port)).toEqual({ text: '', how: 'reset' });
    expect(rig.plane.connectionCount).toBe(4);
    expect(rig.recorder.summaries.at(-1)).toBe('error overloaded 0 -');
    rig.time.advance(2_000);
    await rig.recorder.untilRecords(3);
    expect(rig.recorder.closed.filter((cause) => cause === 'overloaded')).toHaveLength(3);
  });

  it('at memoryBytesMax new requests get 503, also on open connections', async () => {
    const rig = await startRig({
      limits: { memoryBytesMax: 1 },
      script: answerHeads,
      listener: { identity: CLIENT_43 },
    });
    const client = await rig.client();
    client.send(GET);
    await client.until('ok');
    rig.time.advance(200);
    client.send(GET);
    const { text } = await client.over();
    expect(text.slice(OK.length)).toMatch(/^HTTP\/1\.1 503 [\s\S]*retry-after: 1\r\n/);
    expect((await endOf(rig.port)).text).toMatch(/^HTTP\/1\.1 503 /);
    expect(rig.origin.received).toBe(GET);
  });
});

function proxied(): RigOptions {
  return { listener: { destination: { kind: 'proxy-protocol' }, identity: BY_ENDPOINTS } };
}

function bytes(...values: readonly number[]): string {
  return String.fromCharCode(...values);
}

function listening(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

function portOf(server: Server): number {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('not listening');
  return bound.port;
}
