/** The end of an upstream connection, whatever state it is in. */

import { describe, expect, it } from 'vitest';
import { PLAIN_SOCKETS } from '../../../src/platform/sockets.ts';
import { ReadMemory } from '../../../src/proxy/plane/memory/read_memory.ts';
import { UpstreamLink } from '../../../src/proxy/transport/upstream_link.ts';
import { meta } from '../../observe/records.ts';
import { guardTelling } from '../../support/guard_telling.ts';
import { permitFor } from '../../support/permits.ts';
import { address } from '../../support/plane_rig.ts';
import { RawOrigin } from '../../support/raw_origin.ts';

describe('an upstream connection that is ended', () => {
  for (const how of ['reset', 'destroy'] as const) {
    it(`by ${how} before it is connected sends nothing and is gone at once`, async () => {
      const origin = await RawOrigin.start();
      const told: string[] = [];
      const link = open(origin.port, told);
      link.socket.write(Buffer.from('GET /secret HTTP/1.1\r\n\r\n'));
      link[how]();
      expect(link.socket.destroyed).toBe(true);
      // One that comes later is served later: what was sent before would be here by then.
      const later = open(origin.port, []);
      later.socket.write(Buffer.from('later'));
      const last = await origin.connection(0);
      await Promise.race([
        last.until('later'),
        origin.connection(1).then((it) => it.until('later')),
      ]);
      expect(origin.received).toBe('later');
      expect(told).toEqual([]);
      later.destroy();
      origin.stop();
    });

    it(`by ${how} when it is connected: the upstream is told how`, async () => {
      const origin = await RawOrigin.start();
      const told: string[] = [];
      const link = open(origin.port, told);
      link.socket.write(Buffer.from('x'));
      const upstream = await origin.connection();
      await upstream.until('x');
      link[how]();
      expect(await upstream.over()).toBe(how === 'reset' ? 'reset' : 'fin');
      expect(told).toEqual(['connected']);
      origin.stop();
    });
  }

  it('an exception of its owner is told to the owner, once for each, and goes no further', async () => {
    const origin = await RawOrigin.start((connection) => connection.send('y'));
    const told: unknown[] = [];
    const link = open(origin.port, told, () => {
      throw new Error('made to fail');
    });
    link.socket.write(Buffer.from('x'));
    await (await origin.connection()).until('x');
    while (!told.some((it) => it instanceof Error)) await new Promise(setImmediate);
    expect(told).toMatchObject(['connected', { message: 'made to fail' }]);
    link.destroy();
    origin.stop();
  });
});

/** Any object: who it is counts. */
const POLICY = {};

function open(port: number, told: unknown[], onData: () => void = () => {}): UpstreamLink {
  const connection = meta({ upstream: address(`127.0.0.1:${port}`) });
  return new UpstreamLink(permitFor(connection, POLICY), connection, {
    currentSnapshot: () => POLICY,
    sockets: PLAIN_SOCKETS,
    nowMs: 0,
    bufferBytesMax: 65_536,
    readMemory: new ReadMemory(65_536, null),
    guard: guardTelling((error) => told.push(error)),
    events: {
      onUpstreamConnected: () => told.push('connected'),
      onUpstreamData: onData,
      onUpstreamDrain: () => {},
      onUpstreamEnd: () => told.push('end'),
      onUpstreamFailed: () => told.push('failed'),
    },
  });
}
