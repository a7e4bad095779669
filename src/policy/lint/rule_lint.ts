/** Lint of single rules: peers that select more or less than they look like, and names that cover less. */
import { NAMESPACE_KEY } from '../labels.ts';
import type { DirectionRule, LabelRequirement, Peer, PolicySpec } from '../rule.ts';
import { dnsName } from './dns_name.ts';
import { lintDnsNames } from './dns_name_lint.ts';
import { type Finding, finding } from './finding.ts';

export function lintRule(spec: PolicySpec, rule: DirectionRule): Finding[] {
  return [
    ...emptyRule(spec, rule),
    ...emptyPeers(rule),
    ...(rule.peers ?? []).flatMap((peer) => negativeSelector(rule, peer)),
    ...nodeEntities(rule),
    ...apexes(rule),
    ...lintDnsNames(rule),
  ];
}

function hasPorts({ ports }: DirectionRule): boolean {
  return ports !== null && ports.length > 0;
}

function emptyRule(spec: PolicySpec, rule: DirectionRule): Finding[] {
  const isEmpty = rule.peers === null && !hasPorts(rule) && !rule.hasIcmps;
  if (!isEmpty || rule.action !== 'allow') return [];
  // Nobody wrote it: a NetworkPolicy without rules for a direction that it isolates stands where its spec does.
  if (rule.origin.rule === spec.origin.rule) return [];
  const peers = rule.direction === 'ingress' ? 'fromEntities' : 'toEntities';
  const does = spec.enableDefaultDeny[rule.direction]
    ? `it only switches default deny of ${rule.direction} on`
    : 'it does nothing at all';
  const message = `{} allows nothing, other than in a Kubernetes NetworkPolicy: ${does}; to allow everything, say so`;
  return [finding('empty-rule', rule.origin, { message, instead: `${peers}: [all]` })];
}

/** Of deny rules decoding says it; with L7 rules it is told of these. */
function emptyPeers(rule: DirectionRule): Finding[] {
  const hasL7 = rule.ports?.some(({ l7 }) => l7.kind !== 'none') === true;
  if (rule.peers === null || rule.peers.length > 0 || rule.action !== 'allow' || hasL7) return [];
  const message = `the list of peers is empty and selects nobody, so this rule allows nothing; who means only default deny writes ${rule.direction}: [{}]`;
  return [finding('empty-peers', rule.origin, { message })];
}

/**
 * `NotIn` and `DoesNotExist` hold for whoever has no such label, so also for all that is no pod. A peer that names no
 * cluster is saved from that by the label of its own one, which Cilium asks for since 1.19 only.
 */
function negativeSelector(rule: DirectionRule, peer: Peer): Finding[] {
  if (peer.kind !== 'selector') return [];
  const { requirements } = peer.selector;
  if (requirements.length === 0 || !requirements.every(isNegative)) return [];
  const keys = requirements.map(({ key }) => key.replace(/^(any|k8s):/, ''));
  const verb = rule.action === 'deny' ? 'denies' : 'allows';
  const others = 'all that has no labels of pods: world, host and remote nodes';
  const what = peer.isLocalCluster
    ? `so it ${verb} every other pod of the cluster, and before Cilium 1.19 it also ${verb} ${others}`
    : `so it also ${verb} ${others}`;
  const message = `the selector only excludes (${keys.join(', ')}), ${what}; for pods alone there must be one more expression`;
  const instead = `{ key: k8s:${NAMESPACE_KEY}, operator: Exists }`;
  return [finding('negative-selector', rule.origin, { message, instead })];
}

function isNegative({ operator }: LabelRequirement): boolean {
  return operator === 'not-in' || operator === 'does-not-exist';
}

function nodeEntities(rule: DirectionRule): Finding[] {
  const entities = new Set(
    (rule.peers ?? []).flatMap((peer) => (peer.kind === 'entity' ? peer.entity : [])),
  );
  const [hasServer, hasNodes] = [entities.has('kube-apiserver'), entities.has('remote-node')];
  if (hasServer === hasNodes) return [];
  const message = hasServer
    ? 'kube-apiserver is an address: where the API server runs on a node of the cluster, all that has this node’s address is meant, too, and the nodes without an API server are not'
    : 'remote-node covers every node, those on which an API server runs (kube-apiserver) among them';
  return [finding('apiserver-is-node', rule.origin, { message })];
}

function apexes(rule: DirectionRule): Finding[] {
  const peers = (rule.peers ?? []).filter((peer) => peer.kind === 'fqdn');
  const lists = [
    { origin: rule.origin, field: 'matchName', names: peers },
    ...(rule.ports ?? []).flatMap(({ origin, l7, serverNames }) => [
      { origin, field: 'matchName', names: l7.kind === 'dns' ? l7.rules : [] },
      {
        origin,
        field: 'serverNames',
        names: serverNames.map((name) =>
          name.includes('*')
            ? { matchName: null, matchPattern: name }
            : { matchName: name, matchPattern: null },
        ),
      },
    ]),
  ];
  return lists.flatMap(({ origin, field, names }) => {
    const missing = missingApexes(names);
    if (missing.length === 0) return [];
    const [first = ''] = missing;
    const more = missing.length > 1 ? ` (and ${missing.length - 1} more)` : '';
    const message = `*.${first}${more} does not cover ${first} itself; if that is meant, too, name it`;
    const instead = field === 'matchName' ? `matchName: ${first}` : first;
    return [finding('apex-not-covered', origin, { message, instead })];
  });
}

interface NameOrPattern {
  readonly matchName: string | null;
  readonly matchPattern: string | null;
}

/** Names whose subdomains are in the list, and which are not in it themselves. */
function missingApexes(names: readonly NameOrPattern[]): readonly string[] {
  const known = new Set(names.map(({ matchName }) => dnsName(matchName ?? '')));
  if (names.some(({ matchPattern }) => /^\*+\.?$/.test(matchPattern ?? ''))) return [];
  const apexes = names.flatMap(({ matchPattern }) => {
    const apex = /^\*+\.([^*]+)$/.exec(matchPattern ?? '')?.[1];
    return apex === undefined || known.has(dnsName(apex)) ? [] : [dnsName(apex)];
  });
  return [...new Set(apexes)];
}
