/** How slowly the content of a request may come at HTTP/2: the rules of HTTP/1.1 (content_pace.test.ts). */
import { afterEach, describe, expect, it } from 'vitest';
import type { Limits } from '../../../src/model/limits.ts';
import { data, frame, headers, OK, POST, windowUpdate } from '../../codec/http2/wire.ts';
import { END, INITIAL_WINDOW } from '../../support/http2_frames.ts';
import {
  untilEach,
  untilFrames,
  wireClient,
  wireUpstream,
} from '../../support/http2_wire_peers.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import type { OriginConnection } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const OPEN = 0x4;
const LIMITS: Partial<Limits> = {
  bodyTimeoutMs: 2000,
  bodyBytesPerSecondMin: 100,
  streamIdleTimeoutMs: 30_000,
};
const GRPC = [...POST, 'content-type', 'application/grpc', 'te', 'trailers'];

interface Begun {
  readonly rig: Rig;
  readonly client: RawClient;
  readonly upstream: OriginConnection;
}

/** One byte of an upload is through, unless the upstream takes none. */
async function begun(
  options: { readonly head?: readonly string[]; readonly windowBytes?: number } = {},
): Promise<Begun> {
  const { head = POST, windowBytes = 65_535 } = options;
  const rig = await startRig({ policy: allowHttp('* /'), limits: LIMITS });
  const client = await wireClient(rig);
  client.send(headers(1, head, OPEN));
  const upstream = await wireUpstream(rig, { entries: [[INITIAL_WINDOW, windowBytes]] });
  await untilEach(upstream, 'HEADERS 1');
  client.send(data(1, 'a'));
  if (windowBytes > 0) await untilEach(upstream, 'DATA 1 a');
  // Its byte is read once what follows it is answered.
  client.send(frame(0x6, 0, 0, Buffer.alloc(8)));
  await untilFrames(client, (frames) => frames.some((one) => one.startsWith('PING')));
  return { rig, client, upstream };
}

/** Time passes, in steps in which the sweep looks at it. */
function pass(rig: Rig, ms: number): void {
  for (let left = ms; left > 0; left -= 100) rig.time.advance(Math.min(left, 100));
}

async function answered({ rig, client, upstream }: Begun, head = 'DATA 1 x end'): Promise<void> {
  upstream.send(Buffer.concat([headers(1, OK, OPEN), data(1, 'x', END)]));
  await untilEach(client, head);
  await rig.recorder.untilRecords(1);
  expect(rig.recorder.summaries).toEqual(['forwarded allowed 200 /']);
}

describe('an upload', () => {
  it('that pauses before any response: 408, and the client is to blame', async () => {
    const { rig, client, upstream } = await begun();
    pass(rig, 1900);
    expect(rig.recorder.summaries).toEqual([]);
    pass(rig, 300);
    const got = await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    expect(got).toContain('DATA 1 Request Timeout\r\n end');
    await untilEach(upstream, 'RST_STREAM 1 CANCEL');
    expect(rig.recorder.summaries).toEqual(['error body-timeout 408 /']);
    // The others live.
    client.send(headers(3, POST));
    await untilEach(upstream, 'HEADERS 3 end');
  });

  it('that drips: 408, though it never pauses for as long', async () => {
    const { rig, client, upstream } = await begun();
    let sent = 1;
    for (; rig.recorder.records.length === 0 && sent < 20; sent++) {
      client.send(data(1, `${sent}`));
      await untilEach(upstream, `DATA 1 ${sent}`);
      pass(rig, 500);
    }
    await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    expect(rig.recorder.summaries).toEqual(['error body-timeout 408 /']);
    expect(sent).toBeLessThan(8);
  });

  it('that pauses while its response flows is not cut, until nothing has moved for streamIdleTimeoutMs', async () => {
    const { rig, client, upstream } = await begun();
    upstream.send(headers(1, OK, OPEN));
    await untilEach(client, 'HEADERS 1');
    for (let i = 0; i < 3; i++) {
      pass(rig, 20_000);
      upstream.send(data(1, `${i}`));
      await untilEach(client, `DATA 1 ${i}`);
    }
    pass(rig, 29_000);
    expect(rig.recorder.summaries).toEqual([]);
    pass(rig, 1100);
    await untilEach(client, 'RST_STREAM 1 INTERNAL_ERROR');
    expect(rig.recorder.summaries).toEqual(['error stream-idle-timeout 200 /']);
  });

  it('that waits for the upstream to read is not late, however long', async () => {
    const one = await begun({ windowBytes: 0 });
    pass(one.rig, 20_000);
    one.upstream.send(windowUpdate(1, 100));
    await untilEach(one.upstream, 'DATA 1 a');
    pass(one.rig, 1500);
    one.client.send(data(1, 'b', END));
    await untilEach(one.upstream, 'DATA 1 b end');
    await answered(one);
  });

  it('that waits for 100 (Continue) is not late; when it is told to go on, it has bodyTimeoutMs', async () => {
    const rig = await startRig({ policy: allowHttp('* /'), limits: LIMITS });
    const client = await wireClient(rig);
    client.send(headers(1, [...POST, 'expect', '100-continue'], OPEN));
    const upstream = await wireUpstream(rig);
    await untilEach(upstream, 'HEADERS 1');
    pass(rig, 20_000);
    expect(rig.recorder.summaries).toEqual([]);
    upstream.send(headers(1, [':status', '100'], OPEN));
    await untilEach(client, 'HEADERS 1');
    pass(rig, 2200);
    await untilEach(client, 'RST_STREAM 1 NO_ERROR');
    expect(rig.recorder.summaries).toEqual(['error body-timeout 408 /']);
  });

  it('after it has sent much may pause for longer', async () => {
    const one = await begun();
    one.client.send(data(1, 'x'.repeat(800)));
    await untilEach(one.upstream, `DATA 1 ${'x'.repeat(800)}`);
    pass(one.rig, 9900);
    one.client.send(data(1, '', END));
    await untilEach(one.upstream, 'DATA 1  end');
    await answered(one);
  });

  it('of gRPC may take its time', async () => {
    const one = await begun({ head: GRPC });
    pass(one.rig, 20_000);
    one.client.send(data(1, '', END));
    await untilEach(one.upstream, 'DATA 1  end');
    await answered(one);
  });
});
