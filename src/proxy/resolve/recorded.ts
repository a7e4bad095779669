/**
 * Recorded identities under the policy in force. What the kernel wrote down at the SYN is who the sides
 * are; a snapshot can only confirm it or end it:
 *
 *     its address has the same labels here        confirmed, under the number that those labels have here
 *     the number means other labels here          ended
 *     a judged endpoint's address is another's    ended: whoever gets an address inherits nothing
 *     the remote's address is another endpoint's  ended, for the same reason
 *     the remote is of the world, and still is    the CIDR identity of this snapshot counts: a rule for a
 *                                                 new CIDR must be met by connections that are open, and
 *                                                 by those that came before the kernel knew it
 *     the remote is reserved (host, remote-node)  stays: only the kernel knows the node's own addresses
 */
import type { ConnectionMeta, RecordedIdentity } from '../../model/connection_meta.ts';
import {
  ALLOCATED_IDENTITY_MIN,
  effectiveIdentity,
  IDENTITY_WORLD,
  type Identity,
  LOCAL_IDENTITY_FLAG,
  RESERVED_IDENTITIES,
} from '../../model/identity.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { LabelLookup } from '../../policy/lookups.ts';
import { identityCheck } from '../../redirect/layout.ts';

/** `meta` as `snapshot` knows its remote; the same object when nothing is new. Null: ended. */
export function confirmed(meta: ConnectionMeta, snapshot: PolicySnapshot): ConnectionMeta | null {
  const { recorded, second } = meta;
  if (recorded === null) return meta;
  const isEgressJudged = meta.direction === 'egress';
  const isIngressJudged = !isEgressJudged || second !== null;
  const source = identityIn(snapshot, meta.source.ip, recorded.source, isEgressJudged);
  const destination = identityIn(
    snapshot,
    meta.destination.ip,
    recorded.destination,
    isIngressJudged,
  );
  if (source === null || destination === null) return null;
  const remoteIdentity = isEgressJudged ? destination : source;
  const isSecondSame = second === null || second.remoteIdentity === source;
  if (remoteIdentity === meta.remoteIdentity && isSecondSame) return meta;
  return Object.freeze({
    ...meta,
    remoteIdentity,
    second: second === null ? null : { ...second, remoteIdentity: source },
  });
}

function identityIn(
  snapshot: PolicySnapshot,
  ip: string,
  recorded: RecordedIdentity,
  isJudged: boolean,
): Identity | null {
  const identity = effectiveIdentity(recorded.identity);
  const { labels } = snapshot;
  const found = snapshot.ipcache.lookup(ip);
  const current = found === null ? IDENTITY_WORLD : effectiveIdentity(found);
  const isWorldNow = isOfWorld(labels, current);
  // Its number then, whatever it meant, is not used.
  if (!isJudged && isWorldNow && wasOfWorld(labels, identity)) return current;
  // Each process numbers label sets by its own history: the labels say who it is, not the number.
  if (checkOf(labels, current) === recorded.check) return current;
  if (checkOf(labels, identity) !== recorded.check) return null;
  const isReserved = identity < ALLOCATED_IDENTITY_MIN;
  return !isJudged && isWorldNow && isReserved ? identity : null;
}

const WORLDS: ReadonlySet<number> = new Set([
  RESERVED_IDENTITIES.world,
  RESERVED_IDENTITIES['world-ipv4'],
  RESERVED_IDENTITIES['world-ipv6'],
]);

function isOfWorld(labels: LabelLookup, identity: Identity): boolean {
  return WORLDS.has(identity) || labels.labelsOf(identity).includes('reserved:world');
}

/** Numbers of the local scope are given to CIDRs only, also those that this snapshot does not name. */
function wasOfWorld(labels: LabelLookup, identity: Identity): boolean {
  return identity >= LOCAL_IDENTITY_FLAG || isOfWorld(labels, identity);
}

/** Kept with the labels themselves, which snapshots share as long as they are who they are. */
const checks = new WeakMap<readonly string[], bigint>();

/** Null for an identity that has no labels here. */
function checkOf(labels: LabelLookup, identity: Identity): bigint | null {
  const own = labels.labelsOf(identity);
  if (own.length === 0) return null;
  let check = checks.get(own);
  if (check === undefined) {
    check = identityCheck(own);
    checks.set(own, check);
  }
  return check;
}
