/**
 * How many connections the file descriptors of one worker suffice for. A connection takes two, its client's and its
 * upstream's, and for each one more reply `503` may wait to be read (`docs/overload.md`). Pure.
 */
import type { Limits } from './limits.ts';

/** Listeners, log, channel to the supervisor, files of policies and of the system, pinned maps. */
const RESERVED_COUNT = 128;

const DESCRIPTORS_A_CONNECTION = 3;

/** `limits` with as many connections as `descriptorCountMax` (soft RLIMIT_NOFILE) suffices for; null: not known. */
export function limitsWithin(limits: Limits, descriptorCountMax: number | null): Limits {
  if (descriptorCountMax === null) return limits;
  const free = descriptorCountMax - RESERVED_COUNT;
  const countMax = Math.max(1, Math.floor(free / DESCRIPTORS_A_CONNECTION));
  return countMax < limits.connectionCountMax
    ? Object.freeze({ ...limits, connectionCountMax: countMax })
    : limits;
}

/** What it takes for `connectionCountMax` to be what bounds connections. */
export function descriptorsFor({ connectionCountMax }: Limits): number {
  return connectionCountMax * DESCRIPTORS_A_CONNECTION + RESERVED_COUNT;
}
