/**
 * Another load, and meanwhile Sallyport's policy file replaced ten times a second by one with another rule.
 * How many sets came into force is what its own metrics say.
 */
import { rename, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { policyText } from '../subjects/sallyport.ts';
import type { BenchRule } from '../subjects/subject.ts';
import type { LoadResult, LoadRun } from './load.ts';

const PERIOD_MS = 100;
const METRICS_TIMEOUT_MS = 10_000;

/** `directory`: of a running Sallyport, which reads again within a part of the period. */
export function whilePolicyChanges(
  load: LoadRun,
  directory: string,
  rules: readonly BenchRule[],
): LoadRun {
  return {
    description: `${load.description}; meanwhile policy.yaml replaced by a rename every ${PERIOD_MS} ms`,
    run: async (url, seconds): Promise<LoadResult> => {
      const before = await readUpdates(directory);
      const startMs = performance.now();
      const changes = startChanging(directory, rules);
      try {
        const result = await load.run(url, seconds);
        const elapsedSeconds = (performance.now() - startMs) / 1000;
        const after = await readUpdates(directory);
        if (after.refused > before.refused) throw new Error('Sallyport refused a policy');
        const swapsPerSecond = (after.accepted - before.accepted) / elapsedSeconds;
        return { ...result, figures: { ...result.figures, swapsPerSecond } };
      } finally {
        await changes.stop();
      }
    },
  };
}

interface Changes {
  /** Puts the plain policy back; rejects when any change could not be written. */
  readonly stop: () => Promise<void>;
}

function startChanging(directory: string, rules: readonly BenchRule[]): Changes {
  const path = join(directory, 'policy.yaml');
  const write = async (all: readonly BenchRule[]): Promise<void> => {
    await writeFile(`${path}.next`, policyText(all));
    await rename(`${path}.next`, path);
  };
  let edition = 0;
  let last: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    const rule = { method: 'GET', path: `/edition/${++edition}`, isPattern: false };
    last = last.then(() => write([...rules, rule]));
    // Told by stop().
    last.catch(() => {});
  }, PERIOD_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await last;
      await write(rules);
    },
  };
}

export interface PolicyUpdates {
  readonly accepted: number;
  readonly refused: number;
}

async function readUpdates(directory: string): Promise<PolicyUpdates> {
  return updatesOf(await readMetrics(join(directory, 'admin.sock')));
}

export function updatesOf(metrics: string): PolicyUpdates {
  const updates = { accepted: 0, refused: 0 };
  for (const line of metrics.split('\n')) {
    const match = /^sallyport_policy_updates_total\{result="([a-z]+)"\} ([0-9]+)$/.exec(line);
    if (match === null) continue;
    updates[match[1] === 'accepted' ? 'accepted' : 'refused'] += Number(match[2]);
  }
  return updates;
}

function readMetrics(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get(
      { socketPath, path: '/metrics', agent: false, timeout: METRICS_TIMEOUT_MS },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
        response.on('error', reject);
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('the admin server does not answer')));
    asked.on('error', reject);
  });
}
