/** A server that takes no question costs no more memory than its bound, however many the client has. */
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { PLAIN_SOCKETS } from '../../../src/platform/sockets.ts';
import { message, opt, option, question } from '../../support/dns_messages.ts';
import { closeDnsRigs, startDnsRig } from '../../support/dns_rig.ts';
import { until } from '../../support/until.ts';

afterEach(closeDnsRigs);

const API = question('api.example.com');

describe('a server that reads nothing', () => {
  /** Connected or not, it takes no byte. */
  class DeafServer extends Duplex {
    readonly connecting = true;
    override _read(): void {}
    override _write(): void {}
    resetAndDestroy(): void {
      this.destroy();
    }
  }

  it.each([true, false])('is not sent more than its bound: connected %s', async (isConnected) => {
    const servers: DeafServer[] = [];
    let mostUnsent = 0;
    const rig = await startDnsRig({
      limits: { dnsAnswerTimeoutMs: 1000, dnsTcpIdleTimeoutMs: 10_000_000, bufferBytesMax: 16_384 },
      sockets: {
        ...PLAIN_SOCKETS,
        connect: (_, { bufferBytesMax }) => {
          const server = new DeafServer({ highWaterMark: bufferBytesMax });
          if (isConnected) setImmediate(() => server.emit('connect'));
          servers.push(server);
          return server;
        },
      },
    });
    const client = await rig.tcp();
    const padding = option(12, Buffer.alloc(3000));
    const padded = message({ questions: [API], additional: [opt(1232, 0, padding)] });
    client.send(...Array.from({ length: 300 }, () => padded));
    const look = (): void => {
      const unsent = servers.map((server) => (server.destroyed ? 0 : server.writableLength));
      mostUnsent = Math.max(mostUnsent, ...unsent);
    };
    for (let asked = 0; rig.recorder.records.length < 300; asked = rig.recorder.records.length) {
      await until(() => {
        rig.time.advance(1001);
        look();
        return rig.recorder.records.length > asked;
      });
    }
    expect(mostUnsent).toBeLessThan(16_384 + 4096);
    expect(servers.every((server) => server.destroyed || server === servers.at(-1))).toBe(true);
  });
});
