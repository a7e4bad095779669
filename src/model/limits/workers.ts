import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of the processes: how long the supervisor waits, and for what. */
export const WORKER_LIMITS = {
  restartBackoffMinMs: spec(
    100,
    1,
    60 * SECOND,
    'first wait before a dead worker is started again',
  ),
  restartBackoffMaxMs: spec(
    30 * SECOND,
    1,
    1 * HOUR,
    'longest wait before a dead worker is started again',
  ),
  workerHeartbeatIntervalMs: spec(
    1 * SECOND,
    50,
    60 * SECOND,
    'how often a worker is asked for a sign of life; after three missed ones `/healthz/live` no longer counts it',
  ),
  workerSilenceTimeoutMs: spec(
    10 * SECOND,
    500,
    1 * HOUR,
    'time without a sign of life after which a worker is killed, which resets its connections, and started again',
  ),
  workerReplyTimeoutMs: spec(
    5 * SECOND,
    100,
    60 * SECOND,
    'waiting for a worker to answer the supervisor',
  ),
  workerUpdateTimeoutMs: spec(
    60 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time after which a worker that has not taken over a policy set is restarted, because it would enforce an old one',
  ),
  identityBatchesWaitingMax: spec(
    10_000,
    10,
    10_000_000,
    'batches of identities that a worker has not put in force yet; one that falls further behind is restarted',
  ),
  identityBatchesKeptMax: spec(
    2_000,
    10,
    10_000_000,
    'batches of identities that are kept for a worker that is started again, besides the set; then the set is made anew',
  ),
  workerStartTimeoutMs: spec(
    60 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'time after which a worker that has not bound its listeners is started again',
  ),
  workerOutputLineBytesMax: spec(
    256 * KIB,
    4 * KIB,
    16 * MIB,
    'bytes of one line that a worker prints; the rest of a longer one is dropped',
  ),
} as const;
