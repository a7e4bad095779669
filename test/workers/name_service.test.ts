/** What the policy thread remembers of names, over its own end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NameMemory } from '../../src/control/source/files/name_memory.ts';
import { type IpAddress, parseIp } from '../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { NameCounts } from '../../src/model/name_counts.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { NameService } from '../../src/workers/name_service.ts';

const ADDRESS = parseIp('198.51.100.1') as IpAddress;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

let folder: string;
let nowMs: number;
let sweeps: (() => void)[];
let counts: NameCounts[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-names-'));
  nowMs = 0;
  sweeps = [];
  counts = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const memory = (): NameMemory =>
  new NameMemory({
    ...{ folder, name: 'proxy', isOurs: true },
    wallMs: () => nowMs,
    onError: (problem) => expect.fail(problem),
  });

function started(): NameService {
  sweeps = [];
  const platform = {
    clock: { nowMs: () => nowMs, wallMs: () => nowMs },
    timers: { every: (_ms: number, sweep: () => void) => sweeps.push(sweep) },
    soon: (task: () => void) => task(),
  } as unknown as Platform;
  const onCounts = (told: NameCounts): number => counts.push(told);
  const effects = { learn: () => null, onLearned: () => {}, onCounts };
  const addresses = { isOwnAddress: () => false, neverLearned: [] };
  return new NameService({
    ...{ ...effects, ...addresses, platform },
    ...{ limits: DEFAULT_LIMITS, memory: memory() },
  });
}

function pass(ms: number): void {
  for (const endMs = nowMs + ms; nowMs < endMs; ) {
    nowMs += 5000;
    for (const sweep of sweeps) sweep();
  }
}

const kept = (service: NameService): readonly string[] =>
  Array.from(service.learning.entries(), ({ address }) => address.text);

it('an address stays for its open connections also when the thread is killed, and not for longer', () => {
  const taught = { name: 'api.', holder: 'shop/web', addresses: [ADDRESS], ttlSeconds: 60 };
  memory().append([{ ...taught, atMs: 0 }]);
  const first = started();
  while (nowMs < HOUR_MS) {
    pass(15_000);
    first.markAlive([ADDRESS.text]);
  }
  pass(15_000);
  const second = started();
  expect(kept(second)).toEqual([ADDRESS.text]);
  pass(2 * MINUTE_MS);
  expect(kept(second)).toEqual([]);
  expect(kept(started())).toEqual([]);
});

it('what is not in use has its time, before the end of the thread and behind it', () => {
  const taught = { name: 'api.', holder: 'shop/web', addresses: [ADDRESS], ttlSeconds: 60 };
  memory().append([{ ...taught, atMs: 0 }]);
  started();
  pass(MINUTE_MS);
  const second = started();
  expect(kept(second)).toEqual([ADDRESS.text]);
  pass(MINUTE_MS);
  expect(kept(second)).toEqual([]);
});

it('numbers are told when they are others, and at rest not again', () => {
  const taught = { name: 'api.', holder: 'shop/web', addresses: [ADDRESS], ttlSeconds: 60 };
  memory().append([{ ...taught, atMs: 0 }]);
  started();
  expect(counts).toEqual([]);
  pass(MINUTE_MS);
  expect(counts).toMatchObject([{ names: 1, addresses: 1, learned: 1, expired: 0 }]);
  pass(HOUR_MS);
  expect(counts.slice(1)).toMatchObject([{ names: 0, addresses: 0, learned: 1, expired: 1 }]);
});
