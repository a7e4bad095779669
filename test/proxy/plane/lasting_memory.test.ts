/** What lasts (a request that waits, a tunnel, bytes that nobody reads) keeps no memory of what passes beside it. */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Http1RequestHead } from '../../../src/codec/http1/request_head.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { Http1Relay } from '../../../src/proxy/http1/relay.ts';
import { Tunnel } from '../../../src/proxy/transport/tunnel.ts';
import { collectGarbage } from '../../support/collect_garbage.ts';
import { guardTelling } from '../../support/guard_telling.ts';
import { closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import { OK, type OriginConnection } from '../../support/raw_origin.ts';

afterEach(() => {
  vi.restoreAllMocks();
  closeRigs();
});

const COUNT = 100;
const KIB = 1024;
const SLAB_BYTES = 16 * KIB;
const PASSING = `GET /a HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(3_000)}\r\n\r\n`;
const PASSING_COUNT = 6;
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n';

describe('a connection keeps little for', () => {
  it.each([
    ['a request that waits for its answer', 'GET /wait HTTP/1.1\r\nhost: x\r\n\r\n'],
    [
      'a tunnel',
      'GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
    ],
  ])('%s, whatever passes on others', async (_, request) => {
    const rig = await startRig({ script: answer });
    const passing = await rig.client();
    await passBy(rig, passing);
    await collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < COUNT; n++) {
      const client = await rig.client();
      client.send(request);
      await (await rig.origin.connection(n + 1)).until('\r\n\r\n');
      if (request.includes('/ws')) await client.until('101');
      await passBy(rig, passing);
    }
    rig.time.advance(DEFAULT_LIMITS.sweepIntervalMs);
    rig.recorder.records.length = 0;
    await collectGarbage();
    const kept = process.memoryUsage().arrayBuffers - before;
    expect(rig.plane.connectionCount).toBe(COUNT + 1);
    expect(kept / COUNT).toBeLessThan(2 * KIB);
  });

  it('a head: the sweep asks for it, and looking at time-outs changes nothing', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send('GET /wait HTTP/1.1\r\nhost: x\r\n\r\n');
    await (await rig.origin.connection()).until('\r\n\r\n');
    const keepAs = vi.spyOn(Http1RequestHead.prototype, 'keepAs');
    const lasted = vi.spyOn(Http1Relay.prototype, 'lasted').mockImplementation(() => {});
    rig.time.advance(DEFAULT_LIMITS.sweepIntervalMs);
    expect([lasted.mock.calls.length, keepAs.mock.calls.length]).toEqual([1, 0]);
    lasted.mockRestore();
    rig.time.advance(DEFAULT_LIMITS.sweepIntervalMs);
    expect(keepAs).toHaveBeenCalledTimes(1);
  });

  it('chunks of a tunnel that nobody reads', () => {
    const waiting: Buffer[] = [];
    const slow = new Socket({ highWaterMark: 1_000_000 } as object);
    slow._write = () => {};
    const write = slow.write.bind(slow);
    slow.write = (chunk: Buffer) => {
      waiting.push(chunk);
      return write(chunk);
    };
    const tunnel = new Tunnel(slow, slow, {
      events: { onEnd: () => {}, onBytes: () => {} },
      guard: guardTelling(() => {}),
    });
    for (let n = 0; n < COUNT; n++) {
      tunnel.fromDownstream(Buffer.alloc(SLAB_BYTES).subarray(0, 10));
      tunnel.fromUpstream(Buffer.alloc(SLAB_BYTES).subarray(0, 10));
    }
    const kept = waiting.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
    expect(waiting).toHaveLength(2 * COUNT);
    expect(kept).toBeLessThan(2 * SLAB_BYTES);
  });
});

function answer(connection: OriginConnection, chunk: string): void {
  if (chunk.startsWith('GET /ws ')) connection.send(SWITCHED);
  else if (chunk.endsWith('\r\n\r\n') && !chunk.startsWith('GET /wait ')) connection.send(OK);
}

/** A slab of requests and of answers to them. */
async function passBy(rig: Rig, client: Awaited<ReturnType<Rig['client']>>): Promise<void> {
  for (let n = 0; n < PASSING_COUNT; n++) {
    client.received = '';
    client.send(PASSING);
    await client.until('ok');
  }
  for (const connection of rig.origin.connections) connection.received = '';
}
