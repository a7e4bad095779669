/** The memory of reads that are over is asked back, by how much was read on either side. */
import { afterEach, describe, expect, it } from 'vitest';
import { ManualPlatform } from '../../support/manual_platform.ts';
import { closeRigs, startRig } from '../../support/plane_rig.ts';
import { OK } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const MIB = 1024 * 1024;
const SIZE = 4 * MIB;

describe('the memory of reads', () => {
  it('is released once for every readMemoryBytesMax, of requests and of responses', async () => {
    let releases = 0;
    const { clock, timers, soon } = new ManualPlatform();
    const rig = await startRig({
      platform: {
        clock,
        timers,
        soon,
        memory: {
          releaseYoung: () => releases++,
          releaseAll: () => {},
          giveBack: () => {},
          heapBytes: () => 0,
        },
      },
      limits: { readMemoryBytesMax: MIB },
      isOriginKeeping: false,
    });
    const client = await rig.client({ isKeeping: false });
    client.send(`POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${SIZE}\r\n\r\n`);
    client.send(Buffer.alloc(SIZE, 'x'));
    const upstream = await rig.origin.connection();
    await upstream.untilBytes(SIZE);
    // A read goes past the mark by up to its own length.
    expect(releases).toBeGreaterThanOrEqual(3);
    expect(releases).toBeLessThanOrEqual(4);
    upstream.send(OK.replace('content-length: 2', `content-length: ${SIZE}`).slice(0, -2));
    upstream.send(Buffer.alloc(SIZE, 'y'));
    await client.untilBytes(SIZE);
    expect(releases).toBeGreaterThanOrEqual(6);
    expect(releases).toBeLessThanOrEqual(9);
  });
});
