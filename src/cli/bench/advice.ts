/** What the figures say that a user can act on; each line holds whatever the machine. */
import { literalOf } from '../../policy/match/literal.ts';
import type { RuleCosts } from './costs.ts';
import type { RuleMatch } from './rules.ts';

interface AdvisedRule {
  readonly policy: string | null;
  readonly rule: string | null;
  readonly match: RuleMatch | null;
}

/** Rules that one line names. */
const NAMED_COUNT_MAX = 3;
/** Fewer rules that are asked one by one are not worth a line. */
const UNINDEXED_COUNT_MIN = 4;

/** `cpuUs` is what the worker takes for a request, null where it is not known. */
export function adviceOn(costs: RuleCosts, cpuUs: number | null): string[] {
  const rules: readonly AdvisedRule[] = [...costs.decided, ...costs.unreached];
  return [
    ...shareAdvice(costs.meanVerdictNs, cpuUs),
    ...dotAdvice(rules),
    ...unindexedAdvice(rules),
    ...actionAdvice(rules),
    ...unreachedAdvice(costs),
  ];
}

function shareAdvice(meanVerdictNs: number | null, cpuUs: number | null): string[] {
  if (meanVerdictNs === null || cpuUs === null || cpuUs === 0) return [];
  const percent = (meanVerdictNs / 10 / cpuUs).toFixed(1);
  return [
    `The verdict is ${percent} % of the worker's CPU a request; the rest is reading, forwarding and logging.`,
  ];
}

/** "." is the one operator that is written where the character is meant. */
function dotAdvice(rules: readonly AdvisedRule[]): string[] {
  const found = rules.filter(({ match }) => match?.path === 'pattern' && isAlmostText(match));
  if (found.length === 0) return [];
  return [
    `A path whose only operator is "." would be one look-up in a map, and match nothing else, if it were "\\.": ${named(found)}.`,
  ];
}

function isAlmostText({ pathText }: RuleMatch): boolean {
  return literalOf(pathText) === null && literalOf(escapedDots(pathText)) !== null;
}

function escapedDots(pattern: string): string {
  return pattern.replace(/\\.|\./gs, (found) => (found === '.' ? '\\.' : found));
}

function unindexedAdvice(rules: readonly AdvisedRule[]): string[] {
  const found = rules.filter(({ match }) => isUnindexed(match));
  if (found.length === 0) return [];
  const most = Math.max(...found.map(({ match }) => match?.portUnindexedCount ?? 0));
  if (most < UNINDEXED_COUNT_MIN) return [];
  return [
    `Rules without a path and without a host are asked one after another, up to ${most} for each request of a port; a path or a host would find them at once: ${named(found)}.`,
  ];
}

function isUnindexed(match: RuleMatch | null): boolean {
  if (match === null || match.layer !== 'http') return false;
  return match.path === 'none' && match.host === 'none';
}

function actionAdvice(rules: readonly AdvisedRule[]): string[] {
  const found = rules.filter(({ match }) => (match?.headerActionCount ?? 0) > 0);
  if (found.length === 0) return [];
  return [
    `Header actions (headerMatches) make every verdict on their port run all rules that can match, also for requests that they do not change: ${named(found)}.`,
  ];
}

function unreachedAdvice({ unreached }: RuleCosts): string[] {
  if (unreached.length === 0) return [];
  const which = unreached.length === 1 ? 'One rule' : `${unreached.length} rules`;
  return [
    `${which} decided none of these requests; their cost is memory. \`sallyport check\` tells which can never match.`,
  ];
}

function named(rules: readonly AdvisedRule[]): string {
  const names = rules.slice(0, NAMED_COUNT_MAX).map(({ policy, rule }) => `${rule} of ${policy}`);
  const more = rules.length - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}
