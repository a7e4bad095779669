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
import { namePatternWork, textWork } from './verdict_work.ts';

export interface SniPattern {
  readonly text: string;
  readonly matches: (serverName: string) => boolean;
  /** Of asking about a name of so many characters. */
  readonly work: (length: number) => number;
}

const LABEL = /^(\*{1,2}|\*?[-a-z0-9_]+(\*[-a-z0-9_]+)*\*?)$/;

/** npds.proto's validity pattern. Null = "SniPattern: Unsupported match pattern". */
export function parseSniPattern(text: string): SniPattern | null {
  const lower = asciiLower(text);
  if (!lower.split('.').every((label) => LABEL.test(label))) return null;
  if (!lower.includes('*')) {
    return { text, matches: (name) => asciiLower(name) === lower, work: nameWork };
  }
  if (lower === '*') return { text, matches: isAnyName, work: anyNameWork };
  const pattern: LabelPattern = parseLabelPattern(lower);
  return {
    text,
    matches: (name) => name !== '' && matchLabelPattern(pattern, asciiLower(name)),
    work: (length) => namePatternWork(pattern.labels.length, length),
  };
}

function nameWork(length: number): number {
  return textWork(length, true);
}

function anyNameWork(length: number): number {
  return namePatternWork(1, length);
}

function isAnyName(serverName: string): boolean {
  return asciiLower(serverName).split('.').every(isName);
}
