/**
 * Texts that stand in whatever a pattern matches: who looks for them first need not ask the pattern about a value
 * without them.
 *
 *     "/.*\/res17/[0-9]+(/[a-z]+)?/.*"  →  "/", "/res17/"
 */
import type { SyntaxNode } from './syntax_tree.ts';

/** Null: a pattern that is not understood. */
export function neededTexts(tree: SyntaxNode | null): readonly string[] {
  if (tree === null) return NONE;
  const texts = new Texts();
  texts.add(tree);
  texts.end();
  return texts.found.size === 0 ? NONE : [...texts.found];
}

const NONE: readonly string[] = Object.freeze([]);

class Texts {
  readonly found = new Set<string>();
  /** What was read last, without a gap. */
  #text = '';

  add(node: SyntaxNode): void {
    switch (node.kind) {
      case 'empty':
      case 'assertion':
        return;
      case 'runes':
        if (node.runes.only === -1) this.end();
        else this.#text += String.fromCharCode(node.runes.only);
        return;
      case 'concat':
        for (const part of node.parts) this.add(part);
        return;
      case 'alternate':
        this.end();
        return;
      case 'repeat':
        // Once at least, and perhaps again before what follows.
        if (node.min > 0) this.add(node.part);
        this.end();
    }
  }

  end(): void {
    if (this.#text !== '') this.found.add(this.#text);
    this.#text = '';
  }
}
