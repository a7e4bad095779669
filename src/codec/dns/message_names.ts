/**
 * The names of one message, each place read once. Thousands of records may point into one chain of pointers that is as
 * long as a name can have use for: read anew for each, an answer of 64 KiB would take a worker a tenth of a second.
 *
 *     parts:  a ⬎        b ⬎        c 0          from the end: "c.", "b.c.", "a.b.c.", and each is kept
 *             place      target     target
 */
import { HEADER_BYTES } from './header.ts';
import { endOfLabels, labelsText, NAME_BYTES_MAX, POINTER_COUNT_MAX, targetOf } from './name.ts';

interface PlacedName {
  /** With a dot behind each label; empty: the root. */
  readonly text: string;
  readonly bytes: number;
  readonly pointers: number;
}

const ROOT: PlacedName = { text: '', bytes: 1, pointers: 0 };

export class MessageNames {
  readonly #message: Buffer;
  readonly #byPlace = new Map<number, PlacedName | null>();

  constructor(message: Buffer) {
    this.#message = message;
  }

  /** As `canonicalNameAt`. */
  at(place: number): string | null {
    const known = this.#byPlace.get(place);
    const name = known === undefined ? this.#read(place) : known;
    return name === null ? null : name.text || '.';
  }

  #read(place: number): PlacedName | null {
    const parts: number[] = [];
    let part = place;
    let rest = this.#byPlace.get(part);
    let isPointedTo = true;
    while (rest === undefined) {
      parts.push(part);
      // A name of a place further on may still be short enough.
      if (parts.length > POINTER_COUNT_MAX + 1) return null;
      const end = endOfLabels(this.#message, part);
      if (end >= 0 && this.#message[end] === 0) {
        rest = ROOT;
        isPointedTo = false;
      } else {
        const target = end < 0 ? part : targetOf(this.#message, end);
        // It leads backwards, so none goes round.
        if (target >= part || target < HEADER_BYTES) rest = null;
        else {
          part = target;
          rest = this.#byPlace.get(part);
        }
      }
    }
    return this.#keep(parts, rest, isPointedTo);
  }

  /** From the last part to the first. */
  #keep(
    parts: readonly number[],
    last: PlacedName | null,
    isPointedTo: boolean,
  ): PlacedName | null {
    let name = last;
    let hops = isPointedTo ? 1 : 0;
    for (const part of parts.toReversed()) {
      name = name === null ? null : this.#before(part, name, hops);
      this.#byPlace.set(part, name);
      hops = 1;
    }
    return name;
  }

  #before(part: number, rest: PlacedName, hops: number): PlacedName | null {
    const end = endOfLabels(this.#message, part);
    const bytes = end - part + rest.bytes;
    const pointers = rest.pointers + hops;
    if (bytes > NAME_BYTES_MAX || pointers > POINTER_COUNT_MAX) return null;
    return { text: labelsText(this.#message, part, end) + rest.text, bytes, pointers };
  }
}
