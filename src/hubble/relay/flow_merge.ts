/**
 * Messages of many nodes as one stream, sorted by time. A message goes when each node has shown its next one and the
 * window is full; to those who follow also when it is full or one has waited long enough, as a silent node has no next.
 */
export interface MergedMessage {
  readonly node: string;
  readonly timeNs: bigint;
  readonly bytes: Uint8Array;
}

export interface FlowMergeOptions {
  /** Messages that are held; what a node may have of them is its share. */
  readonly lengthMax: number;
  readonly drainMs: number;
  readonly isFollowing: boolean;
}

interface Held {
  readonly message: MergedMessage;
  readonly number: number;
}

/** One to compare with the others, and one that comes after it. */
const SHARE_MIN = 2;

export class FlowMerge {
  readonly #options: FlowMergeOptions;
  /** A heap: the earliest is the first. */
  readonly #heap: Held[] = [];
  readonly #countOf = new Map<string, number>();
  /** When each came, by its number, the longest ago first. */
  readonly #arrivedMs = new Map<number, number>();
  readonly #members = new Set<string>();
  #nextNumber = 0;

  constructor(options: FlowMergeOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#heap.length;
  }

  join(node: string): void {
    this.#members.add(node);
  }

  /** What it has sent stays. */
  leave(node: string): void {
    this.#members.delete(node);
  }

  /** It is to send no more for now. */
  isFull(node: string): boolean {
    const share = Math.ceil(this.#options.lengthMax / Math.max(1, this.#members.size));
    return (this.#countOf.get(node) ?? 0) >= Math.max(SHARE_MIN, share);
  }

  add(message: MergedMessage, nowMs: number): void {
    const number = this.#nextNumber++;
    this.#arrivedMs.set(number, nowMs);
    this.#countOf.set(message.node, (this.#countOf.get(message.node) ?? 0) + 1);
    this.#heap.push({ message, number });
    this.#rise(this.#heap.length - 1);
  }

  /** Null: an earlier one may still come. */
  next(nowMs: number): MergedMessage | null {
    return this.#isDue(nowMs) ? this.#pop() : null;
  }

  #isDue(nowMs: number): boolean {
    const { lengthMax, drainMs, isFollowing } = this.#options;
    if (this.#heap.length === 0) return false;
    if (this.#members.size === 0) return true;
    const isLong = this.#heap.length >= lengthMax;
    if (isFollowing) {
      const [oldestMs = nowMs] = this.#arrivedMs.values();
      if (isLong || nowMs - oldestMs >= drainMs) return true;
    }
    const members = [...this.#members];
    if (!members.every((node) => (this.#countOf.get(node) ?? 0) > 0)) return false;
    return isLong || members.some((node) => this.isFull(node));
  }

  #pop(): MergedMessage {
    const [first] = this.#heap as [Held];
    const last = this.#heap.pop() as Held;
    if (last !== first) {
      this.#heap[0] = last;
      this.#sink();
    }
    const { message, number } = first;
    const left = (this.#countOf.get(message.node) ?? 1) - 1;
    if (left === 0) this.#countOf.delete(message.node);
    else this.#countOf.set(message.node, left);
    this.#arrivedMs.delete(number);
    return message;
  }

  #rise(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #sink(): void {
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      const right = left + 1;
      let least = at;
      if (left < this.#heap.length && this.#isBefore(left, least)) least = left;
      if (right < this.#heap.length && this.#isBefore(right, least)) least = right;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  /** Of one time: the one that came first. */
  #isBefore(one: number, other: number): boolean {
    const a = this.#heap[one] as Held;
    const b = this.#heap[other] as Held;
    if (a.message.timeNs !== b.message.timeNs) return a.message.timeNs < b.message.timeNs;
    return a.number < b.number;
  }

  #swap(one: number, other: number): void {
    const held = this.#heap[one] as Held;
    this.#heap[one] = this.#heap[other] as Held;
    this.#heap[other] = held;
  }
}
