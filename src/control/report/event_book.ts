/**
 * Events that are told of: the same one about the same object is written again only after a while, with its count, and
 * how many are remembered is bounded.
 */
import type { KubeReply, KubeRequest } from '../../kube/client.ts';
import { type KubeKind, pathOf } from '../../kube/kind.ts';
import type { Clock, Timers } from '../../platform/platform.ts';
import {
  countOf,
  eventName,
  eventObject,
  namespaceOf,
  type Occurrences,
  type ReportedEvent,
  repeatedEvent,
} from './kube_event.ts';
import type { PacedWrites } from './paced_writes.ts';

export const EVENTS: KubeKind = {
  group: '',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  isNamespaced: true,
};

export interface EventBookOptions {
  readonly writes: PacedWrites;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Of the node: whose Events they are. */
  readonly host: string;
  readonly repeatMs: number;
  readonly countMax: number;
  /** One that was refused, and is forgotten. */
  readonly onRefused: (reply: KubeReply) => void;
}

interface Told {
  event: ReportedEvent;
  readonly firstWallMs: number;
  lastWallMs: number;
  /** How often, as the API server knows it; null: not known. */
  writtenCount: number | null;
  /** How often since. */
  moreCount: number;
  /** Those among them that are on their way. */
  sentCount: number;
  isCreated: boolean;
  /** When it may be written again. */
  notBeforeMs: number;
  cancelTimer: () => void;
}

export class EventBook {
  readonly #options: EventBookOptions;
  /** By name; the least recently told first. */
  readonly #told = new Map<string, Told>();

  constructor(options: EventBookOptions) {
    this.#options = options;
  }

  tell(event: ReportedEvent): void {
    const { clock, timers } = this.#options;
    const name = eventName(event);
    const wallMs = clock.wallMs();
    const told = this.#told.get(name) ?? newlyTold(event, wallMs);
    // Other words are news.
    const isNews = told.event.message !== event.message || told.event.type !== event.type;
    told.event = event;
    told.lastWallMs = wallMs;
    told.moreCount += 1;
    this.#told.delete(name);
    this.#told.set(name, told);
    this.#forgetOldest();
    told.cancelTimer();
    const waitMs = isNews ? 0 : told.notBeforeMs - clock.nowMs();
    if (waitMs <= 0) this.#write(name, told);
    else told.cancelTimer = timers.after(waitMs, () => this.#write(name, told));
  }

  stop(): void {
    for (const { cancelTimer } of this.#told.values()) cancelTimer();
    this.#told.clear();
  }

  #forgetOldest(): void {
    if (this.#told.size <= this.#options.countMax) return;
    const [oldest] = this.#told;
    if (oldest === undefined) return;
    oldest[1].cancelTimer();
    this.#told.delete(oldest[0]);
  }

  #write(name: string, told: Told): void {
    const { writes, clock, repeatMs } = this.#options;
    told.notBeforeMs = clock.nowMs() + repeatMs;
    writes.add(name, {
      request: () => (told.moreCount === 0 ? null : this.#request(name, told)),
      answered: (reply) => this.#answered(name, told, reply),
      givenUp: (reply) => this.#answered(name, told, reply),
    });
  }

  #request(name: string, told: Told): KubeRequest {
    const { event } = told;
    told.sentCount = told.moreCount;
    const path = pathOf(EVENTS, namespaceOf(event.about));
    const occurrences = occurrencesOf(told);
    if (!told.isCreated) {
      return { method: 'POST', path, body: eventObject(event, occurrences, this.#options.host) };
    }
    return {
      method: 'PATCH',
      path: `${path}/${name}`,
      contentType: 'application/merge-patch+json',
      body: repeatedEvent(event, occurrences),
    };
  }

  #answered(name: string, told: Told, reply: KubeReply): void {
    if (reply.kind === 'ok') {
      told.isCreated = true;
      told.writtenCount = countOf(reply.object);
      told.moreCount -= told.sentCount;
      return;
    }
    const status = reply.kind === 'refused' ? reply.status : 0;
    // Another process has told of it, and how often we do not know; or its time was over, and it is gone.
    const isThere = !told.isCreated && status === 409;
    if (isThere || (told.isCreated && status === 404)) {
      told.isCreated = isThere;
      told.writtenCount = isThere ? null : 0;
      this.#write(name, told);
      return;
    }
    this.#told.delete(name);
    if (!isNamespaceGone(reply)) this.#options.onRefused(reply);
  }
}

/** Or it is going, with what the Event is about: nobody is left to be told. */
function isNamespaceGone(reply: KubeReply): boolean {
  if (reply.kind !== 'refused') return false;
  const isGoing = reply.status === 403 && reply.message.includes('is being terminated');
  return reply.status === 404 || isGoing;
}

function newlyTold(event: ReportedEvent, wallMs: number): Told {
  return {
    event,
    firstWallMs: wallMs,
    lastWallMs: wallMs,
    writtenCount: 0,
    moreCount: 0,
    sentCount: 0,
    isCreated: false,
    notBeforeMs: 0,
    cancelTimer: () => {},
  };
}

function occurrencesOf({ firstWallMs, lastWallMs, writtenCount, moreCount }: Told): Occurrences {
  const count = writtenCount === null ? null : writtenCount + moreCount;
  return { count, firstWallMs, lastWallMs };
}
