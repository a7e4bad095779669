/** What one part demands of another: a breach throws, and is an internal error of the connection that it happens on. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Http2Connection } from '../../src/codec/http2/connection.ts';
import { NEED_MORE } from '../../src/codec/http2/event.ts';
import { StreamTable } from '../../src/codec/http2/stream_table.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { LineOutput } from '../../src/platform/line_output.ts';
import { Http1Upstream } from '../../src/proxy/http1/upstream.ts';
import type { Http2Exchange } from '../../src/proxy/http2/exchange.ts';
import { Http2Tally } from '../../src/proxy/http2/tally.ts';
import { GET, greetedServer, headers, POOL, settings } from '../codec/http2/wire.ts';
import { CountingRecorder } from '../support/counting_recorder.ts';
import { wireClient } from '../support/http2_wire_peers.ts';
import { ManualPlatform } from '../support/manual_platform.ts';
import { closeRigs, startRig } from '../support/plane_rig.ts';

afterEach(() => {
  vi.restoreAllMocks();
  closeRigs();
});

const BROKEN = /^a broken contract: /;

const BREACHES: readonly [contract: string, breach: () => void][] = [
  [
    'bytes are fed when those before are read',
    () => {
      const connection = greetedServer();
      connection.receive(settings(), 0);
      connection.receive(settings(), 0);
    },
  ],
  [
    'a stream is added once',
    () => {
      const table = new StreamTable<{ id: number }>();
      table.add({ id: 1 });
      table.add({ id: 1 });
    },
  ],
  [
    'a connection is over once',
    () => {
      const connection = new Http2Connection<Http2Exchange>({
        role: 'server',
        limits: DEFAULT_LIMITS,
        pool: POOL,
        isPathNormalised: true,
      });
      const tally = new Http2Tally(connection, { recorder: new CountingRecorder(), listener: 'a' });
      tally.over();
      tally.over();
    },
  ],
  [
    'lines are written when those before are',
    () => {
      const output = new LineOutput(0, {
        timers: new ManualPlatform().timers,
        onWritten: () => {},
        onError: () => {},
        onGone: () => {},
        system: { writev: () => {}, close: () => {} },
      });
      output.write([Buffer.from('one\n')]);
      output.write([Buffer.from('two\n')]);
    },
  ],
];

describe('a contract', () => {
  it.each(BREACHES)('%s', (contract, breach) => {
    expect(breach).toThrow(`a broken contract: ${contract}`);
  });

  it('that the HTTP/2 relay breaks: an internal error, both sides are closed', async () => {
    const rig = await startRig();
    const client = await wireClient(rig);
    client.send(headers(1, GET));
    const origin = await rig.origin.connection();
    await origin.until('PRI');
    vi.spyOn(Http2Connection.prototype, 'next').mockImplementationOnce(() => NEED_MORE);
    client.send(headers(3, GET));
    await expect.poll(() => vi.mocked(Http2Connection.prototype.next).mock.calls.length).toBe(1);
    client.send(headers(5, GET));
    await client.over();
    await origin.over();
    expect(rig.takeInternalErrors()).toMatchObject([{ message: expect.stringMatching(BROKEN) }]);
    expect(rig.recorder.summaries).toEqual(['error internal-error 0 /']);
  });

  it('that the HTTP/1.1 relay breaks: an internal error, nothing is sent', async () => {
    const rig = await startRig();
    vi.spyOn(Http1Upstream.prototype, 'isConnected', 'get').mockReturnValue(true);
    expect((await rig.exchange('GET / HTTP/1.1\r\nhost: a\r\n\r\n')).text).toMatch(/ 500 /);
    expect(rig.takeInternalErrors()).toMatchObject([{ message: expect.stringMatching(BROKEN) }]);
    expect(rig.origin.connections).toEqual([]);
  });
});
