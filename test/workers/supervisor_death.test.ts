/** No worker outlives its supervisor, whatever it is doing. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Scratch } from './running.ts';

/** In each worker: SIGUSR2 begins an endless loop, which a file tells of. */
const SPIN = (told: string): string => `
import { writeFileSync } from 'node:fs';
if (process.argv[1]?.includes('worker_main')) {
  process.on('SIGUSR2', () => {
    writeFileSync(${JSON.stringify(told)}, '');
    for (;;);
  });
}
`;
const PATIENT = { timeout: 20_000, interval: 20 };

let scratch: Scratch;
let pids: readonly number[] = [];

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  for (const pid of pids.filter(isRunning)) process.kill(pid, 'SIGKILL');
  await scratch.dispose();
});

it.each([
  ['an endless loop', 'SIGUSR2'],
  ['nothing at all (SIGSTOP)', 'SIGSTOP'],
] as const)('a worker that does %s ends when its supervisor is killed', async (_name, signal) => {
  const told = join(scratch.dir, 'spins');
  const preload = scratch.write('spin.mjs', SPIN(told));
  const config = scratch.config({ upstream: 1, more: 'workers: 2' });
  const proxy = scratch.run(['run', '-c', config], { NODE_OPTIONS: `--import=${preload}` });
  const ready = await proxy.message('ready');
  pids = ready['worker_pids'] as readonly number[];
  const [first = 0] = pids;
  process.kill(first, signal);
  if (signal === 'SIGUSR2') await expect.poll(() => existsSync(told), PATIENT).toBe(true);
  proxy.signal('SIGKILL');
  await expect.poll(() => pids.filter(isRunning), PATIENT).toEqual([]);
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
