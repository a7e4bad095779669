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
import { asciiLower } from './value_match.ts';

export interface SniPattern {
  readonly text: string;
  readonly matches: (serverName: string) => boolean;
}

const LABEL = /^(\*{1,2}|\*?[-a-z0-9_]+(\*[-a-z0-9_]+)*\*?)$/;

/** npds.proto's validity pattern. Null = "SniPattern: Unsupported match pattern". */
export function parseSniPattern(text: string): SniPattern | null {
  const lower = asciiLower(text);
  if (!lower.split('.').every((label) => LABEL.test(label))) return null;
  if (!lower.includes('*')) return { text, matches: (name) => asciiLower(name) === lower };
  if (lower === '*') return { text, matches: isAnyName };
  const pattern: LabelPattern = parseLabelPattern(lower);
  return { text, matches: (name) => name !== '' && matchLabelPattern(pattern, asciiLower(name)) };
}

function isAnyName(serverName: string): boolean {
  return asciiLower(serverName).split('.').every(isName);
}
