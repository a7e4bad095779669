import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of Hubble's metrics and of flows in files. */
export const HUBBLE_OUTPUT_LIMITS = {
  hubbleSeriesCountMax: spec(
    10_000,
    10,
    1_000_000,
    'series of each of Hubble’s metrics; above: those that nobody counts in make room, else "other" stands for what others choose (pods, names, addresses)',
  ),
  hubbleSeriesIdleMs: spec(
    10 * 60 * SECOND,
    10 * SECOND,
    24 * HOUR,
    'how long nothing is counted in a series of Hubble’s metrics until it may make room for a new one',
  ),
  hubbleExportQueueBytesMax: spec(
    16 * MIB,
    4 * KIB,
    1024 * MIB,
    'bytes of exported flows that wait for a slow disk, for each file; above: lines are left out and counted',
  ),
  hubbleExportFileCountMax: spec(
    16,
    1,
    1000,
    'files that the dynamic configuration of exports may ask for; with more it is refused',
  ),
  hubbleExportReloadMs: spec(
    5 * SECOND,
    100,
    1 * HOUR,
    'how often the dynamic configuration of exports is looked at',
  ),
} as const;
