/**
 * How many connections the file descriptors of one worker suffice for. A connection takes two, its client's and its
 * upstream's, and for each one more reply `503` may wait to be read (`docs/overload.md`). Pure.
 */
import type { Limits } from './limits.ts';

/** Listeners, log, channel to the supervisor, files of policies and of the system, pinned maps. */
const RESERVED_COUNT = 128;

const DESCRIPTORS_A_CONNECTION = 3;

/** Each DNS question by UDP has a socket; connections are not to be without one for it. */
const QUESTIONS_SHARE = 1 / 4;

/**
 * `limits` with as many connections as `descriptorCountMax` (soft RLIMIT_NOFILE) suffices for; null: not known. Where
 * DNS questions are served, with as many of them as a share of it suffices for, and connections with the rest.
 */
export function limitsWithin(
  limits: Limits,
  descriptorCountMax: number | null,
  areQuestionsServed = false,
): Limits {
  if (descriptorCountMax === null) return limits;
  if (!areQuestionsServed) return connectionsWithin(limits, descriptorCountMax);
  const questionCountMax = Math.max(1, Math.floor(descriptorCountMax * QUESTIONS_SHARE));
  const dnsQuestionCountMax = Math.min(limits.dnsQuestionCountMax, questionCountMax);
  const asked = Object.freeze({ ...limits, dnsQuestionCountMax });
  return connectionsWithin(asked, descriptorCountMax - dnsQuestionCountMax);
}

function connectionsWithin(limits: Limits, descriptorCountMax: number): Limits {
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
