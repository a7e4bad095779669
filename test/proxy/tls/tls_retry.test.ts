/** A server name that changes in the second ClientHello, and real handshakes with a HelloRetryRequest. */
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server } from 'node:tls';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { clientHello } from '../../support/client_hello.ts';
import { closeRigs, cnp, startRig } from '../../support/plane_rig.ts';
import type { OriginScript } from '../../support/raw_origin.ts';
import { RETRY, record, SERVER_HELLO } from '../../support/tls_records.ts';

const servers: Server[] = [];

afterEach(() => {
  closeRigs();
  for (const server of servers.splice(0)) server.close();
});

const API_ONLY = cnp(', serverNames: [api.test]');
const FIRST = clientHello('api.test');
const OTHER = clientHello('evil.test');
const CCS = record(20, Buffer.from([1]));

/** Asks once for another hello, as a server does that misses its group among the key shares. */
const retryOnce: OriginScript = (connection) => {
  connection.send(connection.receivedBytes === FIRST.length ? RETRY : SERVER_HELLO);
};

describe('after a HelloRetryRequest', () => {
  it('the same name goes on', async () => {
    const rig = await startRig({ policy: API_ONLY, script: retryOnce });
    const client = await rig.client();
    client.send(FIRST);
    await client.until(RETRY.toString('latin1'));
    client.send(Buffer.concat([CCS, FIRST]));
    expect(await client.until(SERVER_HELLO.toString('latin1'))).toContain('\x16');
    client.send('and on');
    const upstream = await rig.origin.connection();
    await upstream.until('and on');
    expect(upstream.received).toBe(
      Buffer.concat([FIRST, CCS, FIRST, Buffer.from('and on')]).toString('latin1'),
    );
  });

  const refused: readonly [about: string, hello: Buffer, fault: string][] = [
    ['another name', OTHER, 'server-name-changed'],
    ['no name', clientHello(''), 'server-name-changed'],
    [
      'a hello that cannot be read',
      record(22, Buffer.from([1, 0, 0, 0])),
      'malformed-client-hello',
    ],
  ];
  for (const [about, hello, fault] of refused) {
    it(`${about} is reset and recorded, and nothing of it goes upstream`, async () => {
      const rig = await startRig({ policy: API_ONLY, script: retryOnce });
      const client = await rig.client();
      client.send(FIRST);
      await client.until(RETRY.toString('latin1'));
      client.send(hello);
      expect((await client.over()).how).toBe('reset');
      const upstream = await rig.origin.connection();
      expect(await upstream.over()).toBe('reset');
      expect(upstream.received).toBe(FIRST.toString('latin1'));
      expect(rig.recorder.summaries).toEqual([`error ${fault} 0 -`]);
      const isUnreadable = fault === 'malformed-client-hello';
      expect(rig.recorder.records[0]?.cause?.detail).toBe(isUnreadable ? 'hello-form' : undefined);
    });
  }

  it('a hello of another name that does not wait for it is reset, too', async () => {
    const rig = await startRig({ policy: API_ONLY });
    const client = await rig.client();
    client.send(Buffer.concat([FIRST, CCS, OTHER]));
    expect((await client.over()).how).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['error server-name-changed 0 -']);
    for (const { received } of rig.origin.connections) {
      expect(received).not.toContain('evil.test');
    }
  });

  it('Node’s own client and server find their group in the second round', async () => {
    const key = Buffer.alloc(32, 7);
    const common = { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;
    const server = createServer(
      { ...common, ecdhCurve: 'P-384', pskCallback: () => key },
      (socket) => socket.end(`hello ${(socket as { servername?: string }).servername}`),
    );
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port: upstreamPort } = server.address() as AddressInfo;
    const rig = await startRig({ policy: API_ONLY, upstreamPort });
    const client = connect({
      ...common,
      port: rig.port,
      host: '127.0.0.1',
      servername: 'api.test',
      ecdhCurve: 'X25519:P-384',
      pskCallback: () => ({ psk: key, identity: 'x' }),
      checkServerIdentity: () => undefined,
    });
    let text = '';
    let group: unknown;
    for await (const chunk of client) {
      text += String(chunk);
      group = client.getEphemeralKeyInfo();
    }
    expect(text).toBe('hello api.test');
    expect(group).toMatchObject({ name: 'secp384r1' });
    const [seen] = await rig.recorder.untilRecords(1);
    expect(seen).toMatchObject({ verdict: 'forwarded', serverName: 'api.test', fault: null });
  });
});

describe('detectBytesMax', () => {
  it('is one bound, whatever the cuts: what fits passes, what does not is reset', async () => {
    const fits = record(22, helloOf(3000));
    const over = Buffer.concat([record(22, helloOf(3001))]);
    const limits = { detectBytesMax: fits.length };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 8 }),
        async (lengths) => {
          for (const hello of [fits, over]) {
            const rig = await startRig({ policy: API_ONLY, limits });
            const client = await rig.client();
            let at = 0;
            for (let i = 0; at < hello.length; i++) {
              const piece = hello.subarray(at, at + (lengths[i % lengths.length] as number));
              client.send(piece);
              at += piece.length;
              if (i % 8 === 0) await new Promise(setImmediate);
            }
            if (hello === fits) {
              await (await rig.origin.connection()).untilBytes(fits.length);
              expect(rig.recorder.summaries).toEqual([]);
            } else {
              expect((await client.over()).how).toBe('reset');
              expect(rig.recorder.summaries).toEqual(['error malformed-client-hello 0 -']);
              expect(rig.origin.connections).toEqual([]);
            }
            closeRigs();
          }
        },
      ),
      { numRuns: 10 },
    );
  });
});

/** The message of a hello for api.test with padding of so many bytes (RFC 7685). */
function helloOf(paddingBytes: number): Buffer {
  const message = FIRST.subarray(5);
  const extra = Buffer.concat([
    Buffer.from([0, 21, paddingBytes >> 8, paddingBytes & 0xff]),
    Buffer.alloc(paddingBytes),
  ]);
  const padded = Buffer.concat([message, extra]);
  // Of the extensions, then of the message: both are longer by the padding.
  const extensionsAt = 4 + 2 + 32 + 1 + 2 + 2 + 2;
  padded.writeUInt16BE(message.readUInt16BE(extensionsAt) + extra.length, extensionsAt);
  padded.writeUIntBE(padded.length - 4, 1, 3);
  return padded;
}
