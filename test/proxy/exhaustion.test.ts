/** When the system has nothing left to give: refused, not crashed. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { endOf } from '../support/end_of.ts';
import { closeRigs, startRig } from '../support/plane_rig.ts';
import { answerHeads, OK } from '../support/raw_origin.ts';

afterEach(() => {
  vi.restoreAllMocks();
  closeRigs();
});

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';

describe('no file descriptor is left', () => {
  it('memory that cannot be told counts as at its bound, until it can be told again', async () => {
    const rig = await startRig({ script: answerHeads });
    const rss = vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
      throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    });
    rig.time.advance(200);
    expect((await endOf(rig.port)).text).toMatch(/^HTTP\/1\.1 503 /);
    rss.mockRestore();
    rig.time.advance(200);
    const client = await rig.client();
    client.send(GET);
    expect(await client.until('ok')).toBe(OK);
    expect(rig.recorder.summaries).toEqual(['error overloaded 503 -', 'forwarded allowed 200 /a']);
  });
});

describe('there is no /proc to tell memory', () => {
  it('and requests are served', async () => {
    const rig = await startRig({ script: answerHeads });
    vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
      throw Object.assign(new Error('no such file or directory'), { code: 'ENOENT' });
    });
    rig.time.advance(200);
    const client = await rig.client();
    client.send(GET);
    expect(await client.until('ok')).toBe(OK);
  });
});
