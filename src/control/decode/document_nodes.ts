/**
 * One walk through a YAML document: which keys stand in a map twice, and which nodes have an anchor. The library
 * finds both by comparing each with all others, which takes seconds for a map of ten thousand keys.
 */
import { type Alias, isCollection, isMap, isScalar, isSeq, type Node } from 'yaml';

interface Anchored {
  readonly offset: number;
  readonly node: Node;
}

export class DocumentNodes {
  /** Offsets of keys that stood in their map before, ascending. */
  readonly repeatedKeys: readonly number[];
  readonly #anchors = new Map<string, Anchored[]>();

  constructor(contents: Node | null) {
    const repeated: number[] = [];
    const open: Node[] = contents === null ? [] : [contents];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      this.#addAnchor(node);
      if (isMap(node)) {
        const keys = new Set<string>();
        for (const pair of node.items) {
          const key = pair.key as Node | null;
          const name = nameOf(key);
          if (name !== null && keys.has(name)) repeated.push(offsetOf(key));
          if (name !== null) keys.add(name);
          for (const one of [key, pair.value as Node | null]) if (one !== null) open.push(one);
        }
      } else if (isSeq(node)) {
        for (const item of node.items) if (item !== null) open.push(item as Node);
      }
    }
    this.repeatedKeys = repeated.sort((a, b) => a - b);
    for (const nodes of this.#anchors.values()) nodes.sort((a, b) => a.offset - b.offset);
  }

  /** The last node before the alias that has its anchor. */
  anchored(alias: Alias): Node | undefined {
    const at = offsetOf(alias as Node);
    return this.#anchors.get(alias.source)?.findLast(({ offset }) => offset < at)?.node;
  }

  #addAnchor(node: Node): void {
    if (!isScalar(node) && !isCollection(node)) return;
    if (node.anchor === undefined) return;
    const anchored = { offset: offsetOf(node), node };
    const known = this.#anchors.get(node.anchor);
    if (known === undefined) this.#anchors.set(node.anchor, [anchored]);
    else known.push(anchored);
  }
}

/** Equal for keys that are equal; null for one that is no scalar. */
function nameOf(key: Node | null): string | null {
  if (key === null) return 'null';
  return isScalar(key) ? `${typeof key.value} ${String(key.value)}` : null;
}

function offsetOf(node: Node | null): number {
  return node?.range?.[0] ?? 0;
}
