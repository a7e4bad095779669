/** An object of the API as it was parsed: what the client itself needs of it, and who it is if it cannot be read. */
import { textAtKeys } from '../../text/cut_json.ts';
import type { JsonPiece } from '../../text/json_piece.ts';
import type { KubeKind } from '../kind.ts';
import type { ObjectName, SeenObject } from '../seen_object.ts';

export type ReadObject = { readonly kind: 'object'; readonly seen: SeenObject } | UnreadObject;

export interface UnreadObject {
  readonly kind: 'unread';
  /** Null: not even that can be told. */
  readonly name: ObjectName | null;
  readonly message: string;
}

/** An element of a list. */
export function readElement(piece: JsonPiece, kind: KubeKind): ReadObject {
  return piece.kind === 'value' ? readObject(piece.value, kind) : unreadPiece(piece, [], kind);
}

export function readObject(value: unknown, kind: KubeKind): ReadObject {
  const object = record(value);
  const metadata = record(object?.['metadata']);
  if (object === null || metadata === null) return unread('it has no metadata');
  const { name, namespace, uid, resourceVersion } = metadata;
  if (typeof name !== 'string' || name === '') return unread('it has no metadata.name');
  const scope = kind.isNamespaced ? namespace : null;
  if (scope !== null && (typeof scope !== 'string' || scope === '')) {
    return unread(`it (${name}) has no metadata.namespace`);
  }
  if (!isVersion(resourceVersion)) {
    const named = { namespace: scope, name };
    return { kind: 'unread', name: named, message: 'it has no metadata.resourceVersion' };
  }
  // Elements of a list have neither for the kinds of Kubernetes itself; those of a watch have.
  object['kind'] ??= kind.kind;
  object['apiVersion'] ??= kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
  return {
    kind: 'object',
    seen: {
      namespace: scope,
      name,
      uid: typeof uid === 'string' ? uid : null,
      version: resourceVersion,
      object,
    },
  };
}

/** `keys`: where the object stands in the text. */
export function unreadPiece(
  { head, message }: JsonPiece & { readonly kind: 'unreadable' },
  keys: readonly string[],
  kind: KubeKind,
): UnreadObject {
  const name = textAtKeys(head, [...keys, 'metadata', 'name']);
  const namespace = kind.isNamespaced ? textAtKeys(head, [...keys, 'metadata', 'namespace']) : null;
  const isNamed = name !== null && (namespace !== null || !kind.isNamespaced);
  return { kind: 'unread', name: isNamed ? { namespace, name } : null, message };
}

function unread(message: string): UnreadObject {
  return { kind: 'unread', name: null, message };
}

/** "" and "0" are none: a watch from there begins with what a cache had at any time. */
export function isVersion(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value !== '0';
}

export function record(value: unknown): Record<string, unknown> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}
