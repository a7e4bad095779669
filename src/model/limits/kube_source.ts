import { HOUR, SECOND, spec } from './spec.ts';

/** Bounds of what is taken from the API of a cluster, and how soon. */
export const KUBE_SOURCE_LIMITS = {
  kubeSyncTimeoutMs: spec(
    30 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time at a start until every kind of object has been listed; after it, the state on disk is in force, or everything is denied, until they have been',
  ),
  kubeGatherMs: spec(
    50,
    0,
    10 * SECOND,
    'time in which changes of pods, namespaces, nodes and services are gathered before they are put in force together; policies do not wait',
  ),
  kubePolicyCountMax: spec(
    100_000,
    1,
    10_000_000,
    'policies of a cluster that are kept; with one more, all that is in force stays as it is, or everything is denied at a start, and it is told, so give namespaces a ResourceQuota',
  ),
  kubeSecretCountMax: spec(
    200,
    0,
    100_000,
    'secrets that policies name and that are read one by one, a watch each; a rule with another one matches nothing',
  ),
  kubeStateIntervalMs: spec(
    30 * SECOND,
    1 * SECOND,
    24 * HOUR,
    'time between two writes of the state of the cluster to stateDir; the next start without an API server may lack so much of it',
  ),
} as const;
