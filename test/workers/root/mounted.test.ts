/** `bin/sallyport run` in a mount namespace of its own: a log on a file system without room, and no /proc. */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { endsWell, LogScene, linesOf, logConfig, requestsIn } from '../log_scene.ts';
import { get, ROOT, type Sallyport, Scratch } from '../running.ts';

const SMALL = { SALLYPORT_LIMITS_ACCESS_LOG_BUFFER_BYTES_MAX: '16384' };
const BIN = join(ROOT, 'bin/sallyport');

let scratch: Scratch;

beforeEach(() => {
  scratch = new Scratch();
});

afterEach(async () => {
  await scratch.dispose();
});

describe('an access log on a full file system', () => {
  it('costs lines, which are counted, until there is room again', async () => {
    const folder = join(scratch.dir, 'small');
    mkdirSync(folder);
    const log = join(folder, 'access.log');
    const config = logConfig(scratch, { upstream: await scratch.origin(), log });
    const proxy = inMounts(
      [
        `mount -t tmpfs -o size=128k tmpfs ${folder}`,
        `head -c 100000 /dev/zero >${folder}/filler`,
        `exec ${BIN} run -c ${config}`,
      ],
      SMALL,
    );
    const scene = new LogScene(scratch, await proxy.port());
    const seen = `/proc/${proxy.child.pid}/root${folder}`;
    const lineCount = (): number =>
      requestsIn(linesOf(readFileSync(`${seen}/access.log`, 'latin1'))).length;
    await scene.sendUntilDropped();
    // The first of them may be on their way.
    await until(() => lineCount() > 0);
    rmSync(`${seen}/filler`);
    await scene.allAccountedFor(lineCount);
    const dropped = await scene.droppedCount();
    await scene.send(5);
    await scene.allAccountedFor(lineCount);
    expect(await scene.droppedCount()).toBe(dropped);
    await endsWell(proxy);
  });
});

describe('without /proc', () => {
  it('it starts, serves, and ends', async () => {
    const config = scratch.config({ upstream: await scratch.origin(), more: 'workers: 2' });
    // A file system without anything stands in its place.
    const proxy = inMounts(['mount -t tmpfs tmpfs /proc', `exec ${BIN} run -c ${config}`]);
    const port = await proxy.port();
    expect(await get(port, '/ok')).toMatchObject({ status: 200 });
    expect(await get(port, '/no')).toMatchObject({ status: 403 });
    await endsWell(proxy);
    expect(proxy.stderr).toBe('');
  });
});

function inMounts(
  commands: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Sallyport {
  return scratch.run(['-m', '/bin/sh', '-c', commands.join(' && ')], env, 'unshare');
}
