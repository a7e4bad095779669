/**
 * Which objects are policies, by kind and API group. Folders hold more than policies: an object of any other kind
 * is passed over, but one that may have been meant as a policy is an error, as to pass it over would open what it
 * closes.
 */
import { nearestName } from '../../model/nearest.ts';
import type { Field } from './field.ts';
import type { Fields } from './object_reader.ts';

interface PolicyKind {
  readonly group: string;
  readonly versions: readonly string[];
  /** Other projects have a kind of that name. */
  readonly isCommonName?: boolean;
}

const KINDS: ReadonlyMap<string, PolicyKind> = new Map([
  ['CiliumNetworkPolicy', { group: 'cilium.io', versions: ['v2'] }],
  ['CiliumClusterwideNetworkPolicy', { group: 'cilium.io', versions: ['v2'] }],
  ['CiliumCIDRGroup', { group: 'cilium.io', versions: ['v2', 'v2alpha1'] }],
  ['CiliumEnvoyConfig', { group: 'cilium.io', versions: ['v2'] }],
  ['CiliumClusterwideEnvoyConfig', { group: 'cilium.io', versions: ['v2'] }],
  [
    'ClusterNetworkPolicy',
    { group: 'policy.networking.k8s.io', versions: ['v1alpha2'], isCommonName: true },
  ],
  ['AdminNetworkPolicy', { group: 'policy.networking.k8s.io', versions: ['v1alpha1'] }],
  ['BaselineAdminNetworkPolicy', { group: 'policy.networking.k8s.io', versions: ['v1alpha1'] }],
  ['NetworkPolicy', { group: 'networking.k8s.io', versions: ['v1'], isCommonName: true }],
]);

export type KindOf =
  | { readonly kind: 'policy'; readonly name: string }
  /** Of another kind, and nobody's policy. */
  | { readonly kind: 'other'; readonly name: string }
  | { readonly kind: 'problem'; readonly field: Field; readonly message: string };

/** What items of a list of one kind may leave out. */
export interface Inherited {
  readonly kind: string;
  readonly apiVersion: unknown;
}

/** `root` is the object, `all` its fields. */
export function kindOf(root: Field, all: Fields, inherited: Inherited | null): KindOf {
  const kindField = all.get('kind');
  const name = kindField === undefined ? inherited?.kind : kindField.value;
  const versionField = all.get('apiVersion');
  const apiVersion = versionField === undefined ? inherited?.apiVersion : versionField.value;
  if (typeof name !== 'string') {
    const found = kindField === undefined ? 'no kind' : `kind ${kindField.shown}`;
    return problem(kindField ?? root, noPolicyText(found));
  }
  if (listKindOf(all) !== null) {
    return problem(
      kindField ?? root,
      `is a list within a list (found kind "${name}"); write its items there`,
    );
  }
  if (name === 'List')
    return problem(kindField ?? root, 'is no policy (found a List without items)');
  const known = KINDS.get(name);
  if (known === undefined) {
    if (typeof apiVersion !== 'string' || apiVersion === '') {
      return problem(kindField ?? root, noPolicyText(`kind "${name}", and no apiVersion`));
    }
    const meant = all.has('items') ? meantList(name, apiVersion) : meantKind(name, apiVersion);
    return meant === null
      ? { kind: 'other', name }
      : problem(kindField ?? root, `is no policy (found kind "${name}"; did you mean ${meant}?)`);
  }
  const allowed = known.versions.map((version) => `${known.group}/${version}`);
  if (apiVersion === undefined || apiVersion === null) {
    return problem(root, `apiVersion is required (allowed: ${allowed.join(', ')})`);
  }
  if (allowed.some((version) => version === apiVersion)) return { kind: 'policy', name };
  if (known.isCommonName === true && isOfOthers(apiVersion, known.group)) {
    return { kind: 'other', name };
  }
  return problem(
    versionField ?? root,
    `is no apiVersion of ${name} (found ${versionField?.shown ?? JSON.stringify(apiVersion)}; allowed: ${allowed.join(', ')})`,
  );
}

/** The kind of the items of a list: `kubectl get -o yaml` writes List, the API a list of its kind; null: no list. */
export function listKindOf(all: Fields): string | null {
  const kind = all.get('kind')?.value;
  if (typeof kind !== 'string' || !kind.endsWith('List') || !all.has('items')) return null;
  const item = kind.slice(0, -'List'.length);
  return item === '' || KINDS.has(item) ? item : null;
}

function noPolicyText(found: string): string {
  return `is no policy (found ${found}; allowed: ${[...KINDS.keys()].join(', ')}, or a wire policy with endpoint_ips; objects of other kinds, with kind and apiVersion, are passed over)`;
}

/** Groups that once had the kind, and a version alone, are not those of others. */
function isOfOthers(apiVersion: unknown, group: string): boolean {
  if (typeof apiVersion !== 'string' || !apiVersion.includes('/')) return false;
  const own = apiVersion.slice(0, apiVersion.indexOf('/'));
  return !OWN_GROUPS.has(own) && own !== 'extensions' && nearestName(own, [group]) === null;
}

/** A kind of one of these under another one is a slip: NetworkPolicy in cilium.io. */
const OWN_GROUPS: ReadonlySet<string> = new Set([...KINDS.values()].map(({ group }) => group));

/** The policy that may have been meant: a name with a slip in it, a short name, or a policy that Cilium does not have. */
function meantKind(name: string, apiVersion: string): string | null {
  const singular = name.trim().replace(/ies$/i, 'y');
  const near = nearestName(singular, KINDS.keys(), SLIPS_MAX);
  if (near !== null) return near;
  const short = SHORT_NAMES.get(name.trim().toLowerCase());
  if (short !== undefined) return short;
  const isCiliumKind = apiVersion.trim().startsWith('cilium.io/') || /^cilium/i.test(name.trim());
  const isPolicy = /policy$/i.test(singular);
  return isCiliumKind && isPolicy && !OTHER_CILIUM_POLICIES.has(name)
    ? 'CiliumNetworkPolicy'
    : null;
}

/** Of an object with items: what is passed over with them may be policies. */
function meantList(name: string, apiVersion: string): string | null {
  const item = name.trim().replace(/lists?$/i, '');
  if (item === name.trim()) return meantKind(name, apiVersion);
  if (item === '') return 'List';
  const meant = meantKind(item, apiVersion);
  return meant === null ? null : `${meant}List`;
}

/** As kubectl takes them for the kinds on its command line. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['cnp', 'CiliumNetworkPolicy'],
  ['ciliumnp', 'CiliumNetworkPolicy'],
  ['ccnp', 'CiliumClusterwideNetworkPolicy'],
  ['ccg', 'CiliumCIDRGroup'],
  ['netpol', 'NetworkPolicy'],
]);

const SLIPS_MAX = 2;

const OTHER_CILIUM_POLICIES: ReadonlySet<string> = new Set([
  'CiliumLocalRedirectPolicy',
  'CiliumEgressGatewayPolicy',
  'CiliumEgressNATPolicy',
  'CiliumBGPPeeringPolicy',
  'CiliumL2AnnouncementPolicy',
]);

function problem(field: Field, message: string): KindOf {
  return { kind: 'problem', field, message };
}
