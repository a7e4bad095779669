/**
 * Who an address is that a name has taught: whoever it would be without the name, and selected by the selectors of the
 * name besides. So what CIDR rules say of it stays said, a deny above all. An address that is somebody's in the cluster,
 * or that has a number set by hand, stays theirs.
 *
 *     203.0.113.7, fqdn:api.example.com ──► labels of 203.0.113.0/24, which some rule names, and fqdn:api.example.com
 *
 * Addresses with the same labels are one identity, as in Cilium (pkg/fqdn/namemanager): a name with a thousand addresses
 * costs one.
 */
import type { IpAddress, IpPrefix } from '../../model/address.ts';
import {
  IDENTITY_WORLD,
  type Identity,
  LOCAL_IDENTITY_FLAG,
  RESERVED_IDENTITIES,
} from '../../model/identity.ts';
import type { IdentityEntry } from '../identity/identity_entry.ts';
import type { IpcacheEntry } from '../identity/ipcache.ts';
import { cidrLabel, labelSetKey, reservedLabel, sortedLabels } from '../labels.ts';
import type { AllocationRequest } from './identity_allocator.ts';

/** One identity of learned addresses. */
export interface LearnedGroup {
  /** For the allocator: sticky, whatever other prefixes rules name. */
  readonly request: AllocationRequest;
  readonly labels: readonly string[];
  readonly prefixes: readonly IpPrefix[];
}

/** Who has the address without its names. */
export interface LearnedBase {
  /** Null: no prefix covers it. */
  readonly cover: IpcacheEntry | null;
  /** Of the identity of `cover`. */
  readonly entry: IdentityEntry | null;
  /** Somebody gave that number by hand, and means no other one. */
  readonly isByHand: boolean;
}

const WORLDS: ReadonlySet<Identity> = new Set([
  IDENTITY_WORLD,
  RESERVED_IDENTITIES['world-ipv4'] as Identity,
  RESERVED_IDENTITIES['world-ipv6'] as Identity,
]);

/** `labels`: of the names. Null: names do not change who it is. */
export function learnedGroup(
  { family }: IpAddress,
  labels: readonly string[],
  { cover, entry, isByHand }: LearnedBase,
): LearnedGroup | null {
  const world = [reservedLabel('world'), reservedLabel(family === 4 ? 'world-ipv4' : 'world-ipv6')];
  if (cover === null) return groupOf(labels, world, null);
  const { prefix, identity } = cover;
  if (WORLDS.has(identity)) return groupOf(labels, world, prefix.length === 0 ? prefix : null);
  const isOfCidr = entry?.prefixes.some(({ text }) => text === prefix.text) === true;
  if (isByHand || !isOfCidr || (identity & LOCAL_IDENTITY_FLAG) === 0) return null;
  return groupOf(labels, entry.set.labels, prefix);
}

function groupOf(
  names: readonly string[],
  base: readonly string[],
  prefix: IpPrefix | null,
): LearnedGroup {
  const worlds = base.filter((label) => label.startsWith(WORLD_PREFIX));
  const own = prefix === null ? worlds : [...worlds, cidrLabel(prefix)];
  return {
    request: { scope: 'local', key: `learned ${labelSetKey([...names, ...own])}` },
    labels: sortedLabels([...names, ...base]),
    prefixes: prefix === null ? [] : [prefix],
  };
}

const WORLD_PREFIX = reservedLabel('world');
