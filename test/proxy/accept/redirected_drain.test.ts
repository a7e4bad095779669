/** A proxy that is replaced: what the kernel has handed it already is served, and its clients move on. */
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { PLAIN_SOCKETS, type Sockets } from '../../../src/platform/sockets.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import { answerHeads } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const LINGER_MS = 300;

/** As the redirect's, but for the rights that those need. */
const SOCKETS: Sockets = {
  listen: (server, options) => PLAIN_SOCKETS.listen(server, { ...options, isTransparent: false }),
  connect: (target, options) => PLAIN_SOCKETS.connect(target, { ...options, sender: null }),
};

describe('a transparent listener that is drained', () => {
  it('accepts and serves for a moment, each response the last on its connection', async () => {
    const rig = await start();
    const early = await rig.client();
    early.send(GET);
    await early.until('ok');
    const drained = rig.plane.drain();
    early.send(GET);
    expect((await early.over()).text.toLowerCase()).toContain('connection: close');
    const late = await rig.exchange(GET);
    expect(late.text).toContain('200');
    expect(late.text.toLowerCase()).toContain('connection: close');
    rig.time.advance(LINGER_MS);
    await drained;
    expect(await isRefused(rig.port)).toBe(true);
    expect(rig.recorder.summaries).toEqual(Array(3).fill('forwarded allowed 200 /a'));
  });

  it('is cut at the deadline of the drain, lingering or not', async () => {
    const rig = await start({ drainTimeoutMs: 100 });
    const client = await rig.client();
    client.send('GET /a HTTP/1.1\r\nhost: x\r\n');
    await rig.recorder.untilOpened(1);
    const drained = rig.plane.drain();
    rig.time.advance(100);
    await client.over();
    await drained;
  });
});

it('a listener of this machine’s own closes at once', async () => {
  const rig = await startRig({ script: answerHeads, policy: allowHttp('GET /a') });
  const drained = rig.plane.drain();
  expect(await isRefused(rig.port)).toBe(true);
  await drained;
});

function start(limits: { readonly drainTimeoutMs?: number } = {}): Promise<Rig> {
  return startRig({
    script: answerHeads,
    policy: allowHttp('GET /a'),
    sockets: SOCKETS,
    limits: { listenerLingerMs: LINGER_MS, ...limits },
    listener: { isTransparent: true },
  });
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', () => resolve(true));
  });
}
