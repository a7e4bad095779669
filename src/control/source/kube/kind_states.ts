/**
 * How each kind that is followed stands: whether all of its objects have been listed, whether they are being listed
 * anew, since when it may be old. Who may list a kind and not watch it would start with what becomes old, so that counts
 * as not listed. A list that has come in part is no state that there ever was, so nothing is taken
 * over while there is one.
 */
import type { KindSink, StaleKind } from '../../../kube/kind_sink.ts';
import type { StalePart } from '../source.ts';
import { type Followed, followedText } from './follow.ts';

export interface KindStatesEvents {
  /** An object is another, or gone. */
  onChange(): void;
  /** What `stale` says is another. */
  onHealth(): void;
}

interface State {
  readonly followed: Followed;
  /** Nothing is taken over before it is listed. */
  readonly isAwaited: boolean;
  isListed: boolean;
  /** Once listed, changes of it were or are told. */
  isFollowed: boolean;
  isListing: boolean;
  /** A part of a list has come, and the rest of it has not. */
  isPartial: boolean;
  stale: StaleKind | null;
}

export class KindStates {
  readonly #states = new Set<State>();

  /**
   * Another kind, with the sink that its follower is to be given. `isAwaited`: no set is whole without its objects;
   * those of another that cannot be read are missing, and that is told.
   */
  add(
    followed: Followed,
    { isAwaited, events }: { readonly isAwaited: boolean; readonly events: KindStatesEvents },
  ): { readonly followed: Followed; readonly forget: () => void } {
    const state: State = {
      followed,
      isAwaited,
      isListed: false,
      isFollowed: false,
      isListing: false,
      isPartial: false,
      stale: null,
    };
    this.#states.add(state);
    const sink = sinkOf(state, events);
    return { followed: { ...followed, sink }, forget: () => void this.#states.delete(state) };
  }

  /** All that is awaited has been listed, and nothing of it is being listed. */
  get isWhole(): boolean {
    for (const state of this.#states) if (state.isAwaited && !isReady(state)) return false;
    return true;
  }

  /** What is not awaited has been listed, too, or cannot be. */
  get isAllHeard(): boolean {
    for (const state of this.#states) if (!isReady(state)) return false;
    return true;
  }

  /** What keeps it from being whole, one text each. */
  missing(): readonly string[] {
    return this.#missing().map(({ followed, stale }) => {
      const text = followedText(followed);
      return stale === null ? text : `${text} (${stale.problem})`;
    });
  }

  /** `restoredAtMs`: what is not listed yet is in force as it was then. */
  stale(restoredAtMs: number | null): readonly StalePart[] {
    const restored = new Set(restoredAtMs === null ? [] : this.#missing());
    return [...this.#states].flatMap((state): readonly StalePart[] => {
      const { followed, stale } = state;
      const part = followedText(followed);
      if (restoredAtMs !== null && restored.has(state)) {
        const problem = stale?.problem ?? 'has not been listed yet';
        return [{ part, sinceMs: restoredAtMs, problem }];
      }
      return stale === null ? [] : [{ ...stale, part }];
    });
  }

  #missing(): readonly State[] {
    return [...this.#states].filter((state) => state.isAwaited && !isReady(state));
  }
}

function isReady({ isListed, isFollowed, isAwaited, isPartial, stale }: State): boolean {
  const isThere = isAwaited ? isListed && isFollowed : isListed || stale !== null;
  return isThere && !isPartial;
}

function sinkOf(state: State, { onChange, onHealth }: KindStatesEvents): KindSink {
  const { sink } = state.followed;
  return {
    listing: () => {
      state.isListing = true;
    },
    put: (seen) => {
      if (state.isListing) state.isPartial = true;
      sink.put(seen);
      onChange();
    },
    removed: (name) => {
      sink.removed(name);
      onChange();
    },
    listed: (keys) => {
      sink.listed(keys);
      state.isListed = true;
      state.isListing = false;
      state.isPartial = false;
      onChange();
    },
    followed: () => {
      sink.followed?.();
      if (state.isFollowed) return;
      state.isFollowed = true;
      onChange();
    },
    health: (stale) => {
      sink.health(stale);
      state.stale = stale;
      onHealth();
      // The first set waits for what is not awaited until it is known that it cannot be had.
      if (!state.isAwaited) onChange();
    },
  };
}
