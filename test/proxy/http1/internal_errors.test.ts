/** A fault of ours ends the connection that it happens on, lets nothing through, and is recorded. */
import { afterEach, describe, expect, it } from 'vitest';
import { closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import { answerHeads, OK } from '../../support/raw_origin.ts';

afterEach(closeRigs);

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const BUG = new Error('a bug');

/** A rig whose snapshot cannot be read while `isBroken`. */
async function breakable(): Promise<{ rig: Rig; setBroken: (isBroken: boolean) => void }> {
  let isBroken = false;
  const rig = await startRig({
    script: answerHeads,
    currentSnapshot: (real) => {
      if (isBroken) throw BUG;
      return real();
    },
  });
  const setBroken = (next: boolean): void => {
    isBroken = next;
  };
  return { rig, setBroken };
}

describe('an exception', () => {
  it('at accept: that connection ends, the next one is served', async () => {
    const { rig, setBroken } = await breakable();
    setBroken(true);
    const client = await rig.client();
    expect((await client.over()).text).toBe('');
    setBroken(false);
    await served(rig);
    expect(rig.takeInternalErrors()).toEqual([BUG]);
  });

  it.each([
    ['in the first request of a connection', '', GET],
    ['in a later request', GET, GET],
    ['in a pipelined request', '', GET + GET],
  ])('%s: nothing more goes upstream, one record, others are served', async (_, first, broken) => {
    const { rig, setBroken } = await breakable();
    const client = await rig.client();
    if (first !== '') {
      client.send(first);
      await client.until('ok');
    }
    await rig.recorder.untilOpened(1);
    setBroken(true);
    client.send(broken);
    await client.over();
    setBroken(false);
    expect(rig.origin.received).toBe(first);
    expect(rig.takeInternalErrors()).toEqual([BUG]);
    const [last] = rig.recorder.summaries.slice(first === '' ? 0 : 1);
    expect(last).toMatch(/^error internal-error 0 /);
    expect(rig.recorder.records).toHaveLength(first === '' ? 1 : 2);
    expect(rig.plane.connectionCount).toBe(0);
    await served(rig);
  });

  it('while held requests are read: one record of that request', async () => {
    const rig = await startRig({
      currentSnapshot: (real) => {
        if (rig.recorder.records.length === 1) throw BUG;
        return real();
      },
    });
    const client = await rig.client();
    client.send(GET + GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    origin.send(OK);
    await client.over();
    expect(rig.origin.received).toBe(GET);
    expect(rig.recorder.summaries).toEqual([
      'forwarded allowed 200 /a',
      'error internal-error 0 /a',
    ]);
    expect(rig.takeInternalErrors()).toEqual([BUG]);
  });

  it('while bytes of the upstream are handled: both sides are closed, the process goes on', async () => {
    const rig = await startRig();
    const client = await rig.client();
    client.send(GET);
    const origin = await rig.origin.connection();
    await origin.until('\r\n\r\n');
    rig.time.clock.nowMs = () => {
      rig.time.clock.nowMs = () => 20_000;
      throw BUG;
    };
    origin.send(OK);
    await client.over();
    expect(await origin.over()).toBe('reset');
    expect(rig.recorder.summaries).toEqual(['error internal-error 0 /a']);
    expect(rig.takeInternalErrors()).toEqual([BUG]);
  });
});

async function served(rig: Rig): Promise<void> {
  const client = await rig.client();
  client.send(GET);
  await client.until('ok');
}
