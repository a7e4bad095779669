/**
 * Patterns over dot-separated names, as SNI and DNS rules have them: `*` stands for any run of name
 * characters within one label, `**` for one or more whole labels. Matched by comparing labels, in
 * time bounded by (labels × labels + characters × stars); no regular expression is built.
 */
export interface LabelPattern {
  readonly labels: readonly LabelToken[];
}

/** `null` = one or more whole labels; else the texts between the stars of one label. */
export type LabelToken = readonly string[] | null;

/** `pattern` is lower case, its grammar already checked; a label of only "**" spans labels. */
export function parseLabelPattern(pattern: string): LabelPattern {
  return {
    labels: pattern.split('.').map((label) => (label === '**' ? null : label.split(/\*+/))),
  };
}

/** `name` is lower case. */
export function matchLabelPattern(pattern: LabelPattern, name: string): boolean {
  const tokens = pattern.labels;
  if (!tokens.includes(null)) return areMatched(tokens, name);
  const names = name.split('.');
  // reachable[j]: the tokens so far can consume exactly the first j labels.
  let reachable = new Uint8Array(names.length + 1);
  reachable[0] = 1;
  for (const token of tokens) {
    const next = new Uint8Array(names.length + 1);
    for (let j = 0; j < names.length; j++) {
      const label = names[j] as string;
      if (token === null) {
        if ((reachable[j] === 1 || next[j] === 1) && isName(label)) next[j + 1] = 1;
      } else if (reachable[j] === 1 && matchLabel(token, label)) {
        next[j + 1] = 1;
      }
    }
    reachable = next;
  }
  return reachable[names.length] === 1;
}

/** Each label has its own token. No list of them is made: a question is asked of many patterns. */
function areMatched(tokens: readonly LabelToken[], name: string): boolean {
  const last = tokens.length - 1;
  let from = 0;
  for (let i = 0; i <= last; i++) {
    const dot = name.indexOf('.', from);
    if ((dot === -1) !== (i === last)) return false;
    const token = tokens[i] as LabelToken;
    const label = name.slice(from, dot === -1 ? name.length : dot);
    if (token === null || !matchLabel(token, label)) return false;
    from = dot + 1;
  }
  return true;
}

/** True for a label of one or more name characters. */
export function isName(label: string): boolean {
  return /^[-a-z0-9_]+$/.test(label);
}

/** `parts` between stars; one part = no star. Leftmost placement of each part is enough for "*". */
function matchLabel(parts: readonly string[], label: string): boolean {
  const first = parts[0] as string;
  if (parts.length === 1) return label === first;
  const last = parts[parts.length - 1] as string;
  if (label.length < first.length + last.length) return false;
  if (!label.startsWith(first) || !label.endsWith(last)) return false;
  let from = first.length;
  const end = label.length - last.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const part = parts[i] as string;
    const at = label.indexOf(part, from);
    if (at === -1 || at + part.length > end) return false;
    from = at + part.length;
  }
  return label === '' || isName(label);
}
