/**
 * How wide the states of a set of patterns can be: in how many places of theirs, together, a value can be after some
 * of its bytes. Told from how the patterns begin, not from their automaton, which would take too long to make:
 *
 *     "/a/[0-9]+"  "/a/b.*"  "/c.*"    beginnings stand once, as in the set: at most those that begin one text,
 *                                      "/a/" and "/a/b"
 *     ".*\/x/[0-9]+"  ".*\/y.*"         behind ".*" their text must have been read: at most one for each byte
 *     "[a-z]+/.*"                      always
 */
import { literalPrefixOf } from './literal.ts';
import type { Regex } from './regex.ts';

export interface Beginning {
  readonly regex: Regex;
  /** What all that the pattern matches begins with, as far as it was looked at. */
  readonly beginning: string;
}

/** The width of a pattern that has fewer places is not looked at closer. */
const PLACES_LOOKED_AT = 8;
const OPEN = '.*';

export class SetWidth {
  /** For every length of the value. */
  readonly #always: number;
  readonly #open: Open | null;

  constructor(entries: readonly Beginning[]) {
    const begun: Tail[] = [];
    const open: Tail[] = [];
    let always = 1;
    for (const { regex, beginning } of entries) {
      const lead = beginning === '' ? leadOf(regex.pattern) : '';
      if (beginning !== '') begun.push(tailOf(regex, beginning));
      else if (lead !== '') open.push(tailOf(regex, lead));
      else always += widthOf(regex, 0);
    }
    this.#always = always + widestChain(begun);
    this.#open = open.length === 0 ? null : openOf(open);
  }

  /** Of a value of so many bytes. */
  at(bytes: number): number {
    const open = this.#open;
    if (open === null) return this.#always;
    return this.#always + open.leadLength + Math.min(open.width, bytes * open.widthOfOne);
  }
}

/** A text, and the width of what stands behind it in its pattern. */
interface Tail {
  readonly text: string;
  readonly width: number;
}

function tailOf(regex: Regex, text: string): Tail {
  return { text, width: widthOf(regex, text.length) };
}

function widthOf({ cost }: Regex, behind: number): number {
  const places = Math.max(1, cost.placeCount - behind);
  return places <= PLACES_LOOKED_AT ? places : Math.min(places, cost.width);
}

function leadOf(pattern: string): string {
  return pattern.startsWith(OPEN) ? literalPrefixOf(pattern.slice(OPEN.length)) : '';
}

/** Of the texts that one of them begins with, the widths together: at most. */
function widestChain(tails: readonly Tail[]): number {
  const sorted = tails.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  const chain: Tail[] = [];
  let width = 0;
  let widest = 0;
  for (const tail of sorted) {
    for (let last = chain.at(-1); last !== undefined; last = chain.at(-1)) {
      if (tail.text.startsWith(last.text)) break;
      width -= last.width;
      chain.pop();
    }
    chain.push(tail);
    width += tail.width;
    widest = Math.max(widest, width);
  }
  return widest;
}

interface Open {
  /** Of the longest text: so many of its own beginnings can be under way. */
  readonly leadLength: number;
  readonly width: number;
  /** Of all that one byte can bring, as the last one of their texts. */
  readonly widthOfOne: number;
}

function openOf(tails: readonly Tail[]): Open {
  return {
    leadLength: 1 + Math.max(...tails.map(({ text }) => text.length)),
    width: tails.reduce((sum, tail) => sum + tail.width, 0),
    widthOfOne: widestChain(tails.map(({ text, width }) => ({ text: reversed(text), width }))),
  };
}

function reversed(text: string): string {
  let turned = '';
  for (let i = text.length - 1; i >= 0; i--) turned += text.charAt(i);
  return turned;
}
