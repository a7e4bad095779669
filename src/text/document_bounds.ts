/**
 * What one document of a foreign text may have: bytes, tokens, anchors, depth. Counted while the text is read, so
 * that a document that is too much is refused before a tree of it exists, and before anything recurses into it.
 */
import type { Limits } from '../model/limits.ts';

export type DocumentLimits = Pick<
  Limits,
  'documentBytesMax' | 'documentTokenCountMax' | 'documentAnchorCountMax' | 'documentDepthMax'
>;

/** `offset`: where in the text it became too much. */
export class TooMuch extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** All that may be said of a document that is too much: nothing of the document itself. */
export function tooMuchTexts(limits: DocumentLimits): readonly string[] {
  return [bytesText(limits), tokensText(limits), anchorsText(limits), depthText(limits)];
}

/** Counts one document. Each method throws `TooMuch`. */
export class DocumentBounds {
  readonly #limits: DocumentLimits;
  readonly #start: number;
  #bytes = 0;
  #tokenCount = 0;
  #anchorCount = 0;

  constructor(limits: DocumentLimits, start: number) {
    this.#limits = limits;
    this.#start = start;
  }

  /** Told at the beginning of the document: where it ends is as far as its writer wants. */
  addBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#limits.documentBytesMax) {
      throw new TooMuch(bytesText(this.#limits), this.#start);
    }
  }

  addToken(offset: number): void {
    this.#tokenCount += 1;
    if (this.#tokenCount > this.#limits.documentTokenCountMax) {
      throw new TooMuch(tokensText(this.#limits), offset);
    }
  }

  /** Of an anchor, or of an alias. */
  addAnchor(offset: number): void {
    this.#anchorCount += 1;
    if (this.#anchorCount > this.#limits.documentAnchorCountMax) {
      throw new TooMuch(anchorsText(this.#limits), offset);
    }
  }

  /** `depth` lists and maps are open. */
  checkDepth(depth: number, offset: number): void {
    if (depth > this.#limits.documentDepthMax) throw new TooMuch(depthText(this.#limits), offset);
  }
}

function bytesText({ documentBytesMax }: DocumentLimits): string {
  return `the document has more bytes than documentBytesMax allows (${documentBytesMax})`;
}

function tokensText({ documentTokenCountMax }: DocumentLimits): string {
  return `the document has more keys, values and signs than documentTokenCountMax allows (${documentTokenCountMax})`;
}

function anchorsText({ documentAnchorCountMax }: DocumentLimits): string {
  return `the document has more anchors and aliases than documentAnchorCountMax allows (${documentAnchorCountMax})`;
}

function depthText({ documentDepthMax }: DocumentLimits): string {
  return `lists and maps are nested deeper than documentDepthMax allows (${documentDepthMax})`;
}
