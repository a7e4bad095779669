/**
 * The agent's options `labels` and `node-labels`: which labels are part of an identity, as their users write them.
 * A pattern is a regular expression for the beginning of a key, with a source before it ("k8s:app") when it is about
 * labels of one source only, and with "!" when such labels stay out.
 */

import {
  DEFAULT_LABEL_PATTERNS,
  LabelFilter,
  type LabelPattern,
} from '../../../policy/label_filter.ts';
import type { RegexEngine } from '../../../policy/match/regex.ts';

export type LabelFilterResult =
  | { readonly kind: 'ok'; readonly filter: LabelFilter }
  /** Names the pattern. */
  | { readonly kind: 'error'; readonly message: string };

/** Of workloads: what the user says is added to what every agent has. */
export function podLabelFilter(patterns: readonly string[], regex: RegexEngine): LabelFilterResult {
  return filterOf(DEFAULT_LABEL_PATTERNS, patterns, regex);
}

/** Of nodes: all labels, when the user says nothing. */
export function nodeLabelFilter(
  patterns: readonly string[],
  regex: RegexEngine,
): LabelFilterResult {
  return filterOf([], patterns, regex);
}

function filterOf(
  defaults: readonly LabelPattern[],
  texts: readonly string[],
  regex: RegexEngine,
): LabelFilterResult {
  const patterns = [...defaults];
  let isWhitelist = false;
  for (const text of texts) {
    // An empty one says nothing (ParseLabelPrefixCfg).
    if (text === '') continue;
    const parsed = parsePattern(text, regex);
    if (typeof parsed === 'string') return { kind: 'error', message: `"${text}": ${parsed}` };
    if (!parsed.isIgnored) isWhitelist = true;
    patterns.push(parsed);
  }
  return { kind: 'ok', filter: new LabelFilter({ patterns, isWhitelist }) };
}

/** As parseLabelPrefix cuts it: the source ends at the first colon, and "!" is looked for behind it. */
function parsePattern(text: string, regex: RegexEngine): LabelPattern | string {
  const colon = text.indexOf(':');
  const source = colon === -1 ? '' : text.slice(0, colon);
  const rest = text.slice(colon + 1);
  if (rest === '') return 'there is no pattern behind the source';
  const isIgnored = rest.startsWith('!');
  const compiled = regex.compile(isIgnored ? rest.slice(1) : rest);
  if (compiled.kind === 'error') return compiled.message;
  return {
    isIgnored,
    source,
    lengthAt: (key) => compiled.regex.beginning(Buffer.from(key)),
  };
}
