/** How near a DNS name came to a name or pattern of rules.dns, for a person. */
import { asciiLower } from './value_match.ts';

export interface DnsNearness {
  /** Null: it is something else altogether. */
  readonly hint: string | null;
  /** Labels at the end that are equal, and more for a hint. */
  readonly nearness: number;
}

export function dnsNearness(pattern: string, name: string): DnsNearness {
  const wanted = withoutRoot(pattern);
  const asked = withoutRoot(name);
  const hint = hintOf(wanted, asked);
  return { hint, nearness: commonLabels(wanted, asked) + (hint === null ? 0 : 100) };
}

function hintOf(wanted: string, asked: string): string | null {
  const apex = /^\*+\.([^*]+)$/.exec(wanted)?.[1];
  if (apex !== undefined && asked === apex) return `it does not cover ${apex} itself`;
  if (apex !== undefined && asked.endsWith(`.${apex}`)) {
    return `"*" stands within one label; **.${apex} covers names of any depth`;
  }
  if (asked.startsWith(`${wanted}.`)) {
    return `the question is that name with ${asked.slice(wanted.length + 1)} behind it, as search domains put it`;
  }
  if (asked.endsWith(`.${wanted}`)) return 'a name does not cover what lies below it';
  return null;
}

function commonLabels(wanted: string, asked: string): number {
  const a = wanted.split('.').reverse();
  const b = asked.split('.').reverse();
  let count = 0;
  while (count < a.length && count < b.length && a[count] === b[count]) count++;
  return count;
}

function withoutRoot(name: string): string {
  const lower = asciiLower(name.trim());
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}
