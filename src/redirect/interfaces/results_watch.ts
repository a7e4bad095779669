/**
 * News of the folder of CNI results, sooner than the next look: a result is written when the routes and interfaces of
 * its pod have been there for a while, so nothing else tells of it. Without the file system's word it is only found later.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import type { Timers } from '../../platform/platform.ts';

export interface ResultsWatchOptions {
  readonly folder: string;
  readonly timers: Timers;
  /** Between two looks whether the folder is there, and still the same. */
  readonly retryMs: number;
}

export function watchResults(options: ResultsWatchOptions, onNews: () => void): () => void {
  const { folder, timers, retryMs } = options;
  let watched: Watched | null = null;
  const follow = (): void => {
    const id = idOf(folder);
    if (id === (watched?.id ?? null)) return;
    watched?.watcher.close();
    const watcher = id === null ? null : watcherOf(folder, onNews);
    watched = id === null || watcher === null ? null : { id, watcher };
    watcher?.on('error', () => {
      watcher.close();
      if (watched?.watcher === watcher) watched = null;
    });
    // What came before it was watched.
    onNews();
  };
  follow();
  const stop = timers.every(retryMs, follow);
  return () => {
    stop();
    watched?.watcher.close();
  };
}

interface Watched {
  /** Another folder of the same name has another one. */
  readonly id: string;
  readonly watcher: FSWatcher;
}

function watcherOf(folder: string, onNews: () => void): FSWatcher | null {
  try {
    return watch(folder, { persistent: false }, onNews);
  } catch {
    // Gone again, or no watches left: then each retry is news.
    return null;
  }
}

function idOf(folder: string): string | null {
  try {
    const { dev, ino } = statSync(folder, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}
