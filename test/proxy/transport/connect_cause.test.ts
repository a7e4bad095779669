/** Why an upstream could not be reached, as the system says it, is on record whichever protocol asked. */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { DETAILS } from '../../../src/model/fault_detail.ts';
import { PLAIN_SOCKETS, type Sockets } from '../../../src/platform/sockets.ts';
import { connectCause } from '../../../src/proxy/transport/connect_cause.ts';
import { GET, headers } from '../../codec/http2/wire.ts';
import { clientHello } from '../../support/client_hello.ts';
import { wireClient } from '../../support/http2_wire_peers.ts';
import { closeRigs, cnp, type Rig, startRig } from '../../support/plane_rig.ts';
import { ReadableLines } from '../../support/readable_lines.ts';

afterEach(closeRigs);

const CODES: readonly [code: string | undefined, detail: string][] = [
  ['ECONNREFUSED', 'tcp-refused'],
  ['EHOSTUNREACH', 'tcp-unreachable'],
  ['ENETUNREACH', 'tcp-unreachable'],
  ['EHOSTDOWN', 'tcp-unreachable'],
  ['ENETDOWN', 'tcp-unreachable'],
  ['ETIMEDOUT', 'tcp-timed-out'],
  ['ECONNRESET', 'tcp-reset'],
  ['EPERM', 'tcp-forbidden'],
  ['EACCES', 'tcp-forbidden'],
  ['EADDRNOTAVAIL', 'tcp-no-local-port'],
  ['EADDRINUSE', 'tcp-no-local-port'],
  ['EMFILE', 'tcp-no-descriptor'],
  ['ENFILE', 'tcp-no-descriptor'],
  ['EINVAL', 'tcp-other'],
  [undefined, 'tcp-other'],
];

const ASKS: Readonly<Record<string, (rig: Rig) => Promise<unknown>>> = {
  'HTTP/1.1': async (rig) => (await rig.client()).send('GET / HTTP/1.1\r\nhost: a\r\n\r\n'),
  'HTTP/2': async (rig) => (await wireClient(rig)).send(headers(1, GET)),
  TLS: async (rig) => (await rig.client()).send(clientHello('a.test')),
};

/** Connects to nobody: the system says `code`. */
function failingWith(code: string): Sockets {
  return {
    ...PLAIN_SOCKETS,
    connect: () => {
      const socket = new Socket();
      socket.destroy(Object.assign(new Error(code), { code }));
      return socket;
    },
  };
}

describe('the cause of a connection that was not made', () => {
  it.each(CODES)('%s is %s', (code, detail) => {
    const cause = connectCause(code);
    expect([cause.detail, cause.fault]).toEqual([detail, 'connect-failed']);
  });

  it('every word of the vocabulary has a case', () => {
    const words = Object.keys(DETAILS).filter((one) => one.startsWith('tcp-'));
    expect([...new Set(CODES.map(([, detail]) => detail))].sort()).toEqual(words.sort());
  });

  describe.each(Object.entries(ASKS))('%s', (_, ask) => {
    it.each(['EHOSTUNREACH', 'ETIMEDOUT', 'EMFILE'])(
      '%s: on record and in the log',
      async (code) => {
        const rig = await startRig({ policy: cnp(''), sockets: failingWith(code) });
        await ask(rig);
        await isOnRecord(rig, connectCause(code).detail);
      },
    );

    it('really refused: on record and in the log', async () => {
      await isOnRecord(await refusing(ask), 'tcp-refused');
    });
  });
});

async function refusing(ask: (rig: Rig) => Promise<unknown>): Promise<Rig> {
  const rig = await startRig({ policy: cnp(''), upstreamPort: 1 });
  await ask(rig);
  return rig;
}

async function isOnRecord(rig: Rig, detail: string): Promise<void> {
  const [record] = await rig.recorder.untilRecords(1);
  if (record === undefined) throw new Error('no record');
  expect([record.fault, record.cause?.detail]).toEqual(['connect-failed', detail]);
  const line = new ReadableLines({ headers: [], isQueryLogged: false }).text(record);
  expect(JSON.parse(line)).toMatchObject({ fault: 'connect-failed', blame: 'upstream', detail });
}
