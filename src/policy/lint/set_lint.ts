/**
 * Lint of what policies say together: deny rules that stand alone, and names that may be reached but not
 * asked for. One policy helps another when it certainly selects all of the other's endpoints.
 */
import type { Direction } from '../../model/identity.ts';
import type { DirectionRule, Peer, PolicySpec } from '../rule.ts';
import { DnsNames } from './dns_names.ts';
import { type Finding, finding } from './finding.ts';
import { SelectorIndex } from './selector_index.ts';

export function lintSet(specs: readonly PolicySpec[]): Finding[] {
  const enforced = specs.filter(({ isDryRun }) => !isDryRun);
  const directions: readonly Direction[] = ['ingress', 'egress'];
  return [
    ...directions.flatMap((direction) => denyOnly(specs, { direction, enforced })),
    ...unaskable(specs, enforced),
  ];
}

function denyOnly(
  specs: readonly PolicySpec[],
  {
    direction,
    enforced,
  }: { readonly direction: Direction; readonly enforced: readonly PolicySpec[] },
): Finding[] {
  const allowing = new SelectorIndex<{ allows: boolean }>(() => ({ allows: false }));
  for (const spec of enforced) {
    if (rulesOf(spec, direction).some(({ action }) => action !== 'deny')) {
      allowing.at(spec.subject.selector).allows = true;
    }
  }
  return specs.flatMap((spec) => {
    const own = rulesOf(spec, direction);
    const isAlone = own.length > 0 && own.every(({ action }) => action === 'deny');
    // In a tier of its own a deny says nothing of what it does not name.
    if (!isAlone || !spec.enableDefaultDeny[direction] || spec.tier !== 'normal') return [];
    if (allowing.covering(spec.subject.selector).some(({ allows }) => allows)) return [];
    const message = `only deny rules for ${direction}: they switch default deny on, too, and no rule here allows anything for these endpoints, so all ${direction} is denied; if only what is named is to be denied, say so`;
    const instead = `enableDefaultDeny: { ${direction}: false }`;
    return [finding('deny-only', spec.origin, { message, instead })];
  });
}

const NAMES_SHOWN_MAX = 3;

type FqdnPeer = Extract<Peer, { kind: 'fqdn' }>;

/** Who reaches names must be allowed to ask for them where the answer is seen: by rules.dns. */
function unaskable(specs: readonly PolicySpec[], enforced: readonly PolicySpec[]): Finding[] {
  const asking = new SelectorIndex<DnsNames>(() => new DnsNames());
  for (const spec of enforced) {
    for (const rule of rulesOf(spec, 'egress')) {
      if (rule.action !== 'allow') continue;
      for (const { l7 } of rule.ports ?? []) {
        if (l7.kind === 'dns') asking.at(spec.subject.selector).add(l7.rules);
      }
    }
  }
  return specs.flatMap((spec) =>
    rulesOf(spec, 'egress').flatMap((rule) => {
      const peers = (rule.peers ?? []).filter((peer): peer is FqdnPeer => peer.kind === 'fqdn');
      if (peers.length === 0) return [];
      const known = asking.covering(spec.subject.selector).filter(({ isEmpty }) => !isEmpty);
      const missing = peers.filter((peer) => !known.some((names) => names.covers(peer)));
      return missing.length === 0 ? [] : [unaskableFinding(rule, missing, known.length > 0)];
    }),
  );
}

function unaskableFinding(
  rule: DirectionRule,
  missing: readonly FqdnPeer[],
  hasRules: boolean,
): Finding {
  const texts = missing.map(({ matchName, matchPattern }) => matchName ?? matchPattern ?? '');
  const more = texts.length - NAMES_SHOWN_MAX;
  const shown = texts.slice(0, NAMES_SHOWN_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '');
  const why = hasRules
    ? 'no rules.dns for these endpoints lets it be asked'
    : 'these endpoints have no rule with rules.dns';
  const message = `${shown}: ${why}, and addresses are learned from answers to DNS questions that such rules let through, so this never selects anybody; the rule for port 53 must let it be asked`;
  const [first] = missing;
  const entry =
    first?.matchName === null
      ? `matchPattern: "${first.matchPattern ?? ''}"`
      : `matchName: "${first?.matchName ?? ''}"`;
  return finding('fqdn-not-askable', rule.origin, {
    message,
    instead: `rules: { dns: [{ ${entry} }] }`,
  });
}

function rulesOf(spec: PolicySpec, direction: Direction): readonly DirectionRule[] {
  return spec.rules.filter((rule) => rule.direction === direction);
}
