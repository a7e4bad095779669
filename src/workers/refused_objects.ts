/** What a source refused alone, as it is told: bounded. */
import { formatHolder } from '../control/decode/place.ts';
import { formatProblem } from '../control/decode/problem.ts';
import type { RefusedDocument } from '../control/set/policy_input.ts';
import { toldProblems } from '../observe/told_problems.ts';
import type { RefusedObjects } from './policy_messages.ts';

export function refusedObjects(
  refused: readonly RefusedDocument[],
  countMax: number,
): RefusedObjects {
  const objects = refused.slice(0, countMax).map(({ place, problems, inForce }) => ({
    object: formatHolder(place),
    inForce,
    problems: toldProblems(problems, { textOf: formatProblem, countMax }),
  }));
  return { objects, count: refused.length };
}
