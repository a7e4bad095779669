/** A sink that keeps what it is told of, and fails if it is told so in an order that `KindSink` does not allow. */
import type { KindSink, StaleKind } from '../../src/kube/kind_sink.ts';
import {
  nameKeyOf,
  type ObjectName,
  type ObjectNameKey,
  type SeenObject,
} from '../../src/kube/seen_object.ts';

export class MirrorSink implements KindSink {
  readonly objects = new Map<ObjectNameKey, SeenObject>();
  readonly healths: (StaleKind | null)[] = [];
  /** Those that went, by an event or by a list. */
  readonly gone: ObjectNameKey[] = [];
  listedCount = 0;
  putCount = 0;
  followedCount = 0;

  put(seen: SeenObject): void {
    this.putCount += 1;
    this.objects.set(nameKeyOf(seen), seen);
  }

  removed(name: ObjectName): void {
    if (this.listedCount === 0) throw new Error('removed before all were listed');
    if (this.objects.delete(nameKeyOf(name))) this.gone.push(nameKeyOf(name));
  }

  listed(keys: ReadonlySet<ObjectNameKey>): void {
    this.listedCount += 1;
    for (const key of this.objects.keys()) {
      if (keys.has(key)) continue;
      this.objects.delete(key);
      this.gone.push(key);
    }
  }

  followed(): void {
    if (this.listedCount === 0) throw new Error('followed before all were listed');
    this.followedCount += 1;
  }

  health(stale: StaleKind | null): void {
    this.healths.push(stale);
  }

  get stale(): StaleKind | null {
    return this.healths.at(-1) ?? null;
  }

  /** "KEY@VERSION", in order. */
  get shown(): readonly string[] {
    return [...this.objects].map(([key, { version }]) => `${key}@${version}`).sort();
  }
}
