/** What is said of a policy thread that has ended. */
import type { RejectedSet } from '../control/source/policy_feed.ts';
import type { PolicySettings } from './policy_messages.ts';

export function failedSet(problem: string): RejectedSet {
  return { kind: 'rejected', result: 'failed', problems: [problem], problemCount: 1 };
}

export function problemOf(error: unknown, { limits }: Pick<PolicySettings, 'limits'>): string {
  if (!(error instanceof Error)) return String(error);
  const isMemory = 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
  return isMemory
    ? `it needs more memory than policyMemoryBytesMax allows (${limits.policyMemoryBytesMax} bytes)`
    : error.message;
}
