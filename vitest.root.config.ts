import { defineConfig } from 'vitest/config';

/**
 * What needs root: programs in the kernel, network and mount namespaces, each file in its own. Two files at once, as
 * they mostly wait. `npm run test:root`.
 */
export default defineConfig({
  test: {
    include: [
      'test/redirect/root/**/*.test.ts',
      'test/redirect/kernel/**/*.test.ts',
      'test/workers/root/**/*.test.ts',
    ],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
