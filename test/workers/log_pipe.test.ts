/** `bin/sallyport run` with an access log that is a pipe: it serves on, counts what it drops, and goes on with a reader. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endsWell, LogScene, logConfig, PATIENT, PipeReader } from './log_scene.ts';
import { portOf, ROOT, Scratch } from './running.ts';

const SMALL = { SALLYPORT_LIMITS_ACCESS_LOG_BUFFER_BYTES_MAX: '16384' };

let scratch: Scratch;
let pipe: string;
const readers: PipeReader[] = [];

beforeEach(() => {
  scratch = new Scratch();
  pipe = join(scratch.dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
});

afterEach(async () => {
  for (const reader of readers.splice(0)) reader.close();
  await scratch.dispose();
});

describe('an access log that is a pipe', () => {
  it.each([1, 2])(
    'which nobody reads holds up nothing, and is read later (%d workers)',
    async (workers) => {
      const config = logConfig(scratch, { upstream: await scratch.origin(), log: pipe, workers });
      const proxy = scratch.run(['run', '-c', config], SMALL);
      const scene = new LogScene(scratch, await proxy.port());
      await scene.sendUntilDropped();
      const reader = reading();
      await scene.allAccountedFor(() => reader.requests().length);
      const dropped = await scene.droppedCount();
      await scene.send(5);
      await scene.allAccountedFor(() => reader.requests().length);
      expect(await scene.droppedCount()).toBe(dropped);
      await endsWell(proxy);
    },
  );

  it('whose reader goes away is read by the next one, whatever came in between', async () => {
    const config = logConfig(scratch, { upstream: await scratch.origin(), log: pipe });
    const proxy = scratch.run(['run', '-c', config]);
    const scene = new LogScene(scratch, await proxy.port());
    const first = reading();
    await scene.send(10);
    await scene.allAccountedFor(() => first.requests().length);
    readers.splice(0);
    first.close();
    await scene.send(10);
    proxy.signal('SIGUSR1');
    await scene.send(10);
    const next = reading();
    await scene.allAccountedFor(() => 10 + next.requests().length);
    expect(await scene.droppedCount()).toBe(0);
    await endsWell(proxy);
  });
});

describe('standard output that is a pipe', () => {
  it('whose reader goes away costs lines, which are counted, until there is another', async () => {
    const config = logConfig(scratch, { upstream: await scratch.origin(), log: 'stdout' });
    const first = reading();
    const command = `exec ${join(ROOT, 'bin/sallyport')} run -c ${config} >${pipe}`;
    const proxy = scratch.run(['-c', command], SMALL, '/bin/sh');
    await expect.poll(() => first.messages().map(({ msg }) => msg), PATIENT).toContain('ready');
    const ready = first.messages().find(({ msg }) => msg === 'ready');
    const scene = new LogScene(scratch, portOf(ready ?? {}));
    await scene.send(10);
    await scene.allAccountedFor(() => first.requests().length);
    readers.splice(0);
    first.close();
    await scene.sendUntilDropped();
    const next = reading();
    await scene.send(10);
    await scene.allAccountedFor(() => 10 + next.requests().length);
    expect(next.requests().length).toBeGreaterThanOrEqual(10);
    await endsWell(proxy);
  });
});

function reading(): PipeReader {
  const reader = new PipeReader(pipe);
  readers.push(reader);
  return reader;
}
