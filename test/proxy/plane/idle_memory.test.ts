/** What an idle connection holds on to: nothing of what has passed through it. */
import { afterEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../support/collect_garbage.ts';
import { closeRigs, startRig } from '../../support/plane_rig.ts';

afterEach(closeRigs);

const COUNT = 100;
const SIZE = 60_000;
const KIB = 1024;
const CONTENT = 'x'.repeat(SIZE);

describe('an idle connection', () => {
  const cases: readonly [about: string, request: string, response: string][] = [
    [
      'content of the request by length',
      `POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${SIZE}\r\n\r\n${CONTENT}`,
      'HTTP/1.1 204 No Content\r\n\r\n',
    ],
    [
      'content of the request by chunks',
      `POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n${SIZE.toString(16)}\r\n${CONTENT}\r\n0\r\n\r\n`,
      'HTTP/1.1 204 No Content\r\n\r\n',
    ],
    [
      'content of the response',
      'GET /a HTTP/1.1\r\nhost: x\r\n\r\n',
      `HTTP/1.1 200 OK\r\ncontent-length: ${SIZE}\r\n\r\n${CONTENT}`,
    ],
    [
      'a large head',
      `GET /a HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(SIZE)}\r\n\r\n`,
      `HTTP/1.1 204 No Content\r\nx: ${'y'.repeat(SIZE - 1_000)}\r\n\r\n`,
    ],
  ];
  for (const [about, request, response] of cases) {
    it(`keeps no ${about}`, async () => {
      const rig = await startRig({
        isOriginKeeping: false,
        script: (connection) => {
          if (connection.receivedBytes >= request.length) connection.send(response);
        },
      });
      await collectGarbage();
      const before = process.memoryUsage().arrayBuffers;
      for (let i = 0; i < COUNT; i++) {
        const client = await rig.client({ isKeeping: false });
        client.send(request);
        await client.untilBytes(response.length);
      }
      await rig.recorder.untilRecords(COUNT);
      // Records name heads; a recorder that keeps them is not the connection's doing.
      rig.recorder.records.length = 0;
      await collectGarbage();
      const held = process.memoryUsage().arrayBuffers - before;
      expect(rig.plane.connectionCount).toBe(COUNT);
      expect(held / COUNT).toBeLessThan(8 * KIB);
    });
  }
});
