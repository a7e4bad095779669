/**
 * Objects of a kind that a cluster may serve in several versions: an object is there as long as one of the versions
 * that are followed has it. A version that is not served has no objects, and says so by an empty list.
 */
import type { KindSink } from '../../../kube/kind_sink.ts';
import {
  nameKeyOf,
  type ObjectName,
  type ObjectNameKey,
  type SeenObject,
} from '../../../kube/seen_object.ts';

/** Who keeps the objects of one kind. */
export interface ObjectHolder {
  put(seen: SeenObject): void;
  removed(name: ObjectName): void;
}

/** A sink for each version. */
export function sinksOf(holder: ObjectHolder, versionCount: number): readonly KindSink[] {
  const held = Array.from({ length: versionCount }, () => new Map<ObjectNameKey, ObjectName>());
  return held.map((own) => versionSink(holder, own, held));
}

function versionSink(
  holder: ObjectHolder,
  own: Map<ObjectNameKey, ObjectName>,
  all: readonly ReadonlyMap<ObjectNameKey, ObjectName>[],
): KindSink {
  const remove = (key: ObjectNameKey, name: ObjectName): void => {
    own.delete(key);
    if (!all.some((one) => one.has(key))) holder.removed(name);
  };
  return {
    put: (seen) => {
      const { namespace, name } = seen;
      own.set(nameKeyOf(seen), { namespace, name });
      holder.put(seen);
    },
    removed: (name) => remove(nameKeyOf(name), name),
    listed: (keys) => {
      for (const [key, name] of own) if (!keys.has(key)) remove(key, name);
    },
    health: () => {},
  };
}
