/** An accepted set as it goes to workers. */
import type { Accepted } from '../control/set/policy_checker.ts';
import type { NumberedRules, NumberedSet, PolicyUpdate } from '../control/worker/live_snapshot.ts';
import { encodeResolved, encodeRules } from '../control/worker/resolved_wire.ts';
import { type OwnBytes, ownBytes } from './own_bytes.ts';

export interface Encoded<Set extends PolicyUpdate> {
  readonly set: Set;
  /** All that is in it. */
  readonly bytes: readonly OwnBytes[];
}

export function wholeOf({ revision, set }: Accepted): Encoded<NumberedSet> {
  const bytes = encodeResolved(set).map(ownBytes);
  return { set: { revision, parts: bytes }, bytes };
}

export function rulesOf({ revision, set }: Accepted): Encoded<NumberedRules> {
  const bytes = encodeRules(set).map(ownBytes);
  return { set: { revision, rules: bytes }, bytes };
}
