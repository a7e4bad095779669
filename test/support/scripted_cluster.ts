/** A cluster whose followers hear what a test says, when it says so. */
import type { Follow, Followed } from '../../src/control/source/kube/follow.ts';
import type { StaleKind } from '../../src/kube/kind_sink.ts';
import { nameKeyOf, type SeenObject } from '../../src/kube/seen_object.ts';

interface Named {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export class ScriptedCluster {
  readonly followed = new Set<Followed>();
  readonly #objects = new Map<string, Map<string, SeenObject>>();
  /** Served in these versions only; absent: in all that are asked for. */
  readonly #versions = new Map<string, string>();
  #version = 0;
  #isUp = false;

  readonly follow: Follow = (followed) => {
    this.followed.add(followed);
    if (this.#isUp) queueMicrotask(() => this.followed.has(followed) && this.#list(followed));
    return () => void this.followed.delete(followed);
  };

  /** As `list`, to who may not watch. */
  listOnly(kind: string, problem: string): void {
    for (const followed of this.#followersOf(kind)) {
      this.#list(followed, false);
      followed.sink.health({ sinceMs: 5, problem });
    }
  }

  /** Who follows now is given a list, and so is whoever follows from now on. */
  up(): void {
    this.#isUp = true;
    for (const followed of [...this.followed]) this.#list(followed);
  }

  /** As `up` for one kind. */
  list(kind: string): void {
    for (const followed of this.#followersOf(kind)) this.#list(followed);
  }

  /** Nobody hears anything from now on. */
  down(problem: string, sinceMs: number): void {
    this.#isUp = false;
    for (const followed of this.followed) followed.sink.health({ sinceMs, problem });
  }

  serveOnly(kind: string, version: string): void {
    this.#versions.set(kind, version);
  }

  health(kind: string, stale: StaleKind | null): void {
    for (const { sink } of this.#followersOf(kind)) sink.health(stale);
  }

  put(kind: string, object: Named): void {
    const seen = this.putQuietly(kind, object);
    if (!this.#isUp) return;
    for (const { sink } of this.#followersOf(kind).filter((one) => isMeant(one, seen)))
      sink.put(seen);
  }

  /** Nobody hears of it before the next list. */
  putQuietly(kind: string, { metadata, ...rest }: Named): SeenObject {
    this.#version += 1;
    const { name, namespace = null, uid = `uid of ${name}` } = metadata;
    const version = String(this.#version);
    const object = { ...rest, metadata: { ...metadata, uid, resourceVersion: version } };
    const seen: SeenObject = { name, namespace, uid, version, object };
    this.#of(kind).set(nameKeyOf(seen), seen);
    return seen;
  }

  remove(kind: string, namespace: string | null, name: string): void {
    this.#of(kind).delete(nameKeyOf({ namespace, name }));
    if (!this.#isUp) return;
    for (const one of this.#followersOf(kind)) {
      if (isMeant(one, { namespace, name })) one.sink.removed({ namespace, name });
    }
  }

  /** The first half of a list, or all but its end. */
  listPartly(kind: string, countMax: number): void {
    for (const { sink } of this.#followersOf(kind)) {
      sink.listing?.();
      for (const seen of [...this.#of(kind).values()].slice(0, countMax)) sink.put(seen);
    }
  }

  #list(followed: Followed, isWatched = true): void {
    const { kind, sink } = followed;
    const served = this.#versions.get(kind.kind);
    const isServed = served === undefined || served === kind.version;
    const all = isServed ? [...this.#of(kind.kind).values()] : [];
    const meant = all.filter((seen) => isMeant(followed, seen));
    sink.listing?.();
    for (const seen of meant) sink.put(seen);
    sink.listed(new Set(meant.map(nameKeyOf)));
    if (isWatched) sink.followed?.();
    sink.health(null);
  }

  #followersOf(kind: string): readonly Followed[] {
    return [...this.followed].filter((followed) => {
      const served = this.#versions.get(kind);
      return (
        followed.kind.kind === kind && (served === undefined || served === followed.kind.version)
      );
    });
  }

  #of(kind: string): Map<string, SeenObject> {
    const known = this.#objects.get(kind);
    if (known !== undefined) return known;
    const objects = new Map<string, SeenObject>();
    this.#objects.set(kind, objects);
    return objects;
  }
}

function isMeant(
  { namespace, name }: Pick<Followed, 'namespace' | 'name'>,
  object: Pick<SeenObject, 'namespace' | 'name'>,
): boolean {
  return (
    (namespace === null || object.namespace === namespace) &&
    (name === null || object.name === name)
  );
}
