/** Who follows kinds of objects for us, and what we follow. */
import type { KubeKind } from '../../../kube/kind.ts';
import type { KindSink } from '../../../kube/kind_sink.ts';

export interface Followed {
  readonly kind: KubeKind;
  /** Null: of all namespaces. */
  readonly namespace: string | null;
  /** The object of that name alone; null: all. */
  readonly name: string | null;
  readonly sink: KindSink;
}

/** Begins at once, and goes on until the returned function is called. The sink is not called before it returns. */
export type Follow = (followed: Followed) => () => void;

/** All objects of a kind. */
export function everyOne(kind: KubeKind, sink: KindSink): Followed {
  return { kind, namespace: null, name: null, sink };
}

/** For people: "Pod", "CiliumCIDRGroup v2alpha1" beside one of v2, "Secret shop/token". */
export function followedText({ kind, namespace, name }: Omit<Followed, 'sink'>): string {
  const version = kind.version === 'v2alpha1' ? ` ${kind.version}` : '';
  const object = name === null ? namespace : `${namespace ?? ''}/${name}`;
  return `${kind.kind}${version}${object === null ? '' : ` ${object}`}`;
}
