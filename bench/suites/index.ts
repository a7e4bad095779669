/** The suites by name. Each is loaded only when it is run: a tool that one needs must not stop the others. */
import type { SuiteName } from '../report/report.ts';
import type { Suite } from './suite.ts';

export const SUITES: Readonly<Record<SuiteName, () => Promise<Suite>>> = {
  http1: async () => (await import('./http1.ts')).suite,
  h2: async () => (await import('./h2.ts')).suite,
  grpc: async () => (await import('./grpc.ts')).suite,
  policy: async () => (await import('./policy.ts')).suite,
  memory: async () => (await import('./memory.ts')).suite,
  latency: async () => (await import('./latency.ts')).suite,
  attacks: async () => (await import('./attacks.ts')).suite,
  dns: async () => (await import('./dns.ts')).suite,
};
