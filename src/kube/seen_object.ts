/** An object of the API as a watch has seen it. */

export interface ObjectName {
  /** Null for clusterwide kinds. */
  readonly namespace: string | null;
  readonly name: string;
}

export interface SeenObject extends ObjectName {
  /** Tells an object from one of the same name that was there before. */
  readonly uid: string | null;
  /** `resourceVersion`: opaque, compared for equality only. */
  readonly version: string;
  /** The whole of it, as `JSON.parse` gives it. Whoever takes it keeps what he needs and no more. */
  readonly object: unknown;
}

/** Of one kind: "shop/api", or "api" of a clusterwide kind. */
export type ObjectNameKey = string;

export function nameKeyOf({ namespace, name }: ObjectName): ObjectNameKey {
  return namespace === null ? name : `${namespace}/${name}`;
}
