import { HOUR, SECOND, spec } from './spec.ts';

/** Bounds of what is written back to a cluster: conditions of policies, Events, and the Lease of who writes them. */
export const KUBE_REPORT_LIMITS = {
  kubeLeaseLookMs: spec(
    20 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time, up to twice as long, between two looks at the Lease by a proxy that does not hold it; a cluster is asked as often as it has nodes',
  ),
  kubeStatusIntervalMs: spec(
    100,
    0,
    60 * SECOND,
    'time between two conditions of policies that are written',
  ),
  kubeEventIntervalMs: spec(1 * SECOND, 0, 60 * SECOND, 'time between two Events that are written'),
  kubeEventRepeatMs: spec(
    300 * SECOND,
    1 * SECOND,
    24 * HOUR,
    'time after which the same Event about the same object is written again, with its count',
  ),
  kubeEventCountMax: spec(
    1000,
    1,
    100_000,
    'Events that are remembered to be counted; beyond, the oldest is forgotten',
  ),
  kubeNotReadyMs: spec(
    60 * SECOND,
    1 * SECOND,
    24 * HOUR,
    'time that not all workers are ready after which an Event about the node says so',
  ),
  kubeWorkerDeathCount: spec(
    3,
    1,
    1000,
    'workers that die within ten minutes after which an Event about the node says so',
  ),
} as const;
