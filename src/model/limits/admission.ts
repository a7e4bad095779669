import { KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of the admission webhook (`sallyport admission`). */
export const ADMISSION_LIMITS = {
  admissionBodyBytesMax: spec(
    8 * MIB,
    64 * KIB,
    64 * MIB,
    'bytes of one review; it has an object twice when it is changed, and an API server takes 3 MiB of one',
  ),
  admissionMemoryBytesMax: spec(
    64 * MIB,
    1 * MIB,
    1024 * MIB,
    'bytes of all reviews that are being read, wait or are judged; with more, whoever has most of them loses one, or the new one gets an error',
  ),
  admissionClientBytesMax: spec(
    32 * MIB,
    1 * MIB,
    1024 * MIB,
    'the same of one client address; an API server has one for all tenants, of whom the one with most of them loses one',
  ),
  admissionTenantBytesMax: spec(
    16 * MIB,
    64 * KIB,
    1024 * MIB,
    'bytes of the reviews that wait of one namespace, or of one user for objects of the whole cluster; more get an error, but for the only one that waits',
  ),
  admissionConnectionCountMax: spec(
    512,
    1,
    65_536,
    'open connections; with one more, the address that has most of them loses one, or it is closed',
  ),
  admissionClientConnectionCountMax: spec(
    256,
    1,
    65_536,
    'open connections of one client address; more are closed',
  ),
  admissionWaitingCountMax: spec(
    256,
    1,
    65_536,
    'reviews that wait for a thread; with one more, whoever has most of them loses one, or it gets an error',
  ),
  admissionTenantWaitingCountMax: spec(
    64,
    1,
    65_536,
    'the same of one namespace, or of one user for objects of the whole cluster',
  ),
  admissionReviewTimeoutMs: spec(
    9 * SECOND,
    100,
    30 * SECOND,
    'time for a review, from its first byte on, with its time in the queue. What the API server asks for (timeoutSeconds) binds before it',
  ),
  admissionJudgeTimeoutMs: spec(
    3 * SECOND,
    100,
    30 * SECOND,
    'time in which a thread has a review; then the thread is ended, and others go on',
  ),
  admissionDrainMs: spec(
    5 * SECOND,
    0,
    600 * SECOND,
    'time after SIGTERM in which reviews are still taken, as API servers learn late that a pod has gone',
  ),
} as const;
