import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of what an API server of Kubernetes may send, and how long it may take. */
export const KUBE_LIMITS = {
  kubeObjectBytesMax: spec(
    8 * MIB,
    64 * KIB,
    256 * MIB,
    'bytes of one object of the Kubernetes API as JSON; a larger one is skipped, and told as stale',
  ),
  kubeObjectCountMax: spec(
    1_000_000,
    1,
    100_000_000,
    'objects of one kind; a list of more is given up, and what was known before stays, told as stale',
  ),
  kubeConnectionCountMax: spec(
    512,
    32,
    100_000,
    'watches and requests that one process has at the API server at once, a connection each; one more fails, and is tried again',
  ),
  kubeRequestTimeoutMs: spec(
    60 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time for the head of an answer of the API server, and between two parts of its content; its own bound for a request is 60 s',
  ),
  kubeConnectTimeoutMs: spec(
    10 * SECOND,
    100,
    600 * SECOND,
    'time to connect to the API server, with its TLS handshake',
  ),
  kubeSilenceMaxMs: spec(
    30 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time without a byte from the API server after which it is asked whether it lives; after as long without an answer all connections to it are closed',
  ),
  kubeWatchQuietMaxMs: spec(
    180 * SECOND,
    10 * SECOND,
    1 * HOUR,
    'time without an event or a bookmark after which a watch is opened anew, where the API server sends bookmarks (one a minute)',
  ),
  kubeStaleGraceMs: spec(
    10 * SECOND,
    0,
    1 * HOUR,
    'time that a watch may be broken before what it has told is said to be stale',
  ),
  kubeCredentialTimeoutMs: spec(
    60 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time that an exec plugin of a kubeconfig may take to give credentials',
  ),
} as const;
