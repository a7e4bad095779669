/**
 * hot path
 *
 * Which of many texts stand in a value, read once (Aho and Corasick, 1975): each byte leads from the longest
 * beginning of a text that was just read to the next one. More texts make a byte cost more only as they take more
 * memory.
 *
 *     "/res1/" "/res12/":   / → r → e → s → 1 → / (the first)
 *                                             ↘ 2 → / (the second)
 *     a byte that leads on from nowhere: from the longest ending of what was read that a text begins with
 */

import { ITEMS_PER_STEP, type Steps } from '../../model/steps.ts';

const NODES_PER_STEP = 8192;

export class TextFilter {
  /** Node by node: where its edges begin, ascending by byte. The root is node 0. */
  readonly #edgeStarts: Uint32Array;
  readonly #edgeBytes: Uint8Array;
  readonly #edgeNodes: Uint32Array;
  readonly #rootNodes: Uint32Array;
  /** Where to go on when no edge has the byte. */
  readonly #fallbacks: Uint32Array;
  /** The node of the next shorter text that ends here, too; 0: none. */
  readonly #shorterEnds: Uint32Array;
  /** The text that ends in a node, plus one; 0: none. */
  readonly #textsOf: Uint32Array;
  /** The scan in which a node was last told. */
  readonly #toldIn: Uint32Array;
  #scan = 0;

  private constructor(trie: Trie) {
    const { nodeCount } = trie;
    this.#edgeStarts = new Uint32Array(nodeCount + 1);
    this.#edgeBytes = new Uint8Array(nodeCount);
    this.#edgeNodes = new Uint32Array(nodeCount);
    this.#rootNodes = new Uint32Array(256);
    this.#fallbacks = new Uint32Array(nodeCount);
    this.#shorterEnds = new Uint32Array(nodeCount);
    this.#textsOf = trie.textsOf;
    this.#toldIn = new Uint32Array(nodeCount);
  }

  /** `texts`: of ASCII, none empty, each once. */
  static *build(texts: readonly string[]): Steps<TextFilter> {
    const trie = yield* Trie.build(texts);
    const filter = new TextFilter(trie);
    yield* filter.#writeEdges(trie);
    yield* filter.#writeFallbacks(trie.nodeCount);
    return filter;
  }

  /** Nodes: characters of the texts, those that they begin with alike once. */
  get placeCount(): number {
    return this.#fallbacks.length;
  }

  /** Writes the numbers of the texts that stand in `bytes`, each once, in no order; returns how many they are. */
  find(bytes: Uint8Array, into: number[]): number {
    const scan = this.#nextScan();
    let count = 0;
    let node = 0;
    for (let i = 0; i < bytes.length; i++) {
      node = this.#next(node, bytes[i] as number);
      let end = this.#textsOf[node] === 0 ? (this.#shorterEnds[node] as number) : node;
      // Behind a text that was told stand only such ones: so all of this takes no longer than there are texts.
      while (end !== 0 && this.#toldIn[end] !== scan) {
        this.#toldIn[end] = scan;
        into[count++] = (this.#textsOf[end] as number) - 1;
        end = this.#shorterEnds[end] as number;
      }
    }
    return count;
  }

  #nextScan(): number {
    if (this.#scan === 0xffff_ffff) {
      this.#toldIn.fill(0);
      this.#scan = 0;
    }
    this.#scan++;
    return this.#scan;
  }

  #next(from: number, byte: number): number {
    let node = from;
    while (node !== 0) {
      const next = this.#edge(node, byte);
      if (next !== 0) return next;
      node = this.#fallbacks[node] as number;
    }
    return this.#rootNodes[byte] as number;
  }

  /** 0: there is none, as no edge leads to the root. */
  #edge(node: number, byte: number): number {
    let low = this.#edgeStarts[node] as number;
    let high = (this.#edgeStarts[node + 1] as number) - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.#edgeBytes[middle] as number;
      if (found === byte) return this.#edgeNodes[middle] as number;
      if (found < byte) low = middle + 1;
      else high = middle - 1;
    }
    return 0;
  }

  *#writeEdges(trie: Trie): Steps<void> {
    let edge = 0;
    for (let node = 0; node < trie.nodeCount; node++) {
      if (node % NODES_PER_STEP === 0) yield;
      this.#edgeStarts[node] = edge;
      let child = trie.firstChildren[node] as number;
      for (; child !== 0; child = trie.nextSiblings[child] as number) {
        this.#edgeBytes[edge] = trie.bytes[child] as number;
        this.#edgeNodes[edge] = child;
        if (node === 0) this.#rootNodes[trie.bytes[child] as number] = child;
        edge++;
      }
    }
    this.#edgeStarts[trie.nodeCount] = edge;
  }

  /** In the order of their depth, as each hangs on shorter ones. */
  *#writeFallbacks(nodeCount: number): Steps<void> {
    const order = new Uint32Array(nodeCount);
    let known = 1;
    for (let at = 0; at < known; at++) {
      if (at % NODES_PER_STEP === 0) yield;
      const node = order[at] as number;
      const end = this.#edgeStarts[node + 1] as number;
      for (let edge = this.#edgeStarts[node] as number; edge < end; edge++) {
        const child = this.#edgeNodes[edge] as number;
        const byte = this.#edgeBytes[edge] as number;
        const fallback = node === 0 ? 0 : this.#next(this.#fallbacks[node] as number, byte);
        this.#fallbacks[child] = fallback;
        this.#shorterEnds[child] =
          this.#textsOf[fallback] === 0 ? (this.#shorterEnds[fallback] as number) : fallback;
        order[known++] = child;
      }
    }
  }
}

/** The beginnings of all texts, each once; node 0 is the empty one. */
class Trie {
  nodeCount = 1;
  /** The byte that leads to a node. */
  readonly bytes: Uint8Array;
  /** The text that ends in a node, plus one; 0: none. */
  readonly textsOf: Uint32Array;
  /** Ascending by byte; 0: no more. */
  readonly firstChildren: Uint32Array;
  readonly nextSiblings: Uint32Array;

  private constructor(sizeMax: number) {
    this.bytes = new Uint8Array(sizeMax);
    this.textsOf = new Uint32Array(sizeMax);
    this.firstChildren = new Uint32Array(sizeMax);
    this.nextSiblings = new Uint32Array(sizeMax);
  }

  static *build(texts: readonly string[]): Steps<Trie> {
    const trie = new Trie(texts.reduce((sum, text) => sum + text.length, 1));
    // In order, so that what a text has in common with others it has in common with the one before it.
    const order = Array.from(texts.keys()).sort((a, b) => compare(texts[a], texts[b]));
    const path = [0];
    let previous = '';
    for (const [at, number] of order.entries()) {
      if (at % ITEMS_PER_STEP === 0) yield;
      const text = texts[number] as string;
      trie.#addBehind(path, text, sharedLength(previous, text));
      trie.textsOf[path[text.length] as number] = number + 1;
      previous = text;
    }
    return trie;
  }

  /** `path`: the node of each beginning of the text before; then of this one. */
  #addBehind(path: number[], text: string, from: number): void {
    for (let depth = from; depth < text.length; depth++) {
      const node = this.nodeCount++;
      this.bytes[node] = text.charCodeAt(depth);
      const parent = path[depth] as number;
      const isLater = depth === from && this.firstChildren[parent] !== 0;
      if (isLater) this.nextSiblings[path[depth + 1] as number] = node;
      else this.firstChildren[parent] = node;
      path[depth + 1] = node;
    }
  }
}

function compare(a = '', b = ''): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sharedLength(a: string, b: string): number {
  let at = 0;
  while (at < a.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  return at;
}
