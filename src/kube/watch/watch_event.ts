/** One line of a watch. */
import { textAtKeys } from '../../text/cut_json.ts';
import type { JsonPiece } from '../../text/json_piece.ts';
import { type Refusal, refusalOfStatus } from '../failure.ts';
import type { KubeKind } from '../kind.ts';
import type { SeenObject } from '../seen_object.ts';
import { isVersion, readObject, record, type UnreadObject, unreadPiece } from './read_object.ts';

export type WatchEvent =
  | { readonly kind: 'put'; readonly seen: SeenObject }
  | { readonly kind: 'removed'; readonly seen: SeenObject }
  | {
      readonly kind: 'bookmark';
      readonly version: string;
      /** All that there was before has been told (KEP-3157). */
      readonly isInitialEnd: boolean;
    }
  /** The stream ends after it. */
  | { readonly kind: 'error'; readonly refusal: Refusal }
  | { readonly kind: 'unread'; readonly isRemoved: boolean; readonly object: UnreadObject };

const INITIAL_END = 'k8s.io/initial-events-end';

export function watchEventOf(piece: JsonPiece, kind: KubeKind): WatchEvent {
  if (piece.kind === 'unreadable') {
    const isRemoved = textAtKeys(piece.head, ['type']) === 'DELETED';
    return { kind: 'unread', isRemoved, object: unreadPiece(piece, ['object'], kind) };
  }
  const event = record(piece.value);
  const type = event?.['type'];
  const object = event?.['object'];
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return changeOf(object, type === 'DELETED', kind);
    case 'BOOKMARK':
      return bookmarkOf(object);
    case 'ERROR':
      return { kind: 'error', refusal: refusalOfStatus(object, 500) ?? NO_STATUS };
    default:
      return unreadEvent('it is no event of a watch');
  }
}

const NO_STATUS: Refusal = {
  kind: 'refused',
  status: 500,
  reason: '',
  message: 'an error without a Status',
  retryAfterMs: null,
};

function changeOf(object: unknown, isRemoved: boolean, kind: KubeKind): WatchEvent {
  const read = readObject(object, kind);
  if (read.kind === 'unread') return { kind: 'unread', isRemoved, object: read };
  return { kind: isRemoved ? 'removed' : 'put', seen: read.seen };
}

function bookmarkOf(object: unknown): WatchEvent {
  const metadata = record(record(object)?.['metadata']);
  const version = metadata?.['resourceVersion'];
  if (!isVersion(version)) {
    return unreadEvent('it is a bookmark without a resourceVersion');
  }
  const isInitialEnd = record(metadata?.['annotations'])?.[INITIAL_END] === 'true';
  return { kind: 'bookmark', version, isInitialEnd };
}

function unreadEvent(message: string): WatchEvent {
  return { kind: 'unread', isRemoved: false, object: { kind: 'unread', name: null, message } };
}
