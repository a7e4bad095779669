/** Texts → what a worker is told of them, as the supervisor does it. */
import { formatProblem } from '../../src/control/decode/problem.ts';
import type { ResolvedSet } from '../../src/control/set/resolved_set.ts';
import type { SourceBundle } from '../../src/control/source/files/source_bundle.ts';
import type { NumberedRules, NumberedSet } from '../../src/control/worker/live_snapshot.ts';
import { encodeResolved, encodeRules } from '../../src/control/worker/resolved_wire.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { Ipcache } from '../../src/policy/identity/ipcache.ts';
import { Roster } from '../../src/policy/identity/roster.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { BundleStore } from './bundle_store.ts';

/** `sequence`: of the last batch of identities that the set has in it. */
export function numberedSet(
  revision: number,
  bundle: SourceBundle,
  sequence?: number,
): NumberedSet {
  return { revision, parts: encodeResolved(resolvedOf(bundle, sequence)) };
}

/** The rules of it alone, for who is who of after that batch. */
export function numberedRules(
  revision: number,
  bundle: SourceBundle,
  sequence: number,
): NumberedRules {
  return { revision, rules: encodeRules(resolvedOf(bundle, sequence)) };
}

function resolvedOf(bundle: SourceBundle, sequence?: number): ResolvedSet {
  const regexEngine = createRe2Engine(DEFAULT_LIMITS);
  const result = new BundleStore({ regexEngine, limits: DEFAULT_LIMITS }).updateBundle(bundle);
  if (result.kind === 'rejected') throw new Error(result.problems.map(formatProblem).join('\n'));
  const { roster, ...set } = result.set;
  const numbered =
    sequence === undefined
      ? roster
      : Roster.of(sequence, new Ipcache(roster.ipcache.entries), roster.entries());
  return { ...set, roster: numbered };
}
