/** The startup probe of the loader: the proxy that starts after it can open the maps. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from './tools.ts';

const PROBE = join(ROOT, 'deploy/image/datapath-ready');

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-datapath-ready-'));
  writeFileSync(join(folder, 'manifest.json'), '{\n  "layoutVersion": 7\n}\n');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('sallyport-datapath-ready', () => {
  it.each([
    { maps: 'are not there', layout: null, mode: 0, isReady: false },
    { maps: 'are of another layout', layout: 6, mode: 0o660, isReady: false },
    { maps: 'are pinned, and still root’s alone', layout: 7, mode: 0o600, isReady: false },
    { maps: 'are the proxy’s, too', layout: 7, mode: 0o660, isReady: true },
  ])('is $isReady when the maps $maps', ({ layout, mode, isReady }) => {
    if (layout !== null) {
      const maps = join(folder, `v${layout}/maps`);
      mkdirSync(maps, { recursive: true });
      writeFileSync(join(maps, 'listeners'), '');
      chmodSync(join(maps, 'listeners'), mode);
    }
    const { status } = spawnSync('sh', [PROBE, folder, join(folder, 'manifest.json')]);
    expect(status === 0).toBe(isReady);
  });
});
