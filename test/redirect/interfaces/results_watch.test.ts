/** Results are told of as they come, whatever becomes of their folder. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { watchResults } from '../../../src/redirect/interfaces/results_watch.ts';
import { until } from '../../support/until.ts';

let base: string;
let folder: string;
let news = 0;
let tick: () => void = () => {};
let stop: () => void = () => {};

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'sallyport-results-'));
  folder = join(base, 'results');
  news = 0;
});

afterEach(() => {
  stop();
  rmSync(base, { recursive: true, force: true });
});

function follow(): void {
  const every = (_intervalMs: number, task: () => void) => {
    tick = task;
    return () => {
      tick = () => {};
    };
  };
  const timers = { every, after: () => () => {} };
  stop = watchResults({ folder, timers, retryMs: 1 }, () => {
    news += 1;
  });
}

async function tells(change: () => void): Promise<void> {
  const before = news;
  change();
  await until(() => news > before);
}

const write = (name: string): void => writeFileSync(join(folder, name), '{}');

it('of a file that comes, changes and goes', async () => {
  mkdirSync(folder);
  follow();
  await tells(() => write('a'));
  await tells(() => writeFileSync(join(folder, 'a'), '{"ips":[]}'));
  await tells(() => rmSync(join(folder, 'a')));
});

it('of a folder that comes later, and of what is in it', async () => {
  follow();
  expect(news).toBe(0);
  mkdirSync(folder);
  await tells(() => tick());
  await tells(() => write('a'));
});

it('of a folder in the place of the former, and of what is in it', async () => {
  mkdirSync(folder);
  follow();
  renameSync(folder, join(base, 'former'));
  mkdirSync(folder);
  await tells(() => tick());
  await tells(() => write('a'));
});

it('of nothing any more when it has ended', async () => {
  mkdirSync(folder);
  follow();
  stop();
  const before = news;
  write('a');
  tick();
  // A watch of another would have told by now.
  const other = join(base, 'other');
  mkdirSync(other);
  const timers = { every: () => () => {}, after: () => () => {} };
  let isTold = false;
  const end = watchResults({ folder: other, timers, retryMs: 1 }, () => {
    isTold = true;
  });
  isTold = false;
  writeFileSync(join(other, 'b'), '{}');
  await until(() => isTold);
  end();
  expect(news).toBe(before);
});
