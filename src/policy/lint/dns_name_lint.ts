/** Lint of names in `toFQDNs` and `rules.dns`: those that nobody can ask for, and stars that stand for less than they look like. */
import type { DnsRule } from '../ast.ts';
import type { DirectionRule } from '../rule.ts';
import { dnsName } from './dns_name.ts';
import { type Finding, finding } from './finding.ts';

/** RFC 1035 2.3.4; a name of 255 bytes has 253 characters. */
const LABEL_CHARS_MAX = 63;
const NAME_CHARS_MAX = 253;
/** `*.amazonaws.com` most likely means all that is below; who writes `*.eu-1.svc.example.com` has looked at the names. */
const BROAD_LABELS_MAX = 2;

type NameOrPattern = Pick<DnsRule, 'matchName' | 'matchPattern'>;

export function lintDnsNames(rule: DirectionRule): Finding[] {
  const lists = [
    { origin: rule.origin, names: (rule.peers ?? []).filter((peer) => peer.kind === 'fqdn') },
    ...(rule.ports ?? []).map(({ origin, l7 }) => ({
      origin,
      names: l7.kind === 'dns' ? l7.rules : [],
    })),
  ];
  return lists.flatMap(({ origin, names }) => [
    ...names.flatMap((name) => {
      const why = unaskable(name);
      return why === null ? [] : [finding('never-matches', origin, { message: why })];
    }),
    ...shortStars(names).map(({ message, instead }) =>
      finding('star-within-label', origin, { message, instead }),
    ),
  ]);
}

/** Why no question can have such a name; null when one can. */
function unaskable({ matchName, matchPattern }: NameOrPattern): string | null {
  const written = matchName ?? matchPattern ?? '';
  const name = dnsName(written);
  if (name === '') return null;
  if (matchName !== null && /^[0-9]+(\.[0-9]+){3}$/.test(name)) {
    return `${written} is an address, and nobody asks for the address of an address: a CIDR names it`;
  }
  // A star may stand for nothing.
  const labels = name.replace(/^\*\*+\./, '').split('.');
  const least = labels.map((label) => (label === '*' ? 'x' : label.replaceAll('*', '')));
  if (labels.includes('')) return `${written} has an empty label, which no name has`;
  if (least.some((label) => label.length > LABEL_CHARS_MAX)) {
    return `${written} has a label of more than ${LABEL_CHARS_MAX} characters, which no name has`;
  }
  if (least.join('.').length > NAME_CHARS_MAX) {
    return `a name has at most ${NAME_CHARS_MAX} characters, and ${written} has more`;
  }
  return null;
}

interface ShortStar {
  readonly message: string;
  readonly instead: string;
}

function shortStars(names: readonly NameOrPattern[]): readonly ShortStar[] {
  const patterns = names.flatMap(({ matchPattern }) => matchPattern ?? []).map(dnsName);
  const known = new Set(patterns);
  return patterns.flatMap((pattern): ShortStar[] => {
    if (/^\*+$/.test(pattern)) return [];
    if (pattern.replace(/^\*\*+\./, '').includes('**')) return [inTheMiddle(pattern)];
    const parent = /^\*\.([^*]+)$/.exec(pattern)?.[1];
    if (parent === undefined || known.has(`**.${parent}`)) return [];
    return parent.split('.').length > BROAD_LABELS_MAX ? [] : [oneLabel(parent)];
  });
}

function inTheMiddle(pattern: string): ShortStar {
  return {
    message: `${pattern}: "**" spans labels at the beginning and before a dot only; here it stands for characters of one label, as "*" does`,
    instead: `matchPattern: "${pattern.replace(/^\*\*+(?=[^.])/, '**.').replaceAll(/(?<=.)\*\*+/g, '*')}"`,
  };
}

function oneLabel(parent: string): ShortStar {
  return {
    message: `*.${parent} is one label before ${parent}, so a.b.${parent} is not meant; for all names below, whatever their labels, say so`,
    instead: `matchPattern: "**.${parent}"`,
  };
}
