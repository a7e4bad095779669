/** Whether a selector selects an identity. What is not known is not selected. */
import { type IpPrefix, prefixContains } from '../../model/address.ts';
import { IDENTITY_WORLD, type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import { LABEL_SOURCE_FQDN, parseLabel } from '../labels.ts';
import { matchFqdnPattern } from '../match/fqdn_pattern.ts';
import type { PrefixQuestion, RemoteQuestion } from '../remote_selector.ts';
import { selectorMatches } from '../selector.ts';
import type { IdentityEntry } from './identity_entry.ts';

export function selects(question: RemoteQuestion, entry: IdentityEntry): boolean {
  switch (question.kind) {
    case 'labels':
      return selectorMatches(question.selector, entry.set);
    case 'prefixes':
      return isCovered(entry, question) || coveredWorlds(question).includes(entry.identity);
    case 'fqdn':
      return entry.set.labels.some((label) => fqdnLabelMatches(label, question));
  }
}

/**
 * A whole family is also the world itself (api/cidr.go), which stands for every address that no
 * prefix covers. The identity, not its label: every CIDR identity has that one, also an exception.
 */
export function coveredWorlds({ prefixes, except }: PrefixQuestion): readonly Identity[] {
  return prefixes.flatMap((prefix) => {
    const isExcepted = except.some((outer) => prefixContains(outer, prefix));
    if (prefix.length > 0 || isExcepted) return [];
    const family = prefix.address.family === 4 ? 'world-ipv4' : 'world-ipv6';
    return [IDENTITY_WORLD, RESERVED_IDENTITIES[family] as Identity];
  });
}

function isCovered({ prefixes }: IdentityEntry, question: PrefixQuestion): boolean {
  if (prefixes.length === 0) return false;
  const covers = (prefix: IpPrefix): boolean =>
    question.prefixes.some((outer) => prefixContains(outer, prefix)) &&
    !question.except.some((outer) => prefixContains(outer, prefix));
  return question.mode === 'every' ? prefixes.every(covers) : prefixes.some(covers);
}

/** The names that an identity's "fqdn:" labels have, normalised: a selector of one of them selects it. */
export function fqdnNamesOf({ set }: IdentityEntry): readonly string[] {
  // Hardly any identity has one, and all are asked.
  if (!set.labels.some((label) => label.startsWith(FQDN_PREFIX))) return NO_NAMES;
  return set.labels.flatMap((label) => {
    const parsed = parseLabel(label);
    return parsed?.source === LABEL_SOURCE_FQDN ? [normaliseName(parsed.key)] : [];
  });
}

const FQDN_PREFIX = `${LABEL_SOURCE_FQDN}:`;
const NO_NAMES: readonly string[] = [];

/**
 * An "fqdn:" label is the text of the selector that learnt the address (Cilium's form) or a name.
 * One with a star is only ever equal to a selector, it is no name that a pattern could match.
 */
function fqdnLabelMatches(
  label: string,
  { text, isPattern }: { readonly text: string; readonly isPattern: boolean },
): boolean {
  const parsed = parseLabel(label);
  if (parsed?.source !== LABEL_SOURCE_FQDN) return false;
  if (normaliseName(parsed.key) === text) return true;
  return isPattern && !parsed.key.includes('*') && matchFqdnPattern(text, parsed.key);
}

export function normaliseName(name: string): string {
  const lower = name.trim().toLowerCase();
  return lower.endsWith('.') ? lower.slice(0, -1) : lower;
}
