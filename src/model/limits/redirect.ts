import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of the kernel redirect, its loader and the maps of Cilium. */
export const REDIRECT_LIMITS = {
  listenerLingerMs: spec(
    300,
    0,
    60 * SECOND,
    'from SIGTERM to closing a transparent listener; the kernel may still send it connections until the next proxy has taken over',
  ),
  redirectCheckIntervalMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'how often the pins of the redirect are checked: were they made anew, are slots empty',
  ),
  redirectAdoptMs: spec(
    30 * SECOND,
    0,
    1 * HOUR,
    'how long an interface accepts TCP connections that are older than its programs; later packets of such connections are reset',
  ),
  redirectGraceMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'from putting new kernel tables in force to removing those before',
  ),
  redirectPollIntervalMs: spec(
    250,
    50,
    60 * SECOND,
    'time between two looks at the interfaces of the node',
  ),
  redirectInterfaceWaitMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'how long an interface without a pod, or a pod without an interface, may wait until that is told; it stays closed',
  ),
  cniResultCountMax: spec(
    16_384,
    1,
    1_048_576,
    'files of CNI results that are read to find interfaces; above: none is',
  ),
  cniResultBytesMax: spec(256 * KIB, 1 * KIB, 16 * MIB, 'bytes of one file of CNI results'),
  redirectRepairIntervalMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'time between two checks of rules, routes, programs and the addresses of the node',
  ),
  redirectRetryMs: spec(
    2 * SECOND,
    100,
    60 * SECOND,
    'wait before kernel tables that could not be written are tried again',
  ),
  ciliumCacheTtlMs: spec(
    3,
    0,
    1 * SECOND,
    'how long an answer of Cilium’s ipcache is used again; 0 asks each time',
  ),
  ciliumCacheCountMax: spec(4096, 1, 1_000_000, 'answers of Cilium’s ipcache that are kept'),
  ciliumMapAgeMaxMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'time after which a map of Cilium is opened again, because its agent may have pinned another one',
  ),
  commandTimeoutMs: spec(
    120 * SECOND,
    100,
    1 * HOUR,
    'waiting for iproute2, which itself waits for the kernel, for example while a thousand programs are detached',
  ),
  commandOutputBytesMax: spec(
    64 * MIB,
    64 * KIB,
    1024 * MIB,
    'bytes of the output of iproute2 about the interfaces of the node',
  ),
  statusRowCountMax: spec(
    50,
    1,
    1_000_000,
    'rows of one table of `redirect status`; `-o json` has all of them',
  ),
} as const;
