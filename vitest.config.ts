import { defineConfig } from 'vitest/config';

/** Two cores, shared: few workers, and time-outs that a noisy machine does not trip. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/soak/**', 'node_modules/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
