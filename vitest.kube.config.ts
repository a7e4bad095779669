import { defineConfig } from 'vitest/config';

/**
 * What needs a real Kubernetes API: an API server with etcd or kine, started on loopback by each file. One file after
 * the other, as an API server takes 400 MB. Fails when the programs cannot be built. `npm run test:kube`.
 */
export default defineConfig({
  test: {
    include: ['test/kube/real/**/*.test.ts'],
    globalSetup: ['test/kube/real/parts/build_programs.ts'],
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
