/** The frame of a comparison with Cilium's own Go code. One process makes one comparison: its counts are here. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Scratch } from '../workers/running.ts';
import { PolicySeed } from './generated_policies.ts';

const PEERS = fileURLToPath(new URL('../peers', import.meta.url));

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Modules of Go. */
export const AGENT_FOLDER = join(PEERS, 'agent');
export const HUBBLE_FOLDER = join(PEERS, 'hubble');
export const KUBE_PROXY_FOLDER = join(PEERS, 'kube/services');

/** Removed when the comparison ends. */
export const scratch = new Scratch();

const SHOWN_FAILURES_MAX = 20;
const counts = { passed: 0, failed: 0 };

/** Runs `body` to its end. The last line is the sum: "N passed, N failed". */
export async function compare(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    counts.failed += 1;
    console.error(error instanceof Error ? error.message : error);
  } finally {
    await scratch.dispose();
  }
  process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
}

/** Of failures the first ones are shown. */
export function count(isGood: boolean, told: () => readonly unknown[]): void {
  if (isGood) {
    counts.passed += 1;
    return;
  }
  counts.failed += 1;
  if (counts.failed > SHOWN_FAILURES_MAX) return;
  for (const one of told()) console.log(typeof one === 'string' ? one : JSON.stringify(one));
}

/**
 * The path of a program of the module in `folder`, built with Go ($GO, or `go`). `builtVariable` of the environment may
 * name one that is built already. Nothing is skipped: without Go it throws.
 */
export function goPeer(folder: string, goPackage: string, builtVariable: string): string {
  const built = process.env[builtVariable];
  if (built !== undefined) return built;
  const path = join(scratch.dir, builtVariable.toLowerCase());
  const made = spawnSync(
    process.env['GO'] ?? 'go',
    ['build', '-ldflags', '-s -w', '-o', path, goPackage],
    {
      cwd: folder,
      env: { ...process.env, GOFLAGS: '-mod=readonly -buildvcs=false' },
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  if (made.error !== undefined) throw new Error(`Go is needed: ${made.error.message}`);
  if (made.status !== 0)
    throw new Error(`${goPackage} of ${folder} was not built (exit code ${made.status})`);
  return path;
}

/** `SCRIPT [COUNT] [SEED...]`: a generator for each seed, which is told as it begins. */
export function* seeds(
  countDefault: number,
  what: string,
): Generator<{ readonly count: number; readonly random: PolicySeed }> {
  const each = Number(process.argv[2] ?? countDefault);
  const named = process.argv.slice(3).map(Number);
  for (const seed of named.length > 0 ? named : [Date.now() % 1_000_000]) {
    console.log(`${each} ${what}, seed ${seed}`);
    yield { count: each, random: new PolicySeed(seed) };
  }
}
