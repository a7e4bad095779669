/** How many label sets of each namespace have a number: so that one namespace cannot have them all. */
import { k8sLabel, NAMESPACE_KEY } from '../labels.ts';

const NAMESPACE = k8sLabel(NAMESPACE_KEY, '');

export class NamespaceCounts {
  readonly #counts = new Map<string, number>();

  /** 0 for one without a namespace. `key`: with the labels as `labelSetKey` writes them. */
  countOf(key: string): number {
    const namespace = namespaceOf(key);
    return namespace === null ? 0 : (this.#counts.get(namespace) ?? 0);
  }

  add(key: string): void {
    this.#change(key, 1);
  }

  remove(key: string): void {
    this.#change(key, -1);
  }

  #change(key: string, by: 1 | -1): void {
    const namespace = namespaceOf(key);
    if (namespace === null) return;
    const count = (this.#counts.get(namespace) ?? 0) + by;
    if (count > 0) this.#counts.set(namespace, count);
    else this.#counts.delete(namespace);
  }
}

function namespaceOf(key: string): string | null {
  const at = key.indexOf(NAMESPACE);
  if (at === -1) return null;
  const end = key.indexOf(';', at);
  return key.slice(at + NAMESPACE.length, end === -1 ? key.length : end);
}
