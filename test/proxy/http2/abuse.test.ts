/** Clients that cost more than they ask for: the connection ends with a GOAWAY, the proxy goes on. */
import { afterEach, describe, expect, it } from 'vitest';
import { Http2Client, Http2Origin } from '../../support/http2_peers.ts';
import {
  allowHttp,
  closeRigs,
  type Rig,
  type RigOptions,
  startRig,
} from '../../support/plane_rig.ts';
import { RawClient } from '../../support/raw_client.ts';
import { settled } from '../../support/settled.ts';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION] = [
  0, 1, 3, 4, 6, 7, 8, 9,
];
const END_STREAM = 1;
const END_HEADERS = 4;
/** GET http /a, authority "a": static entries, and two literals that are not indexed. */
const GET_A = Buffer.from([0x82, 0x86, 0x04, 2, 0x2f, 0x61, 0x01, 1, 0x61]);

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  closeRigs();
});

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

async function setUp(options: RigOptions = {}): Promise<{ rig: Rig; origin: Http2Origin }> {
  const origin = await Http2Origin.start();
  const rig = await startRig({
    policy: allowHttp('GET /a.*'),
    ...options,
    upstreamPort: origin.port,
  });
  cleanups.push(() => origin.stop());
  return { rig, origin };
}

async function greeted(rig: Rig, settings: Buffer = Buffer.alloc(0)): Promise<RawClient> {
  const client = await RawClient.open(rig.port);
  cleanups.push(() => client.close());
  client.send(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, settings)]));
  await client.untilBytes(9);
  return client;
}

/** The error code of the GOAWAY among what came, -1 when there is none. */
function goAwayCode(received: string): number {
  const bytes = Buffer.from(received, 'latin1');
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === GOAWAY) return bytes.readUInt32BE(at + 9 + 4);
  }
  return -1;
}

const ENHANCE_YOUR_CALM = 11;

const FLOODS: readonly [string, (n: number) => Buffer][] = [
  [
    'streams that are opened and reset at once',
    (n) =>
      Buffer.concat([
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, GET_A),
        frame(RST_STREAM, 0, 2 * n + 1, Buffer.from([0, 0, 0, 8])),
      ]),
  ],
  ['PINGs', () => frame(PING, 0, 0, Buffer.alloc(8))],
  ['SETTINGS', () => frame(SETTINGS, 0, 0, Buffer.alloc(0))],
  [
    'streams whose own error makes us reset them',
    (n) =>
      Buffer.concat([
        frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, GET_A),
        frame(WINDOW_UPDATE, 0, 2 * n + 1, Buffer.alloc(4)),
      ]),
  ],
  [
    'CONTINUATION without an end',
    (n) =>
      n === 0 ? frame(HEADERS, END_STREAM, 1, GET_A) : frame(CONTINUATION, 0, 1, Buffer.alloc(0)),
  ],
  [
    'empty DATA',
    (n) => (n === 0 ? frame(HEADERS, END_HEADERS, 1, GET_A) : frame(DATA, 0, 1, Buffer.alloc(0))),
  ],
];

describe('a flood ends the connection and nothing else', () => {
  it.each(FLOODS)('of %s', async (_, piece) => {
    const { rig } = await setUp();
    const good = new Http2Client(rig.port);
    cleanups.push(() => good.close());
    const client = await greeted(rig);
    for (let n = 0; n < 20_000 && !client.isEnded && !client.isClosed; n += 500) {
      client.send(Buffer.concat(Array.from({ length: 500 }, (_unused, i) => piece(n + i))));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { text } = await client.over();
    expect(goAwayCode(text)).toBe(ENHANCE_YOUR_CALM);
    expect(await good.ask({ ':path': '/a' })).toMatchObject({ status: 200 });
  });
});

describe('a head', () => {
  it('that drips in is cut headTimeoutMs after its first piece', async () => {
    const { rig } = await setUp({ limits: { headTimeoutMs: 1000 } });
    const client = await greeted(rig);
    client.send(frame(HEADERS, END_STREAM, 1, GET_A));
    for (let i = 0; i < 4 && !client.isEnded; i++) {
      await settled();
      rig.time.advance(300);
      client.send(frame(CONTINUATION, 0, 1, Buffer.from([0x00])).subarray(0, i === 0 ? 9 : 1));
    }
    await settled();
    rig.time.advance(300);
    const { text } = await client.over();
    expect(goAwayCode(text)).toBeGreaterThan(0);
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ fault: 'head-timeout' });
  });

  it('that says little and means much is refused, and the origin does not see it', async () => {
    const { rig, origin } = await setUp();
    const client = await greeted(rig);
    const value = Buffer.alloc(4000, 'v');
    const length = Buffer.from([0x7f, ...varint(value.length - 127)]);
    // Indexed once, then named 4,000 times by one byte: 16 MB of fields in 8 KB.
    const bomb = Buffer.concat([
      GET_A,
      Buffer.from([0x40, 1, 0x78]),
      length,
      value,
      Buffer.alloc(4000, 0x80 | 62),
    ]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb));
    const [record] = await rig.recorder.untilRecords(1);
    expect(record).toMatchObject({ fault: 'head-too-large' });
    expect(origin.seen).toHaveLength(0);
  });
});

function varint(n: number): number[] {
  const bytes: number[] = [];
  let left = n;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  return [...bytes, left];
}
