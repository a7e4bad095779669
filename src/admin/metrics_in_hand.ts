import type { MergedMetrics } from '../observe/metrics/hub.ts';
import type { AdminBackend } from './backend.ts';

const inHand = new WeakMap<AdminBackend, Promise<MergedMetrics>>();

/** Every worker is asked once, however many ask at the same time, and whatever for. */
export function metricsInHand(backend: AdminBackend): Promise<MergedMetrics> {
  const known = inHand.get(backend);
  if (known !== undefined) return known;
  const metrics = backend.metrics().finally(() => inHand.delete(backend));
  inHand.set(backend, metrics);
  return metrics;
}
