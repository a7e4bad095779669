import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of the kernel redirect, its loader and the maps of Cilium. */
export const REDIRECT_LIMITS = {
  listenerLingerMs: spec(
    300,
    0,
    60 * SECOND,
    'from SIGTERM to closing a transparent listener: the kernel may have sent it connections before the next proxy took over',
  ),
  redirectCheckIntervalMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'how often the pins of the redirect are looked at: whether they were made anew, or slots are empty',
  ),
  redirectAdoptMs: spec(
    30 * SECOND,
    0,
    1 * HOUR,
    'how long an interface that gets the programs takes over TCP connections that are older than them; later packets of such are reset',
  ),
  redirectGraceMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'from putting new kernel tables in force to removing those before',
  ),
  redirectPollIntervalMs: spec(250, 50, 60 * SECOND, 'between looks at the interfaces of the node'),
  redirectRepairIntervalMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'between checks that rules, routes and programs are still there, and which addresses the node has',
  ),
  redirectRetryMs: spec(
    2 * SECOND,
    100,
    60 * SECOND,
    'before kernel tables that could not be written are tried again',
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
    'before a map of Cilium’s is opened again: its agent may have pinned another one',
  ),
  commandTimeoutMs: spec(
    120 * SECOND,
    100,
    1 * HOUR,
    'waiting for iproute2, which waits for the kernel while a thousand programs are detached',
  ),
  commandOutputBytesMax: spec(
    64 * MIB,
    64 * KIB,
    1024 * MIB,
    'bytes of what iproute2 tells of the interfaces of the node',
  ),
  statusRowCountMax: spec(
    50,
    1,
    1_000_000,
    'rows of one table of `redirect status`; `-o json` has all of them',
  ),
} as const;
