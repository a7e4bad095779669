/**
 * hot path
 *
 * What a verdict may cost, counted before the work is done: so much for each pattern and each byte that it is asked
 * about. Once it is more than `verdictWorkMax` nothing more is asked, and the verdict is a denial. Counted from the
 * patterns and the request alone, without a clock: the same request has the same verdict. A unit is about a
 * nanosecond on a machine of 2026, and rather more is counted than is used.
 *
 * A pattern whose automaton is small: RE2 makes its states once, and a byte costs the same ever after. One whose
 * automaton is not: each byte can need a new state, with as many places as the pattern is wide.
 */
import type { Limits } from '../../model/limits.ts';
import type { PatternCost } from './regex.ts';

export type WorkLimits = Pick<Limits, 'verdictWorkMax' | 'regexSubjectBytesMax'>;

/** One verdict is computed at a time and nothing in it waits, so one counter serves all. */
let left = 0;
let subjectBytesMax = 0;

export function beginVerdict(limits: WorkLimits): void {
  left = limits.verdictWorkMax;
  subjectBytesMax = limits.regexSubjectBytesMax;
}

/** False when there is not so much left: then the verdict is a denial. */
export function spend(work: number): boolean {
  left -= work;
  return left >= 0;
}

export function canSpend(work: number): boolean {
  return work <= left;
}

/** True once something was not done for what it costs. */
export function isSpent(): boolean {
  return left < 0;
}

/** As `spend`, for a pattern that is asked about `bytes`. */
export function spendOnPattern(cost: PatternCost, bytes: number): boolean {
  return spend(bytes > subjectBytesMax ? Number.POSITIVE_INFINITY : patternWork(cost, bytes));
}

/** Of a call, through the binding. */
const CALL_WORK = 200;
const BYTE_WORK = 3;
/** A state that is made, and each place in it. */
const STATE_WORK = 300;
const PLACE_WORK = 25;
/** An automaton that is made with so much is not counted: it is made once, as the pattern is. */
const FREE_BUILD_WORK = 100_000;

export function patternWork(cost: PatternCost, bytes: number): number {
  const work = CALL_WORK + BYTE_WORK * bytes;
  if (cost.buildWork <= FREE_BUILD_WORK) return work;
  return work + Math.min(cost.buildWork, bytes * stepWork(cost.width));
}

/** Many patterns in one automaton, whose states can be in `width` places of theirs. */
export function setWork(width: number, bytes: number): number {
  return CALL_WORK + bytes * (BYTE_WORK + stepWork(width));
}

function stepWork(width: number): number {
  return STATE_WORK + PLACE_WORK * width;
}

/** A field is looked for among all, and its lines are joined. `changedCount`: of fields that were written anew. */
export function fieldWork(valueLength: number, changedCount: number): number {
  return 300 + 2 * valueLength + 20 * changedCount;
}

/** A value is compared with a text; without regard to case it is written anew before. */
export function textWork(length: number, ignoresCase: boolean): number {
  return ignoresCase ? 200 + 10 * length : 20 + length;
}

/** A value is compared char by char, and what is found is told. */
export function headerMatchWork(valueLength: number, loggedCount: number): number {
  return 100 + 6 * valueLength + 10 * loggedCount;
}

/** All fields are written anew. */
export function mutationWork(fieldCount: number): number {
  return 200 + 20 * fieldCount;
}

/** Each label of a name with each of a pattern. */
export function namePatternWork(labelCount: number, nameLength: number): number {
  return 100 + 30 * labelCount + 2 * labelCount * nameLength;
}
