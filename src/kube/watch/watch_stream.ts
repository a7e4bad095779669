/** One watch: what it is asked with, and its events until it ends. */
import type { Timers } from '../../platform/platform.ts';
import { JsonLines } from '../../text/json_lines.ts';
import type { PieceLimits } from '../../text/json_piece.ts';
import type { KubeClient, KubeFailure } from '../client.ts';
import type { KubeKind } from '../kind.ts';
import { type BodyEnd, readBody } from '../read_body.ts';
import type { Random } from './backoff.ts';
import { requestOf, type Selection } from './selection.ts';
import { type WatchEvent, watchEventOf } from './watch_event.ts';

export interface WatchOptions {
  readonly kind: KubeKind;
  readonly selection: Selection;
  /** What changed after it is told; null: first all that there is. */
  readonly version: string | null;
  readonly timers: Timers;
  readonly limits: PieceLimits;
  /** Asked at the beginning and after each part; null: as long as it lasts. */
  readonly quietMaxMs: () => number | null;
  readonly signal: AbortSignal;
  readonly random: Random;
}

export interface Watcher {
  opened(): void;
  /** False: it wants no more. */
  event(event: WatchEvent): boolean;
}

export type WatchEnd = BodyEnd | KubeFailure;

/** As kubelet and client-go ask for it: not all watches of a cluster end at once. */
const TIME_MIN_S = 300;
/** A server that does not keep its own time is not waited for. */
const OVERTIME_MS = 30_000;

export async function watch(
  client: KubeClient,
  options: WatchOptions,
  watcher: Watcher,
): Promise<WatchEnd> {
  const { kind, selection, version, timers, limits, quietMaxMs, signal, random } = options;
  const seconds = Math.floor(TIME_MIN_S * (1 + random()));
  const query = { ...BOTH, ...fromOf(version), timeoutSeconds: String(seconds) };
  const reply = await client.stream(requestOf(kind, selection, query, signal));
  if (reply.kind !== 'stream') return reply;
  watcher.opened();
  const lines = new JsonLines(limits);
  const bounds = {
    timers,
    quietMaxMs,
    lifeMaxMs: seconds * 1000 + OVERTIME_MS,
  };
  return await readBody(reply.body, bounds, (chunk) => {
    for (const piece of lines.split(chunk)) {
      if (!watcher.event(watchEventOf(piece, kind))) return false;
    }
    return true;
  });
}

const BOTH = { watch: 'true', allowWatchBookmarks: 'true' } as const;

function fromOf(version: string | null): Readonly<Record<string, string>> {
  if (version !== null) return { resourceVersion: version };
  // Not older than the newest one: what a cache had before would be a step back.
  return { sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan', resourceVersion: '' };
}

/** How it ended, for people. */
export const WATCH_END_TEXTS = {
  end: 'the stream ended',
  over: 'it took too long',
  quiet: 'nothing came',
  cut: 'the stream was cut',
  enough: 'nobody read it',
} as const;
