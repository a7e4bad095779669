/**
 * hot path
 *
 * Holders in the order of how many connections they have, where a number only ever changes by one: a list for each
 * number, and the highest of them. Every change costs the same, however many there are.
 */

/** A member of one list at a time. */
export class Linked {
  prev: Linked | null = null;
  next: Linked | null = null;
  list: LinkedList | null = null;
}

/** Those that have been in it the longest are first. */
export class LinkedList {
  first: Linked | null = null;
  #last: Linked | null = null;

  /** At the end; it leaves the list that it is in. */
  push(item: Linked): void {
    item.list?.remove(item);
    item.list = this;
    item.prev = this.#last;
    if (this.#last === null) this.first = item;
    else this.#last.next = item;
    this.#last = item;
  }

  remove(item: Linked): void {
    if (item.prev === null) this.first = item.next;
    else item.prev.next = item.next;
    if (item.next === null) this.#last = item.prev;
    else item.next.prev = item.prev;
    item.prev = null;
    item.next = null;
    item.list = null;
  }
}

export class Ranked extends Linked {
  /** Connections. */
  count = 0;
}

export class Ranking<Item extends Ranked> {
  /** By count; none is at 0. */
  readonly #lists: LinkedList[] = [];
  #highest = 0;

  added(item: Item): void {
    item.count += 1;
    this.#listOf(item.count).push(item);
    if (item.count > this.#highest) this.#highest = item.count;
  }

  removed(item: Item): void {
    item.count -= 1;
    if (item.count > 0) this.#listOf(item.count).push(item);
    else item.list?.remove(item);
    // It was the only one there: the highest is now at one less, where it is.
    if (this.#listOf(this.#highest).first === null && this.#highest > 0) this.#highest -= 1;
  }

  /** Of those with the most, the one that has had so many for the longest; null when there is none. */
  largest(): Item | null {
    return this.#highest === 0 ? null : (this.#listOf(this.#highest).first as Item);
  }

  #listOf(count: number): LinkedList {
    let list = this.#lists[count];
    if (list === undefined) {
      list = new LinkedList();
      this.#lists[count] = list;
    }
    return list;
  }
}
