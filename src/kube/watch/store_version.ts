/**
 * Whether the store of an API server was set back, to a backup of it. A watch from a version that is still to come is
 * then taken, and says nothing: no bookmark either.
 */
import type { KubeClient } from '../client.ts';
import type { KubeKind } from '../kind.ts';
import { record } from './read_object.ts';
import { requestOf, type Selection } from './selection.ts';

/** Versions of one kind grow (KEP-5504); where they are no numbers, nothing can be told. */
export async function isStoreBehind(
  client: KubeClient,
  kind: KubeKind,
  selection: Selection,
  version: string,
  signal: AbortSignal,
): Promise<boolean> {
  const reply = await client.request(requestOf(kind, selection, { limit: '1' }, signal));
  if (reply.kind !== 'ok') return false;
  const newest = record(record(reply.object)?.['metadata'])?.['resourceVersion'];
  if (typeof newest !== 'string' || !isNumber(newest) || !isNumber(version)) return false;
  return BigInt(newest) < BigInt(version);
}

function isNumber(version: string): boolean {
  return /^\d{1,30}$/.test(version);
}
