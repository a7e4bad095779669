import { defineConfig } from 'vitest/config';

/** Two cores, shared: few workers, and time-outs that a noisy machine does not trip. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // What needs root or an API server has its own: vitest.root.config.ts, vitest.kube.config.ts.
    exclude: [
      'test/soak/**',
      'test/kube/real/**',
      'test/redirect/root/**',
      'test/redirect/kernel/**',
      'test/workers/root/**',
      'node_modules/**',
    ],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 90_000,
    hookTimeout: 90_000,
  },
});
