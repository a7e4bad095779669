/** Clients and upstreams that take what they can get: memory stays bounded, others are unharmed. */
import { afterEach, describe, expect, it } from 'vitest';
import { Http1RequestHead } from '../../../src/codec/http1/request_head.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { allowHttp, closeRigs, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import { answerHeads, type OriginConnection } from '../../support/raw_origin.ts';
import { stalledAt } from '../../support/stalled_at.ts';

afterEach(closeRigs);

const MIB = 1024 * 1024;
const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const DENIED = 'GET /b HTTP/1.1\r\nhost: x\r\n\r\n';

describe('content without an end in sight', () => {
  const BYTES = 1024 * MIB;
  /** The process holds client, proxy and origin, and what the collector has not yet freed. */
  const GROWTH_BYTES_MAX = 150 * MIB;

  it('1 GiB from the client: the memory does not grow with it', async () => {
    const rig = await startRig({ isOriginKeeping: false, platform: nodePlatform() });
    const client = await rig.client();
    client.send(`POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${BYTES}\r\n\r\n`);
    const origin = await rig.origin.connection();
    const growth = await pump(client, BYTES);
    await origin.untilBytes(BYTES);
    expect(growth).toBeLessThan(GROWTH_BYTES_MAX);
    origin.send('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    await client.until('\r\n\r\n');
    expect(rig.recorder.records[0]?.bytesIn).toBe(origin.receivedBytes);
  });

  it('1 GiB from the upstream: the memory does not grow with it', async () => {
    const rig = await startRig({ platform: nodePlatform() });
    const client = await rig.client({ isKeeping: false });
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(`HTTP/1.1 200 OK\r\ncontent-length: ${BYTES}\r\n\r\n`);
    const growth = await pump(origin, BYTES);
    await client.untilBytes(BYTES);
    expect(growth).toBeLessThan(GROWTH_BYTES_MAX);
    await rig.recorder.untilRecords(1);
    expect(rig.recorder.records[0]?.bytesOut).toBeGreaterThan(BYTES);
  });

  it('a client that does not read: the upstream waits', async () => {
    const bytes = 64 * MIB;
    const rig = await startRig({ platform: nodePlatform() });
    const client = await rig.client({ isReading: false });
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(`HTTP/1.1 200 OK\r\ncontent-length: ${bytes}\r\n\r\n`);
    expect(await stalledAt(origin, bytes)).toBeLessThan(24 * MIB);
  });

  it('an upstream that does not read: the client waits', async () => {
    const rig = await startRig({ platform: nodePlatform() });
    const client = await rig.client();
    client.send(`POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${64 * MIB}\r\n\r\n`);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.socket.pause();
    expect(await stalledAt(client, 64 * MIB)).toBeLessThan(24 * MIB);
  });
});

describe('requests without an end', () => {
  /** What the two sockets' kernel buffers can take, and a little. */
  const REPLIED_BYTES_MAX = 16 * MIB;

  it.each([
    ['denied', DENIED],
    ['redirected', 'GET /a%2fb HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['answered by the upstream', GET],
  ])(
    '%s, of which no reply is read: they are not read on',
    async (_, request) => {
      const rig = await startRig({
        policy: allowHttp('GET /a'),
        script: answerHeads,
        limits: { bufferBytesMax: 4096 },
      });
      const client = await rig.client({ isReading: false });
      const sentBytes = await stalledAt(client, 64 * MIB, {
        block: Buffer.from(request.repeat(2000)),
        progress: () => rig.recorder.records.length,
      });
      expect(sentBytes).toBeLessThan(32 * MIB);
      const judged = rig.recorder.records.length;
      const repliedBytes = rig.recorder.records.reduce((sum, { bytesOut }) => sum + bytesOut, 0);
      expect(repliedBytes).toBeLessThan(REPLIED_BYTES_MAX);
      // A client that begins to read gets all of what it was owed, in order.
      client.socket.on('data', () => {});
      client.socket.resume();
      await rig.recorder.untilRecords(judged + 1000);
      // Hundreds of thousands of requests, on a machine that does other things.
    },
    120_000,
  );

  it('of which no reply is read and nothing moves: closed after streamIdleTimeoutMs', async () => {
    const rig = await startRig({ policy: allowHttp('GET /a'), limits: { bufferBytesMax: 4096 } });
    const client = await rig.client({ isReading: false });
    await stalledAt(client, 64 * MIB, {
      block: Buffer.from(DENIED.repeat(2000)),
      progress: () => rig.recorder.records.length,
    });
    rig.time.advance(299_000);
    expect(rig.recorder.closed).toEqual([]);
    rig.time.advance(2_000);
    expect(rig.recorder.closed).toEqual(['timeout']);
  });
});

describe('many short requests in one read', () => {
  it('share the memory that they were read into: no copy of the rest for each', async () => {
    const rig = await startRig({ script: answerHeads });
    const client = await rig.client();
    client.send(GET.repeat(1000));
    await client.until('ok', 1000);
    const memories = rig.recorder.records.map(({ head }) =>
      head instanceof Http1RequestHead ? head.raw.buffer : null,
    );
    expect(memories).toHaveLength(1000);
    expect(new Set(memories).size).toBeLessThan(50);
  });
});

describe('chunks without an end', () => {
  const HEAD = 'POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n';
  it.each([
    ['an extension', '1;', 'x', 'chunk-extension-too-long 413'],
    ['extensions', '', '1;xxxxxxxxxxxxxxxxxxxx=y\r\nA\r\n', 'chunk-extension-too-long 413'],
    ['leading zeros', '', '0', 'malformed-chunk 400'],
    ['trailers', '0\r\n', 'x: y\r\n', 'head-too-large 431'],
  ])('%s: an error long before the memory', async (_, first, repeated, fault) => {
    const rig = await startRig({ isOriginKeeping: false });
    const client = await rig.client();
    client.send(HEAD + first);
    for (let i = 0; i < 200 && !client.isEnded; i++) {
      client.send(repeated.repeat(100));
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.over()).text).toMatch(/^HTTP\/1\.1 4/);
    expect(rig.recorder.summaries).toEqual([`error ${fault} /a`]);
  });
});

describe('many', () => {
  it('1,000 idle connections cost little, and another is served', async () => {
    const rig = await startRig({ script: answerHeads });
    const before = process.memoryUsage.rss();
    const clients: RawClient[] = [];
    for (let i = 0; i < 20; i++) {
      clients.push(...(await Promise.all(Array.from({ length: 50 }, () => rig.client()))));
    }
    // Half of them say nothing, half of them stop in a head.
    clients.forEach((client, i) => {
      if (i % 2 === 0) client.send('GET /a HTTP/1.1\r\nhost:');
    });
    const other = await rig.client();
    other.send(GET);
    await other.until('ok');
    await rig.recorder.untilOpened(1001);
    expect(rig.plane.connectionCount).toBe(1001);
    expect(process.memoryUsage.rss() - before).toBeLessThan(150 * MIB);
    rig.time.advance(10_001);
    await rig.recorder.untilClosed(1000);
    other.send(GET);
    await other.until('ok', 2);
  });
});

/** Writes so many bytes as fast as they go; the most by which the process grew. */
async function pump(side: RawClient | OriginConnection, bytes: number): Promise<number> {
  const block = Buffer.alloc(256 * 1024, 'x');
  const before = process.memoryUsage.rss();
  let growth = 0;
  for (let sent = 0; sent < bytes; sent += block.length) {
    if (side.socket.write(block)) continue;
    await new Promise((resolve) => side.socket.once('drain', resolve));
    growth = Math.max(growth, process.memoryUsage.rss() - before);
  }
  return growth;
}
