import { defineConfig } from 'vitest/config';

/** Benchmarks that need the scenes of a test: they print, and judge nothing. */
export default defineConfig({
  test: {
    include: ['bench/**/*.bench.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
  },
});
