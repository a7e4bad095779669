import { defineConfig } from 'vitest/config';

/**
 * What needs root: programs in the kernel, network and mount namespaces. One file after the other, as they load
 * and measure things that the whole machine shares. `npm run test:root`.
 */
export default defineConfig({
  test: {
    include: [
      'test/redirect/root/**/*.test.ts',
      'test/redirect/kernel/**/*.test.ts',
      'test/workers/root/**/*.test.ts',
    ],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
