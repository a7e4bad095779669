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
    'bytes of all reviews that are being read, wait or are judged; more get 503',
  ),
  admissionConnectionCountMax: spec(512, 1, 65_536, 'open connections of API servers'),
  admissionWaitingCountMax: spec(256, 1, 65_536, 'reviews that wait for a thread; more get 503'),
  admissionReviewTimeoutMs: spec(
    9 * SECOND,
    100,
    30 * SECOND,
    'time for a review, from its first byte on; the thread that has it is ended, and others go on. What the API server asks for (timeoutSeconds) binds before it',
  ),
  admissionDrainMs: spec(
    5 * SECOND,
    0,
    600 * SECOND,
    'time after SIGTERM in which reviews are still taken, as API servers learn late that a pod has gone',
  ),
} as const;
