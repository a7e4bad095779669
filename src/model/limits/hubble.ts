import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of what clients of Hubble are told. */
export const HUBBLE_LIMITS = {
  hubbleRingCountMax: spec(
    4095,
    1,
    1_048_575,
    'flows that are kept for clients of Hubble: of requests with their responses, which are two to them',
  ),
  hubbleRingBytesMax: spec(
    64 * MIB,
    64 * KIB,
    4096 * MIB,
    'bytes of those flows; above: the oldest go',
  ),
  hubbleQueueBytesMax: spec(
    16 * MIB,
    64 * KIB,
    1024 * MIB,
    'bytes of flows that wait for the thread that serves them; above: they are left out, and clients are told how many',
  ),
  hubbleMemoryBytesMax: spec(
    512 * MIB,
    64 * MIB,
    8192 * MIB,
    'heap of the thread that serves flows; above: it ends and starts again, without flows of before',
  ),
  hubbleConnectionCountMax: spec(
    64,
    1,
    10_000,
    'connections of clients of Hubble, at each of its sockets',
  ),
  hubbleStreamCountMax: spec(128, 1, 10_000, 'clients that may read flows at the same time'),
  hubbleRequestBytesMax: spec(
    64 * KIB,
    1 * KIB,
    4 * MIB,
    'bytes of a request of a client of Hubble, which is its filters',
  ),
  hubblePatternCountMax: spec(
    32,
    0,
    1000,
    'patterns in the filters of one request (of paths, URLs and names); each is bounded as those of policies are',
  ),
  hubbleLostIntervalMs: spec(
    1 * SECOND,
    0,
    1 * HOUR,
    'least time between two messages that flows came faster than a client read them',
  ),
} as const;
