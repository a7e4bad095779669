/** What Cilium's agents and its operator say of identities: CiliumIdentity, CiliumEndpoint, CiliumEndpointSlice. */
import type { IpAddress } from '../../../model/address.ts';
import { ALLOCATED_IDENTITY_MIN, type Identity, parseIdentity } from '../../../model/identity.ts';
import { canonicalLabel, sortedLabels } from '../../../policy/labels.ts';
import { type Decoded, FactReader, type FactsName, uniqueIps } from './fact_reader.ts';
import { pair } from './node.ts';
import { secondsOf } from './pod.ts';

export interface CiliumIdentityFacts {
  readonly identity: Identity;
  readonly createdS: number;
  /** Canonical. */
  readonly labels: readonly string[];
}

export interface CiliumEndpointFacts {
  readonly namespace: string;
  /** That of its pod. */
  readonly name: string;
  /** Null: not told. */
  readonly podUid: string | null;
  /** 0: it has none yet. */
  readonly identity: Identity;
  readonly createdS: number;
  readonly ips: readonly IpAddress[];
}

export function decodeCiliumIdentity(
  object: unknown,
  name: FactsName,
): Decoded<CiliumIdentityFacts> {
  const reader = new FactReader('CiliumIdentity', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const number = /^[1-9][0-9]{0,9}$/.test(name.name) ? parseIdentity(Number(name.name)) : null;
  // Numbers below have labels of their own, which no object changes.
  if (number === null || number < ALLOCATED_IDENTITY_MIN) {
    reader.fail('metadata.name', `must be a number from ${ALLOCATED_IDENTITY_MIN} on`);
  }
  const fields = Object.entries(reader.object(root['security-labels'], 'security-labels'));
  const labels = fields.flatMap(([key, value]) => {
    const text = reader.text(value, `security-labels.${key}`);
    const label = canonicalLabel(text === '' ? key : `${key}=${text}`);
    if (label === null) reader.fail('security-labels', `"${key}" is no key of a label`);
    return label ?? [];
  });
  return reader.decoded({
    identity: number ?? (0 as Identity),
    createdS: secondsOf(reader, metadata['creationTimestamp']),
    labels: sortedLabels(labels),
  });
}

export function decodeCiliumEndpoint(
  object: unknown,
  name: FactsName,
): Decoded<CiliumEndpointFacts> {
  const reader = new FactReader('CiliumEndpoint', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const status = reader.object(root['status'], 'status');
  const { id } = reader.object(status['identity'], 'status.identity');
  return reader.decoded({
    namespace: name.namespace ?? '',
    name: name.name,
    podUid: ownerUid(reader, metadata['ownerReferences']),
    identity: identityOf(reader, id, 'status.identity.id'),
    createdS: secondsOf(reader, metadata['creationTimestamp']),
    ips: addressing(reader, status['networking'], 'status.networking'),
  });
}

export function decodeCiliumEndpointSlice(
  object: unknown,
  name: FactsName,
): Decoded<readonly CiliumEndpointFacts[]> {
  const reader = new FactReader('CiliumEndpointSlice', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const namespace = reader.text(root['namespace'], 'namespace');
  const createdS = secondsOf(reader, metadata['creationTimestamp']);
  const items = reader.list(root['endpoints'], 'endpoints', SLICE_COUNT_MAX);
  return reader.decoded(
    items.map((item) => {
      const fields = reader.object(item, 'endpoints[]');
      const podUid = reader.text(fields['pod-uid'], 'endpoints[].pod-uid');
      return {
        namespace,
        name: reader.text(fields['name'], 'endpoints[].name'),
        podUid: podUid === '' ? null : podUid,
        identity: identityOf(reader, fields['id'], 'endpoints[].id'),
        createdS,
        ips: addressing(reader, fields['networking'], 'endpoints[].networking'),
      };
    }),
  );
}

function identityOf(reader: FactReader, value: unknown, field: string): Identity {
  return (reader.integer(value, field, { min: 0, max: 0xffff_ffff }) ?? 0) as Identity;
}

function ownerUid(reader: FactReader, value: unknown): string | null {
  const field = 'metadata.ownerReferences';
  for (const item of reader.list(value, field, OWNER_COUNT_MAX)) {
    const { kind, uid } = reader.object(item, `${field}[]`);
    if (kind === 'Pod') return reader.text(uid, `${field}[].uid`) || null;
  }
  return null;
}

function addressing(reader: FactReader, value: unknown, field: string): readonly IpAddress[] {
  const fields = reader.object(value, field);
  const list = reader.list(fields['addressing'], `${field}.addressing`, ADDRESS_COUNT_MAX);
  return uniqueIps(list.flatMap((item) => [...pair(reader, item, `${field}.addressing[]`)]));
}

const SLICE_COUNT_MAX = 10_000;
const OWNER_COUNT_MAX = 1000;
const ADDRESS_COUNT_MAX = 100;
