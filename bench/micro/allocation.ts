/**
 * Bytes of heap that one call allocates, garbage or not. Needs --expose-gc and a young generation that holds
 * all of a try (ALLOCATION_FLAGS): then nothing is collected in between and the difference is what was allocated.
 */
import { repeated } from './sampling.ts';
import type { Work } from './work.ts';

const YOUNG_MIB = 64;
const TRY_BYTES = 8 * 1024 * 1024;
const TRIES = 5;
const CALLS_MAX = 20_000;
const CALLS_MIN = 50;

export const ALLOCATION_FLAGS: readonly string[] = [
  '--expose-gc',
  `--min-semi-space-size=${YOUNG_MIB}`,
  `--max-semi-space-size=${YOUNG_MIB}`,
];

export function bytesPerCall(work: Work): number {
  const few = bytesOf(work, CALLS_MIN);
  const calls = Math.max(CALLS_MIN, Math.min(CALLS_MAX, Math.floor(TRY_BYTES / Math.max(few, 1))));
  const tries: number[] = [];
  for (let i = 0; i < TRIES; i++) tries.push(bytesOf(work, calls));
  return tries.sort((a, b) => a - b)[TRIES >> 1] as number;
}

function bytesOf(work: Work, calls: number): number {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error('needs --expose-gc');
  const many = repeated(work, calls);
  gc();
  const before = process.memoryUsage().heapUsed;
  many();
  return (process.memoryUsage().heapUsed - before) / calls;
}
