/** Gives an order to a process of its own and waits for its figures. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ALLOCATION_FLAGS } from './allocation.ts';
import type { GroupFigures, GroupOrder } from './group_main.ts';

const GROUP_MAIN = fileURLToPath(new URL('./group_main.ts', import.meta.url));
const TIMEOUT_MS = 120_000;
/** As a worker has them (src/workers/process_worker.ts). */
const WORKER_FLAGS = ['--expose-gc', '--max-semi-space-size=8', '--no-parallel-scavenge'];

const run = promisify(execFile);

export async function measureTimes(order: Omit<GroupOrder, 'allocating'>): Promise<GroupFigures> {
  return measure(WORKER_FLAGS, { ...order, allocating: [] });
}

export async function measureBytes(
  order: Pick<GroupOrder, 'group' | 'warm' | 'times' | 'allocating'>,
): Promise<GroupFigures> {
  return measure(ALLOCATION_FLAGS, { ...order, pairs: [], rounds: 0 });
}

async function measure(flags: readonly string[], order: GroupOrder): Promise<GroupFigures> {
  const args = [...flags, GROUP_MAIN, JSON.stringify(order)];
  const { stdout } = await run(process.execPath, args, {
    timeout: TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
  });
  return JSON.parse(stdout) as GroupFigures;
}
