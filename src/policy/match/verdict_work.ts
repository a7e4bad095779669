/**
 * hot path
 *
 * What a verdict may cost, counted before the work is done: so much for each pattern and each byte that it is asked
 * about. Once it is more than `verdictWorkMax` nothing more is asked, and the verdict is a denial. Counted from the
 * patterns and the request alone, without a clock: the same request has the same verdict. A unit is about a
 * nanosecond on a machine of 2026, and rather more is counted than is used.
 *
 * RE2 makes an automaton's states when a value first leads to them. So each verdict is counted as if it was the first:
 * for each of its patterns its program, unless that is prepared, and states. One whose states are too many to be kept
 * can need a new one for each byte, in every verdict, with as many places as the pattern is wide.
 */
import type { Limits } from '../../model/limits.ts';
import type { PatternCost } from './regex.ts';

export type WorkLimits = Pick<Limits, 'verdictWorkMax' | 'regexSubjectBytesMax'>;

const NO_BYTES = new Uint8Array();

/** One verdict is computed at a time and nothing in it waits, so one counter serves all. */
let left = 0;
/** What states may still cost, were none of them made by a value before. */
let unseenLeft = 0;
let subjectBytesMax = 0;
/** The patterns that were counted last, of those that many rules can have, each with the value it was asked about. */
const recent: (PatternCost | null)[] = [null, null, null, null];
const recentSubjects: Uint8Array[] = [NO_BYTES, NO_BYTES, NO_BYTES, NO_BYTES];
let recentAt = 0;

export function beginVerdict(limits: WorkLimits): void {
  left = limits.verdictWorkMax;
  unseenLeft = UNSEEN_TIMES * limits.verdictWorkMax;
  subjectBytesMax = limits.regexSubjectBytesMax;
  recent[0] = null;
  recent[1] = null;
  recent[2] = null;
  recent[3] = null;
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

/** The same for one that many rules can have: what making it costs is not counted for each of them. */
export function spendOnShared(cost: PatternCost, subject: Uint8Array): boolean {
  return spendOnAsked(cost, subject, patternWork(cost, subject.length));
}

/** The same for one that was prepared: its program stands, and its states may not. */
export function spendOnPrepared(cost: PatternCost, subject: Uint8Array): boolean {
  return spendOnAsked(cost, subject, preparedWork(cost, subject.length));
}

/** `firstWork`: when the verdict has not asked it yet. */
function spendOnAsked(cost: PatternCost, subject: Uint8Array, firstWork: number): boolean {
  if (subject.length > subjectBytesMax) return spend(Number.POSITIVE_INFINITY);
  if (isKnown(cost, subject) && Number.isFinite(cost.buildWork)) {
    return spend(readWork(subject.length));
  }
  recent[recentAt] = cost;
  recentSubjects[recentAt] = subject;
  recentAt = (recentAt + 1) & 3;
  // Very many patterns can all meet their first value in one verdict.
  unseenLeft -= statesWork(cost, subject.length);
  return spend(unseenLeft < 0 ? Number.POSITIVE_INFINITY : firstWork);
}

/** Another value leads to other states. */
function isKnown(cost: PatternCost, subject: Uint8Array): boolean {
  for (let i = 0; i < recent.length; i++) {
    if (cost === recent[i] && isSame(subject, recentSubjects[i] as Uint8Array)) return true;
  }
  return false;
}

/** Heads of HTTP/1.1 give a slice of their own each time. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || (a.length === b.length && Buffer.compare(a, b) === 0);
}

/** Of a call, through the binding. */
const CALL_WORK = 200;
const BYTE_WORK = 3;
/** A state that is made, and each place in it. */
const STATE_WORK = 300;
const PLACE_WORK = 25;
/** RE2's program, and what looks at the pattern before. */
const MAKE_WORK = 5000;
const INSTRUCTION_WORK = 250;

/** When it is asked for the first time. */
export function patternWork(cost: PatternCost, bytes: number): number {
  return MAKE_WORK + INSTRUCTION_WORK * cost.programSize + preparedWork(cost, bytes);
}

/** The same for one that was prepared: its program stands. */
export function preparedWork(cost: PatternCost, bytes: number): number {
  const states = statesWork(cost, bytes);
  return (
    readWork(bytes) +
    (cost.buildWork <= SMALL_BUILD_WORK ? Math.floor(states / UNSEEN_SHARE) : states)
  );
}

function statesWork(cost: PatternCost, bytes: number): number {
  return Math.min(cost.buildWork, bytes * stepWork(cost.width));
}

/**
 * States of all patterns, counted whole, may be so many times what a verdict may cost. 3,000 small patterns of one
 * field met their first value in 10 to 20 ms, so a policy of them held up others once in each worker.
 */
const UNSEEN_TIMES = 4;

/** Of a small automaton a value leads to few states that no value before it has led to. */
const SMALL_BUILD_WORK = 100_000;
const UNSEEN_SHARE = 8;

function readWork(bytes: number): number {
  return CALL_WORK + BYTE_WORK * bytes;
}

/** Many patterns in one automaton, whose states can be in `width` places of theirs. */
export function setWork(width: number, bytes: number): number {
  return CALL_WORK + bytes * (BYTE_WORK + stepWork(width));
}

/** A value is read once for many texts. `placeCount`: of all of them; the more, the fewer are near each other. */
export function scanWork(bytes: number, placeCount: number): number {
  return CALL_WORK + bytes * PLACE_BIT_WORK * (32 - Math.clz32(placeCount));
}

/** Measured: 17 ns a byte where there are 200 places, 55 where there are 400,000, and 130 in a table of 5 million. */
const PLACE_BIT_WORK = 4;

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
