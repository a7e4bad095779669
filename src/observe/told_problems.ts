/** So many are enough to begin with; `sallyport check -c` lists all. */
const TOLD_COUNT_MAX = 20;

/** Of what is wrong with a set, one line each, as much as a log line or a status should hold; the last says how many more. */
export function toldProblems(problems: readonly string[]): readonly string[] {
  const moreCount = problems.length - TOLD_COUNT_MAX;
  if (moreCount <= 0) return problems;
  return [...problems.slice(0, TOLD_COUNT_MAX), `and ${moreCount} more`];
}
