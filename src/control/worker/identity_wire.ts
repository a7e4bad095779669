/**
 * Batches of identities as bytes, as `resolved_wire.ts` has whole sets: a number for each thing, names for none, as
 * thousands a minute go to every worker.
 */
import { deserialize, serialize } from 'node:v8';
import { type IpPrefix, networkFromBytes } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import {
  BrokenTableError,
  type EndpointPlace,
  type IdentityBatch,
  type IdentityDelta,
} from '../../policy/identity/delta.ts';
import type { IdentityEntry } from '../../policy/identity/identity_entry.ts';
import { LabelSet } from '../../policy/selector.ts';

export type SentPrefix = readonly [bytes: Uint8Array, length: number];

export type SentIdentity = readonly [
  identity: Identity,
  labels: readonly string[],
  prefixes: readonly SentPrefix[],
];

/** A batch that is on its way: who passes it on needs its number only. */
export interface SentBatch {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

type SentDelta =
  | readonly [kind: 'upsert-address', ...SentPrefix, identity: Identity]
  | readonly [kind: 'remove-address', ...SentPrefix]
  | readonly [kind: 'add-identity', ...SentIdentity]
  | readonly [kind: 'remove-identity', identity: Identity]
  | readonly [kind: 'upsert-endpoint', endpoint: EndpointPlace]
  | readonly [kind: 'remove-endpoint', name: string, ips: readonly string[]];

export function encodeBatch({ sequence, deltas }: IdentityBatch): SentBatch {
  return { sequence, bytes: serialize(deltas.map(sentDelta)) };
}

/** Throws a BrokenTableError for bytes that `encodeBatch` did not make. */
export function decodeBatch({ sequence, bytes }: SentBatch): IdentityBatch {
  try {
    return { sequence, deltas: (deserialize(bytes) as readonly SentDelta[]).map(deltaOf) };
  } catch (error) {
    throw new BrokenTableError(`batch ${sequence} cannot be read`, { cause: error });
  }
}

export function sentPrefix({ address, length }: IpPrefix): SentPrefix {
  return [address.bytes, length];
}

export function prefixOf([bytes, length]: SentPrefix): IpPrefix {
  const address = networkFromBytes(bytes);
  return { address, length, text: `${address.text}/${length}` };
}

export function sentIdentity({ identity, set, prefixes }: IdentityEntry): SentIdentity {
  return [identity, set.labels, prefixes.map(sentPrefix)];
}

export function identityOf([identity, labels, prefixes]: SentIdentity): IdentityEntry {
  return { identity, set: new LabelSet(labels), prefixes: prefixes.map(prefixOf) };
}

function sentDelta(delta: IdentityDelta): SentDelta {
  switch (delta.kind) {
    case 'upsert-address':
      return [delta.kind, ...sentPrefix(delta.prefix), delta.identity];
    case 'remove-address':
      return [delta.kind, ...sentPrefix(delta.prefix)];
    case 'add-identity':
      return [delta.kind, delta.identity, delta.labels, delta.prefixes.map(sentPrefix)];
    case 'remove-identity':
      return [delta.kind, delta.identity];
    case 'upsert-endpoint':
      return [delta.kind, delta.endpoint];
    case 'remove-endpoint':
      return [delta.kind, delta.name, delta.ips];
  }
}

function deltaOf(sent: SentDelta): IdentityDelta {
  switch (sent[0]) {
    case 'upsert-address':
      return { kind: sent[0], prefix: prefixOf([sent[1], sent[2]]), identity: sent[3] };
    case 'remove-address':
      return { kind: sent[0], prefix: prefixOf([sent[1], sent[2]]) };
    case 'add-identity':
      return {
        kind: sent[0],
        identity: sent[1],
        labels: sent[2],
        prefixes: sent[3].map(prefixOf),
      };
    case 'remove-identity':
      return { kind: sent[0], identity: sent[1] };
    case 'upsert-endpoint':
      return { kind: sent[0], endpoint: sent[1] };
    case 'remove-endpoint':
      return { kind: sent[0], name: sent[1], ips: sent[2] };
    default:
      throw new BrokenTableError('a delta of a kind that is not known');
  }
}
