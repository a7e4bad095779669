/** Events of Kubernetes (core/v1), as `kubectl describe` and `kubectl get events` show them. Pure. */
import { createHash } from 'node:crypto';
import { shownLine } from '../../model/shown_text.ts';

export interface EventSubject {
  /** "cilium.io/v2". */
  readonly apiVersion: string;
  readonly kind: string;
  /** Null for clusterwide kinds. */
  readonly namespace: string | null;
  readonly name: string;
  /** Null: not known; then `kubectl describe` does not show it. */
  readonly uid: string | null;
}

export interface ReportedEvent {
  readonly about: EventSubject;
  readonly type: 'Normal' | 'Warning';
  /** "PolicyRefused". */
  readonly reason: string;
  readonly message: string;
}

export interface Occurrences {
  /** Null: not known; somebody else has counted. */
  readonly count: number | null;
  readonly firstWallMs: number;
  readonly lastWallMs: number;
}

const COMPONENT = 'sallyport';
/** The bound of Kubernetes. */
const MESSAGE_CHARACTERS_MAX = 1024;
const NAME_CHARACTERS_MAX = 200;

/** Where the Event lies: clusterwide objects have theirs in `default`. */
export function namespaceOf({ namespace }: EventSubject): string {
  return namespace ?? 'default';
}

/**
 * The same for the same reason and object, whoever tells it: when another process writes for the cluster, it goes on
 * with the Event that is there.
 */
export function eventName({ about, reason }: ReportedEvent): string {
  const { kind, namespace, name, uid } = about;
  const hash = createHash('sha256').update([kind, namespace, name, uid, reason].join('\0'));
  const shortened = name.slice(0, NAME_CHARACTERS_MAX).replace(/[^a-z0-9]+$/, '');
  return `${shortened}.${hash.digest('hex').slice(0, 16)}`;
}

export function eventObject(
  event: ReportedEvent,
  { count, firstWallMs, lastWallMs }: Occurrences,
  host: string,
): object {
  const { about, type, reason } = event;
  const { apiVersion, kind, name, uid } = about;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace: namespaceOf(about), name: eventName(event) },
    involvedObject: {
      ...{ apiVersion, kind, name },
      ...(about.namespace === null ? {} : { namespace: about.namespace }),
      ...(uid === null ? {} : { uid }),
    },
    ...{ type, reason, message: shown(event.message), count: count ?? 1 },
    ...{ firstTimestamp: time(firstWallMs), lastTimestamp: time(lastWallMs) },
    source: { component: COMPONENT, host },
    ...{ reportingComponent: COMPONENT, reportingInstance: host },
  };
}

/** A JSON merge patch of one that is there. */
export function repeatedEvent(
  { message, type }: ReportedEvent,
  { count, lastWallMs }: Occurrences,
): object {
  return {
    ...{ type, message: shown(message), lastTimestamp: time(lastWallMs) },
    ...(count === null ? {} : { count }),
  };
}

/** Of one that the API server has stored; null: it does not say. */
export function countOf(object: unknown): number | null {
  if (typeof object !== 'object' || object === null || !('count' in object)) return null;
  return typeof object.count === 'number' ? object.count : null;
}

function shown(message: string): string {
  const line = shownLine(message);
  return line.length <= MESSAGE_CHARACTERS_MAX
    ? line
    : `${line.slice(0, MESSAGE_CHARACTERS_MAX - 3)}...`;
}

function time(wallMs: number): string {
  return new Date(wallMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
