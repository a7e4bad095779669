/**
 * Server name patterns (cilium/proxy SniPattern): compared in lower case; no star = equality; "*"
 * alone = any name; else `*` within a label and `**` for one or more labels. A connection without
 * a server name matches none.
 */
import {
  isName,
  type LabelPattern,
  matchLabelPattern,
  parseLabelPattern,
} from './label_pattern.ts';

export interface SniPattern {
  readonly text: string;
  readonly matches: (serverName: string) => boolean;
}

const LABEL = /^(\*{1,2}|\*?[-a-z0-9_]+(\*[-a-z0-9_]+)*\*?)$/;

/** npds.proto's validity pattern. Null = "SniPattern: Unsupported match pattern". */
export function parseSniPattern(text: string): SniPattern | null {
  const lower = text.toLowerCase();
  if (!lower.split('.').every((label) => LABEL.test(label))) return null;
  if (!lower.includes('*')) return { text, matches: (name) => name.toLowerCase() === lower };
  if (lower === '*') return { text, matches: isAnyName };
  const pattern: LabelPattern = parseLabelPattern(lower);
  return { text, matches: (name) => name !== '' && matchLabelPattern(pattern, name.toLowerCase()) };
}

function isAnyName(serverName: string): boolean {
  return serverName.toLowerCase().split('.').every(isName);
}
