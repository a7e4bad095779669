/**
 * matchName and matchPattern of toFQDNs and rules.dns (pkg/fqdn/matchpattern of 1.19 and later).
 * Names are compared in lower case with a trailing dot. A leading run of two or more stars before a
 * dot is one or more whole labels; any other run of stars is zero or more name characters within
 * one label; only stars is any name, the root included. Blanks are refused, as by the API server.
 */
import { type LabelPattern, matchLabelPattern, parseLabelPattern } from './label_pattern.ts';
import { asciiLower } from './value_match.ts';

const NAME_MAX = 255;

/** Null when valid, else what is wrong, for a person. */
export function fqdnNameProblem(name: string): string | null {
  if (/^[-a-zA-Z0-9_.]+$/.test(name)) return null;
  return 'a DNS name has only letters, digits, "-", "_" and "."';
}

/** Null when valid, else what is wrong, for a person. */
export function fqdnPatternProblem(pattern: string): string | null {
  if (pattern.length > NAME_MAX) return `a DNS pattern has at most ${NAME_MAX} characters`;
  if (/^[-a-zA-Z0-9_.*]+$/.test(pattern)) return null;
  return 'a DNS pattern has only letters, digits, "-", "_", "." and "*"';
}

/** toFQDNs: what a name, as it was learned, is. For rules.dns see `DnsIndex`. */
export function matchFqdnPattern(pattern: string, name: string): boolean {
  return fqdnMatcher(pattern)(canonicalName(name));
}

/** As `matchFqdnPattern`, for many canonical names. */
export function fqdnMatcher(pattern: string): (canonical: string) => boolean {
  if (isAnyFqdn(pattern)) return (canonical) => /^(\.|([-a-z0-9_]+\.)+)$/.test(canonical);
  const parsed = parseFqdnPattern(pattern);
  return (canonical) => matchLabelPattern(parsed, canonical);
}

export function matchFqdnName(matchName: string, name: string): boolean {
  return canonicalName(matchName) === canonicalName(name);
}

export function isAnyFqdn(pattern: string): boolean {
  return /^\*+\.?$/.test(pattern);
}

/** For canonical names. */
export function parseFqdnPattern(pattern: string): LabelPattern {
  const spanning = canonicalName(pattern).replace(/^\*\*+\./, '**.');
  // Stars elsewhere stay within their label, also when a label is "**".
  const [first = '', ...others] = spanning.split('.');
  const labels = [first, ...others.map((label) => label.replace(/\*\*+/g, '*'))];
  return parseLabelPattern(labels.join('.'));
}

/** In lower case, with the dot at its end. */
export function canonicalName(name: string): string {
  const lower = asciiLower(name);
  return lower.endsWith('.') ? lower : `${lower}.`;
}
