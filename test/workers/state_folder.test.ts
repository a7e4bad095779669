/** One proxy keeps its last good set in a state folder; the one that replaces it beside it takes over. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { get, policyOf, type Sallyport, Scratch } from './running.ts';

const PATIENT = { timeout: 20_000, interval: 20 };

let scratch: Scratch;
let state: string;

beforeEach(() => {
  scratch = new Scratch();
  state = join(scratch.dir, 'state');
});

afterEach(async () => {
  await scratch.dispose();
});

describe('a state folder that another proxy uses', () => {
  it('is a start that fails and says so, until that one has ended, however it did', async () => {
    const first = started();
    await first.port();
    await kept('/ok');
    const second = started();
    expect(await second.ended).toBe(1);
    expect(second.stderr).toBe(
      `sallyport: stateDir ${state}: another proxy uses it; give each a folder of its own\n`,
    );
    first.signal('SIGKILL');
    await first.ended;
    const third = started();
    expect(await get(await third.port(), '/ok')).toMatchObject({ status: 503 });
    third.signal('SIGTERM');
    expect(await third.ended).toBe(0);
  });

  it('is not written by a proxy beside the one that it replaces before that one has ended', async () => {
    const port = await freePort();
    const first = started(`127.0.0.1:${port}`);
    await first.port();
    await kept('/ok');
    const { mtimeMs } = statSync(lastGood());
    scratch.write('policies/api.yaml', policyOf('/new'));
    first.signal('SIGSTOP');
    const second = started(`127.0.0.1:${port}`);
    await second.message('ready');
    expect(statSync(lastGood()).mtimeMs).toBe(mtimeMs);
    first.signal('SIGCONT');
    first.signal('SIGTERM');
    expect(await first.ended).toBe(0);
    await kept('/new');
    scratch.write('policies/api.yaml', policyOf('/newest'));
    await kept('/newest');
    second.signal('SIGTERM');
    expect(await second.ended).toBe(0);
  });
});

describe('a state folder that cannot be used', () => {
  it.each([
    ['lies where nothing can be made', () => '/proc/self/fdinfo/a/b'],
    ['others can write', () => shared()],
  ])('since it %s stops no start: it is told, and nothing is kept', async (_name, folder) => {
    state = folder();
    const proxy = started();
    await proxy.message('ready');
    expect(await proxy.message('state folder: it cannot be locked')).toHaveProperty('problem');
    await proxy.message('the last good policy set could not be kept');
    proxy.signal('SIGTERM');
    expect(await proxy.ended).toBe(0);
  });
});

function shared(): string {
  const folder = join(scratch.dir, 'shared');
  mkdirSync(join(folder, 'proxy'), { recursive: true });
  chmodSync(join(folder, 'proxy'), 0o777);
  return folder;
}

function started(address?: string): Sallyport {
  const more = `workers: 1\nstateDir: ${state}`;
  const config = scratch.config({
    upstream: 1,
    more,
    ...(address === undefined ? {} : { address }),
  });
  if (address !== undefined) {
    scratch.write('config.yaml', `${readFileSync(config, 'utf8')}    reusePort: true\n`);
  }
  return scratch.run(['run', '-c', config]);
}

function lastGood(): string {
  return join(state, 'proxy/last-good');
}

async function kept(path: string): Promise<void> {
  const text = (): string => (existsSync(lastGood()) ? readFileSync(lastGood(), 'utf8') : '');
  await expect.poll(text, PATIENT).toContain(`path: ${path} `);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
