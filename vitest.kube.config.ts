import { defineConfig } from 'vitest/config';

/**
 * What needs a real Kubernetes API: an API server with etcd or kine, started on loopback by each file. Two files at
 * once, as they mostly wait, and an API server takes 400 MB. Fails when the programs cannot be built. `npm run test:kube`.
 */
export default defineConfig({
  test: {
    include: ['test/kube/real/**/*.test.ts'],
    globalSetup: ['test/kube/real/parts/build_programs.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});
