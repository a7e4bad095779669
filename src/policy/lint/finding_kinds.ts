/**
 * The kinds of findings, by the id under which they are told and ignored. Ids are part of what users
 * rely on: one that is no longer told stays known, so that who ignores it is not told of a mistake.
 */

/**
 * `error`: rejects the set, and cannot be ignored. `warning`: most likely not what was meant.
 * `note`: true, and often forgotten.
 */
export type FindingSeverity = 'error' | 'warning' | 'note';

export interface FindingKind {
  readonly severity: FindingSeverity;
  /** One sentence, as docs/findings.md has it. */
  readonly about: string;
}

const error = (about: string): FindingKind => ({ severity: 'error', about });
const warning = (about: string): FindingKind => ({ severity: 'warning', about });
const note = (about: string): FindingKind => ({ severity: 'note', about });

export const FINDING_KINDS = {
  // Of decoding and resolving.
  invalid: error('The document cannot be read or enforced; the whole set is rejected.'),
  advice: warning('Something is read otherwise than it looks, or has no effect.'),
  'api-server-refuses': warning(
    'It is enforced here as it stands, but the Kubernetes API server refuses the object.',
  ),
  'null-pruned': warning(
    'A field has no value: the API server leaves it out, and so it is left out here.',
  ),
  'differs-from-cilium': note(
    'The policy meets one of the places where Sallyport differs from Cilium on purpose.',
  ),
  'not-a-policy': note('A document is of another kind and is passed over.'),
  'selects-nobody': warning('A selector contradicts itself, so it selects nobody.'),
  'unknown-finding': warning('An id in `ignore-findings` or `--ignore` names no finding.'),

  // Of HTTP rules.
  'never-matches': warning('A rule that no request, or a name that no question, can match.'),
  shadowed: warning('A rule that adds nothing to another one of its list.'),
  'implied-anchor': note('Patterns match the whole value, so `^` and `$` at the ends say nothing.'),
  'bare-dot': note(
    'A dot in a host, or a segment of dots in a path, that stands for any character.',
  ),
  'glob-not-regex': warning('A pattern that reads like a glob.'),
  'prefix-not-segment': note('A path pattern that goes on in the middle of a segment.'),
  'path-too-costly': warning(
    'Path patterns that cost more to ask about a long path than a verdict may, so that it is denied.',
  ),
  'query-forgotten': note('The query is part of the path that is matched.'),
  'host-case': note('A host with upper-case letters, which no client sends.'),
  'header-misread': warning('A header string that is read otherwise than it looks.'),
  'header-match-unused': warning('A header match that can have no effect.'),
  'l4-voids-l7': warning(
    'A rule without L7 rules allows everything that L7 rules on the same port restrict.',
  ),
  'dns-beside-http': warning(
    'DNS rules beside HTTP rules on one port for the same remotes: they exclude each other.',
  ),
  'never-redirected': warning('L7 rules where no connection is ever handed to the proxy.'),
  'never-denies': note('L7 rules that observe but never deny.'),
  'not-enforced-here': warning('Something that this version can only answer with a denial.'),

  // Of peers and ports.
  'deny-only': warning('Deny rules alone switch default deny on, so nothing is allowed.'),
  'empty-rule': note('`{}` as a rule allows nothing: it only switches default deny on.'),
  'empty-peers': warning('An empty list of peers selects nobody.'),
  'negative-selector': warning(
    'A selector that only excludes selects all other pods; before Cilium 1.19, or where it excludes clusters, also the world, the host and all else without labels.',
  ),
  'label-not-in-identity': warning(
    'A selector asks for a label that Cilium leaves out of the identity of a pod, so no policy sees it.',
  ),
  'fqdn-not-askable': warning('Names in `toFQDNs` that no `rules.dns` lets the endpoints ask for.'),
  'apex-not-covered': note('`*.x` does not cover `x` itself.'),
  'star-within-label': note(
    'A star of a name that stands for characters of one label, where all names below are most likely meant.',
  ),
  'cidr-over-endpoints': warning('A CIDR over addresses of pods or nodes, which no CIDR selects.'),
  'port-name-differs': note(
    'A port name that the endpoints of a rule define differently, so that it means another port for each.',
  ),
  'service-port': warning(
    'An egress rule on the port that clients dial of a Service, whose backends listen on another one.',
  ),
  'no-endpoint-selected': warning('A selector that matches none of the endpoints given.'),
  'apiserver-is-node': note('The API server and the nodes overlap as entities.'),
} as const satisfies Record<string, FindingKind>;

export type FindingId = keyof typeof FINDING_KINDS;

export const FINDING_IDS = Object.keys(FINDING_KINDS) as readonly FindingId[];

export function isFindingId(text: string): text is FindingId {
  return Object.hasOwn(FINDING_KINDS, text);
}

/** False for what rejects the set: to ignore that would not bring the set into force. */
export function isIgnorable(id: FindingId): boolean {
  return FINDING_KINDS[id].severity !== 'error';
}
