/** Whatever a connection makes a worker keep is held against its client once the memory is short. */
import { afterEach, expect, it, vi } from 'vitest';
import { CLIENT_PREFACE } from '../../../src/codec/http2/frame.ts';
import { headers, POST, SETTINGS_ACK, settings } from '../../codec/http2/wire.ts';
import { clientHello } from '../../support/client_hello.ts';
import { closeRigs, cnp, type RigOptions, startRig } from '../../support/plane_rig.ts';
import { answerHeads } from '../../support/raw_origin.ts';
import { RETRY, record } from '../../support/tls_records.ts';

afterEach(() => {
  vi.restoreAllMocks();
  closeRigs();
});

const MIB = 1024 * 1024;
const FILLER = 'x'.repeat(12_000);
const START = 'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n';
const HELLO = clientHello('api.test');
const silent: RigOptions = { script: () => {} };

/** What is sent, in one piece a step; each must leave more than 8 KiB here. */
const CASES: readonly {
  readonly about: string;
  readonly state: 'spare' | 'busy';
  readonly steps: readonly (string | Buffer)[];
  readonly options?: RigOptions;
}[] = [
  { about: 'half a head', state: 'spare', steps: ['GET /a HTTP/1.1\r\nx: ', FILLER] },
  {
    about: 'a head whose response takes its time',
    state: 'busy',
    steps: [`GET /a HTTP/1.1\r\nhost: x\r\nx: ${FILLER}\r\n\r\n`],
    options: silent,
  },
  {
    about: 'half of the trailers',
    state: 'busy',
    steps: [START, '0\r\nx: ', FILLER],
    options: { ...silent, limits: { trailerBytesMax: 64 * 1024 } },
  },
  {
    about: 'requests behind the one that waits',
    state: 'busy',
    steps: ['GET /a HTTP/1.1\r\nhost: x\r\n\r\n', `GET /b HTTP/1.1\r\nx: ${FILLER}`],
    options: silent,
  },
  {
    about: 'half a head of its upstream',
    state: 'busy',
    steps: ['GET /a HTTP/1.1\r\nhost: x\r\n\r\n'],
    options: { script: (connection) => connection.send(`HTTP/1.1 200 OK\r\nx: ${FILLER}`) },
  },
  {
    about: 'half a HEADERS frame',
    state: 'spare',
    steps: [
      Buffer.concat([CLIENT_PREFACE, settings(), SETTINGS_ACK]),
      frameStart(1, 16_000),
      FILLER,
    ],
  },
  {
    about: 'a header block without its end',
    state: 'spare',
    steps: [
      Buffer.concat([CLIENT_PREFACE, settings(), SETTINGS_ACK]),
      headers(1, [...POST, 'x-filler', FILLER], 0),
    ],
  },
  {
    about: 'half of a second ClientHello',
    state: 'busy',
    steps: [HELLO, record(22, Buffer.concat([Buffer.from([1, 0, 0x40, 0]), Buffer.alloc(12_000)]))],
    options: {
      policy: cnp(', serverNames: [api.test]'),
      script: (connection) => connection.send(RETRY),
    },
  },
];

it.each(CASES)('$about', async ({ state, steps, options }) => {
  const limits = { memoryBytesMax: 64 * MIB, ...options?.limits };
  const rig = await startRig({ script: answerHeads, ...options, limits });
  const client = await rig.client();
  for (const step of steps) {
    client.send(typeof step === 'string' ? Buffer.from(step, 'latin1') : step);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const rss = vi.spyOn(process.memoryUsage, 'rss').mockReturnValue(60 * MIB);
  await vi.waitFor(() => {
    rig.time.advance(100);
    expect(rig.recorder.evictions).toEqual([`memory ${state}`]);
  }, 8_000);
  rss.mockReturnValue(10 * MIB);
  await client.over();
});

/** The header of a HEADERS frame of stream 1. */
function frameStart(type: number, length: number): Buffer {
  return Buffer.from([0, length >> 8, length & 0xff, type, 0x4, 0, 0, 0, 1]);
}
