/** Who is who in a running proxy: told to workers without another set, also to those that start later. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ENDPOINTS, get, Scratch } from './running.ts';

/** A remote that no rule is about has its connection reset. */
const RESET = 0;
const PATIENT = { timeout: 20_000, interval: 20 };
/** The client has the labels of the other endpoint, which the policy does not name. */
const OTHERS = ENDPOINTS.replace('app: client', 'app: api');

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  await scratch.dispose();
});

describe('who is who', () => {
  it('changes in all workers, those that start again included, without another set', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    const statuses = async (): Promise<readonly number[]> => {
      const replies = await Promise.all(Array.from({ length: 12 }, () => get(port, '/ok')));
      return [...new Set(replies.map(({ status }) => status))];
    };
    expect(await statuses()).toEqual([200]);
    scratch.write('endpoints.yaml', OTHERS);
    await expect.poll(statuses, PATIENT).toEqual([RESET]);
    const ready = await proxy.message('ready');
    process.kill(Number((ready['worker_pids'] as readonly number[])[0]), 'SIGKILL');
    await proxy.message('worker restarted');
    expect(await statuses()).toEqual([RESET]);
    scratch.write('endpoints.yaml', ENDPOINTS);
    await expect.poll(statuses, PATIENT).toEqual([200]);
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
    const reasons = new Set(proxy.lines().flatMap((line) => line['reason'] ?? []));
    expect([...reasons]).toEqual(['remote-not-allowed']);
    const sets = proxy.lines().filter((line) => line['msg'] === 'policy in force');
    expect(sets.map((line) => line['revision'])).toEqual([1]);
  });

  it('goes with the next set when rules have changed, too', async () => {
    const config = scratch.config({ upstream: await scratch.origin() });
    const proxy = scratch.run(['run', '-c', config]);
    const port = await proxy.port();
    scratch.write(
      'endpoints.yaml',
      `${ENDPOINTS}  - { name: default/new, ip: 10.0.0.9, labels: { app: new } }\n`,
    );
    await proxy.line((line) => line['msg'] === 'policy in force' && line['revision'] === 2);
    scratch.write('endpoints.yaml', OTHERS);
    await expect.poll(async () => (await get(port, '/ok')).status, PATIENT).toBe(RESET);
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
  });
});
