/** The time of day may jump: what waits, times out or is given at a rate goes by a clock that does not. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { get, policyOf, Scratch } from './running.ts';

const HOUR_MS = 3_600_000;
const PATIENT = { timeout: 20_000, interval: 50 };

/** In each process: SIGUSR2 makes the time of day jump, and a file of its own tells that it did. */
const JUMP = (byMs: number, folder: string): string => `
import { writeFileSync } from 'node:fs';
const now = Date.now;
process.on('SIGUSR2', () => {
  Date.now = () => now() + ${byMs};
  writeFileSync(${JSON.stringify(folder)} + '/jumped-' + process.pid, '');
});
`;

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  await scratch.dispose();
});

it.each([
  ['back', -HOUR_MS],
  ['on', HOUR_MS],
])('an hour %s changes nothing but the times in the log', async (_name, byMs) => {
  const preload = scratch.write('jump.mjs', JUMP(byMs, scratch.dir));
  const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
  const proxy = scratch.run(['run', '-c', config], {
    NODE_OPTIONS: `--import=${preload}`,
    SALLYPORT_LIMITS_DENIAL_LINES_PER_SECOND: '5',
    SALLYPORT_LIMITS_DENIAL_LINE_BURST_COUNT: '1',
    SALLYPORT_LIMITS_WORKER_SILENCE_TIMEOUT_MS: '1000',
    SALLYPORT_LIMITS_WORKER_HEARTBEAT_INTERVAL_MS: '100',
  });
  const denials = (): number => proxy.lines().filter(({ verdict }) => verdict === 'denied').length;
  const port = await proxy.port();
  const ready = await proxy.message('ready');
  const pids = [proxy.child.pid ?? 0, ...(ready['worker_pids'] as readonly number[])];
  await expect.poll(() => deniedOnce(port).then(denials), PATIENT).toBeGreaterThan(1);
  for (const pid of pids) process.kill(pid, 'SIGUSR2');
  await expect.poll(() => pids.filter((pid) => !scratch.has(`jumped-${pid}`)), PATIENT).toEqual([]);
  // Lines of denials go on at their rate, from both workers.
  const before = denials();
  await expect.poll(() => deniedOnce(port).then(denials), PATIENT).toBeGreaterThan(before + 10);
  // So do the looks at the files.
  scratch.write('policies/api.yaml', policyOf('/new'));
  await proxy.line(({ msg, revision }) => msg === 'policy in force' && revision === 2);
  expect((await get(port, '/new')).status).toBe(200);
  proxy.signal('SIGTERM');
  expect(await proxy.ended).toBe(0);
  expect(proxy.lines().filter(({ level }) => level === 'error')).toEqual([]);
});

async function deniedOnce(port: number): Promise<void> {
  expect((await get(port, '/no')).status).toBe(403);
}
