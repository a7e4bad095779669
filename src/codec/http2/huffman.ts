/**
 * hot path
 *
 * The Huffman code of HPACK (RFC 7541 5.2, appendix B). The code is canonical: codes of one length
 * follow each other in the order of their symbols, so the lengths alone define it. Decoding walks
 * four bits at a time through a table of 256 inner nodes, which stays in the first-level cache.
 */

/** Code length in bits of the symbols 0 to 255 and of EOS (256). */
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS = 256;

// One entry: next node << 10 | flags | symbol.
const SYMBOL_MASK = 0xff;
const EMITS = 0x100;
const FAILS = 0x200;
const NODE_SHIFT = 10;

const CODES: readonly number[] = canonicalCodes();
const TREE = buildTree();
const TRANSITIONS: Int32Array = buildTransitions();
/** 1 for nodes at which a string may end: fewer than 8 bits, all ones, since the last symbol. */
const MAY_END: Uint8Array = buildEnds();

/**
 * Decodes `bytes` from `start` to `end` into `target`, which must hold `decodedLengthMax` bytes.
 * Gives the decoded length, or -1 when the string holds EOS or ends in wrong padding.
 */
export function decodeHuffman(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let node = 0;
  let length = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    let entry = TRANSITIONS[(node << 4) | (byte >> 4)] as number;
    if ((entry & (EMITS | FAILS)) !== 0) {
      if ((entry & FAILS) !== 0) return -1;
      target[length++] = entry & SYMBOL_MASK;
    }
    entry = TRANSITIONS[((entry >> NODE_SHIFT) << 4) | (byte & 0xf)] as number;
    if ((entry & (EMITS | FAILS)) !== 0) {
      if ((entry & FAILS) !== 0) return -1;
      target[length++] = entry & SYMBOL_MASK;
    }
    node = entry >> NODE_SHIFT;
  }
  return MAY_END[node] === 1 ? length : -1;
}

/** The shortest code has 5 bits. */
export function decodedLengthMax(encodedLength: number): number {
  return Math.floor((encodedLength * 8) / 5) + 1;
}

/** The code of `bytes`, padded with ones. Cold: for tests and tools; we send plain literals. */
export function encodeHuffman(bytes: Uint8Array): Uint8Array {
  const encoded: number[] = [];
  let held = 0n;
  let heldBits = 0;
  for (const symbol of bytes) {
    const length = CODE_LENGTHS[symbol] as number;
    held = (held << BigInt(length)) | BigInt(CODES[symbol] as number);
    heldBits += length;
    while (heldBits >= 8) {
      heldBits -= 8;
      encoded.push(Number((held >> BigInt(heldBits)) & 0xffn));
    }
    held &= (1n << BigInt(heldBits)) - 1n;
  }
  if (heldBits > 0) encoded.push((Number(held) << (8 - heldBits)) | ((1 << (8 - heldBits)) - 1));
  return Uint8Array.from(encoded);
}

function canonicalCodes(): number[] {
  const codes = new Array<number>(EOS + 1).fill(0);
  let code = 0;
  for (let length = 1; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (CODE_LENGTHS[symbol] === length) codes[symbol] = code++;
    }
  }
  return codes;
}

interface Tree {
  /** By node * 2 + bit: the next node, or -1 - symbol. */
  readonly children: readonly number[];
}

function buildTree(): Tree {
  const children: number[] = [0, 0];
  for (let symbol = 0; symbol <= EOS; symbol++) {
    const length = CODE_LENGTHS[symbol] as number;
    let node = 0;
    for (let bit = length - 1; bit >= 0; bit--) {
      const edge = node * 2 + (((CODES[symbol] as number) >>> bit) & 1);
      if (bit === 0) {
        children[edge] = -1 - symbol;
      } else if (children[edge] === 0) {
        children[edge] = children.length / 2;
        node = children[edge] as number;
        children.push(0, 0);
      } else {
        node = children[edge] as number;
      }
    }
  }
  return { children };
}

function buildTransitions(): Int32Array {
  const nodeCount = TREE.children.length / 2;
  const transitions = new Int32Array(nodeCount * 16);
  for (let start = 0; start < nodeCount; start++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      transitions[(start << 4) | nibble] = transition(start, nibble);
    }
  }
  return transitions;
}

function transition(start: number, nibble: number): number {
  let node = start;
  let flags = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = TREE.children[node * 2 + ((nibble >> bit) & 1)] as number;
    if (child >= 0) {
      node = child;
      continue;
    }
    const symbol = -1 - child;
    if (symbol === EOS) return FAILS;
    flags = EMITS | symbol;
    node = 0;
  }
  return (node << NODE_SHIFT) | flags;
}

function buildEnds(): Uint8Array {
  const ends = new Uint8Array(TREE.children.length / 2);
  let node = 0;
  for (let bits = 0; bits < 8; bits++) {
    ends[node] = 1;
    node = TREE.children[node * 2 + 1] as number;
  }
  return ends;
}
