/**
 * Why a peer of a rule does not select a remote, for a person: which requirement of its selector failed
 * and what the remote has instead. Whether it selects the remote is the engine's word, not ours. Pure.
 */

import { type IpPrefix, prefixContains } from '../../model/address.ts';
import { CLUSTER_KEY, LABEL_SOURCE_FQDN, NAMESPACE_KEY } from '../labels.ts';
import type { LabelRequirement, LabelSelector, Peer } from '../rule.ts';
import { type LabelSet, requirementHolds } from '../selector.ts';
import { nodeSelector } from './selection.ts';

export interface PeerMismatch {
  /** "app=web, namespace shop"; "entity world"; "10.0.0.0/8". */
  readonly peer: string;
  /** What is wanted and what was found. */
  readonly because: string;
  /** Of its requirements those that hold: 0 to below 1. */
  readonly nearness: number;
}

export interface MismatchFacts {
  readonly labels: LabelSet;
  /** Of a CIDR identity. */
  readonly prefixes: readonly IpPrefix[];
  /** The namespace that selectors of the rule mean when they name none; null for clusterwide ones. */
  readonly namespace: string | null;
}

export function peerMismatch(peer: Peer, facts: MismatchFacts): PeerMismatch {
  switch (peer.kind) {
    case 'selector':
      return selectorMismatch(peer.selector, facts);
    case 'nodes': {
      const isHost = peer.hasHost && facts.labels.valuesOf('reserved:host').length > 0;
      return selectorMismatch(nodeSelector(peer.selector, isHost), facts);
    }
    case 'entity':
      return {
        peer: `entity ${peer.entity}`,
        because: `the entity ${peer.entity}, and the remote is ${remoteText(facts)}`,
        nearness: 0,
      };
    case 'cidr':
      return cidrMismatch(peer.prefix, peer.except, facts);
    case 'cidr-group':
      return ofAddresses(`the CIDR group ${peer.name}`, facts);
    case 'cidr-group-selector':
      return ofAddresses(`CIDR groups with ${selectorText(peer.selector)}`, facts);
    case 'fqdn':
      return fqdnMismatch(peer.matchName ?? peer.matchPattern ?? '', facts);
    case 'service': {
      const name = [peer.namespace, peer.name].filter((part) => part !== null).join('/');
      const text = `service ${name === '' ? 'by its labels' : name}`;
      return {
        peer: text,
        because: `what stands behind the ${text}, and this remote does not`,
        nearness: 0,
      };
    }
    case 'group':
      return {
        peer: peer.about,
        because: `a group of ${peer.about}, which cannot be looked up here`,
        nearness: 0,
      };
  }
}

/** "app=web, namespace shop"; "any endpoint" for one without requirements. */
export function selectorText({ requirements }: LabelSelector): string {
  return requirements.length === 0
    ? 'any endpoint'
    : requirements.map((one) => requirementText(one)).join(', ');
}

/** Nearer than anything of which a written requirement failed. */
const ALMOST = 0.99;

function selectorMismatch(selector: LabelSelector, facts: MismatchFacts): PeerMismatch {
  const { requirements } = selector;
  const failed = requirements.filter((one) => !requirementHolds(one, facts.labels));
  const peer = selectorText(selector);
  if (failed.length === 0) {
    return { peer, because: otherCluster(facts), nearness: ALMOST };
  }
  return {
    peer,
    because: failed.map((one) => failureText(one, facts)).join('; '),
    nearness: 1 - failed.length / requirements.length,
  };
}

/** All that is written holds: what is left is that a peer that names no cluster means the local one. */
function otherCluster({ labels }: MismatchFacts): string {
  const [found = 'none'] = labels.valuesOf(`k8s:${CLUSTER_KEY}`);
  return `the local cluster (the selector names none), and the remote is of cluster ${found}`;
}

function failureText(requirement: LabelRequirement, facts: MismatchFacts): string {
  const found = facts.labels.valuesOf(requirement.key);
  const wanted = requirementText(requirement);
  if (!isNamespace(requirement.key)) {
    const key = bareKey(requirement.key);
    const has = found.length === 0 ? `no label ${key}` : `${key}=${found.join(' and ')}`;
    return `${wanted}, and the remote has ${has}`;
  }
  const where = found.length === 0 ? `is ${remoteText(facts)}` : `is in namespace ${found.join()}`;
  const isOwn =
    requirement.operator === 'in' &&
    requirement.values.length === 1 &&
    requirement.values[0] === facts.namespace;
  const hint =
    isOwn && found.length > 0
      ? ` (${facts.namespace} is the policy’s own: for another one the selector must say k8s:${NAMESPACE_KEY}: ${found.join()})`
      : '';
  return `${wanted}, and the remote ${where}${hint}`;
}

function requirementText({ key, operator, values }: LabelRequirement): string {
  const name = isNamespace(key) ? 'namespace' : bareKey(key);
  switch (operator) {
    case 'in':
      if (key.startsWith('reserved:')) return key;
      if (values.length !== 1) return `${name} one of ${values.join(', ')}`;
      return isNamespace(key) ? `namespace ${values[0]}` : `${name}=${values[0]}`;
    case 'not-in':
      return `${name} none of ${values.join(', ')}`;
    case 'exists':
      return `a label ${bareKey(key)}`;
    case 'does-not-exist':
      return `no label ${bareKey(key)}`;
    case 'gt':
      return `${name} above ${values.join()}`;
    case 'lt':
      return `${name} below ${values.join()}`;
  }
}

function cidrMismatch(
  prefix: IpPrefix,
  except: readonly IpPrefix[],
  facts: MismatchFacts,
): PeerMismatch {
  const excepted = facts.prefixes.find((own) => except.some((outer) => prefixContains(outer, own)));
  if (excepted !== undefined && prefixContains(prefix, excepted)) {
    const because = `${prefix.text} without ${except.map(({ text }) => text).join(', ')}, and the remote is ${excepted.text}`;
    return { peer: prefix.text, because, nearness: 0.5 };
  }
  return ofAddresses(prefix.text, facts);
}

function ofAddresses(what: string, facts: MismatchFacts): PeerMismatch {
  const own = facts.prefixes.map(({ text }) => text).join(', ');
  const isOfCluster = facts.prefixes.length === 0 && !isWorld(facts.labels);
  const because = isOfCluster
    ? `${what}, and the remote is ${remoteText(facts)}: CIDRs select neither pods nor nodes`
    : `${what}, which does not cover ${own === '' ? 'the remote' : own}`;
  return { peer: what, because, nearness: 0 };
}

function fqdnMismatch(name: string, { labels }: MismatchFacts): PeerMismatch {
  const known = labels.labels
    .filter((label) => label.startsWith(`${LABEL_SOURCE_FQDN}:`))
    .map((label) => label.slice(LABEL_SOURCE_FQDN.length + 1));
  const found =
    known.length === 0
      ? 'the remote is not known as an address of it (names are learned from answers to DNS questions)'
      : `the remote is known as ${known.join(', ')}`;
  return { peer: name, because: `${name}, and ${found}`, nearness: 0 };
}

/** What the remote is, where it has no namespace. */
function remoteText({ labels, prefixes }: MismatchFacts): string {
  const namespaces = labels.valuesOf(`k8s:${NAMESPACE_KEY}`);
  if (namespaces.length > 0) return `a pod of namespace ${namespaces.join()}`;
  if (prefixes.length > 0)
    return `${prefixes.map(({ text }) => text).join(', ')} outside the cluster`;
  const reserved = labels.labels.filter((label) => label.startsWith('reserved:'));
  return reserved.length > 0 ? reserved.join(' and ') : 'not known';
}

function isWorld(labels: LabelSet): boolean {
  return ['world', 'world-ipv4', 'world-ipv6'].some(
    (name) => labels.valuesOf(`reserved:${name}`).length > 0,
  );
}

function isNamespace(key: string): boolean {
  return bareKey(key) === NAMESPACE_KEY;
}

function bareKey(key: string): string {
  return key.replace(/^(k8s|any):/, '');
}
