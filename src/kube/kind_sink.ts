/**
 * Who follows the objects of one kind. What it hears, whatever happens on the way (a watch that ends, a version that
 * is too old, an API server that is gone for an hour), leaves it with exactly the objects that there are.
 *
 *     listing put* listed followed (put | removed)* [listing put* listed followed] ...
 */
import type { ObjectName, ObjectNameKey, SeenObject } from './seen_object.ts';

export interface KindSink {
  /** All objects that there are are put from now on, until `listed`, or until this is said again. */
  listing?(): void;
  /** New, or another form of one that is known. May be told again in the same form. */
  put(seen: SeenObject): void;
  removed(name: ObjectName): void;
  /**
   * All objects that there are have been put, now or before; those not among `keys` are gone. Once at the start, and
   * once more after each gap. A kind that the API does not serve has none.
   */
  listed(keys: ReadonlySet<ObjectNameKey>): void;
  /** Changes since the last list will be told, as far as the API server lets us: who may list may be forbidden to watch. */
  followed?(): void;
  /** What it was told is what there is (`null`), or it may not be, since when and why. Told when it changes. */
  health(stale: StaleKind | null): void;
}

export interface StaleKind {
  /** Milliseconds since the epoch. */
  readonly sinceMs: number;
  /** One line: "the API server at https://10.0.0.1:6443 cannot be reached: connection refused". */
  readonly problem: string;
}
