/**
 * How long interfaces and pods wait for each other: an interface that nobody has yet is closed, a pod without one is
 * not judged. Bounded: after `overdueMs` each is told once, and stays closed.
 */
export interface WaitCounts {
  /** Closed interfaces, now. */
  readonly interfaces: number;
  /** Pods of this node without an interface, now. */
  readonly pods: number;
  /** Of both, those that wait for longer than they should. */
  readonly overdue: number;
  /** Since when the oldest of them waits, by a clock that starts with the node; 0: nobody waits. */
  readonly oldestSinceMs: number;
  /** Interfaces that were closed, and then a pod's. */
  readonly openedTotal: number;
  readonly openedWaitMsTotal: number;
  readonly openedWaitMsMax: number;
  /** How many have waited for longer than they should, ever. */
  readonly overdueTotal: number;
}

export interface Waiting {
  /** Closed: index → name. */
  readonly closed: ReadonlyMap<number, string>;
  /** Pod → why it has none. */
  readonly pods: ReadonlyMap<string, string>;
  /** Those that pods have. */
  readonly open: ReadonlySet<number>;
}

export interface WaitNews {
  readonly opened: readonly { readonly ifindex: number; readonly waitedMs: number }[];
  readonly overdue: readonly string[];
}

interface Wait {
  readonly sinceMs: number;
  /** No look has found it closed yet: it was told of first. */
  readonly isUnseen: boolean;
  isTold: boolean;
}

export class InterfaceWaits {
  readonly #overdueMs: number;
  readonly #nowMs: () => number;
  #interfaces = new Map<number, Wait>();
  #pods = new Map<string, Wait>();
  #opened = { count: 0, totalMs: 0, maxMs: 0 };
  #overdueTotal = 0;

  constructor(overdueMs: number, nowMs: () => number) {
    this.#overdueMs = overdueMs;
    this.#nowMs = nowMs;
  }

  /** From now on, and not from the next look. */
  close(ifindex: number): void {
    if (this.#interfaces.has(ifindex)) return;
    this.#interfaces.set(ifindex, { ...this.#begun(), isUnseen: true });
  }

  update({ closed, pods, open }: Waiting): WaitNews {
    const nowMs = this.#nowMs();
    const opened: { readonly ifindex: number; readonly waitedMs: number }[] = [];
    for (const [ifindex, { sinceMs }] of this.#interfaces) {
      if (!open.has(ifindex)) continue;
      const waitedMs = nowMs - sinceMs;
      opened.push({ ifindex, waitedMs });
      const { count, totalMs, maxMs } = this.#opened;
      this.#opened = {
        count: count + 1,
        totalMs: totalMs + waitedMs,
        maxMs: Math.max(maxMs, waitedMs),
      };
    }
    const unseen = [...this.#interfaces].filter(
      ([ifindex, wait]) => wait.isUnseen && !open.has(ifindex) && !this.#isOverdue(wait),
    );
    this.#interfaces = kept(this.#interfaces, closed.keys(), () => this.#begun());
    for (const [ifindex, wait] of unseen) {
      if (!closed.has(ifindex)) this.#interfaces.set(ifindex, wait);
    }
    this.#pods = kept(this.#pods, pods.keys(), () => this.#begun());
    const late = [
      ...this.#late(
        this.#interfaces,
        (ifindex) => `interface ${closed.get(ifindex)} (index ${ifindex}) ${CLOSED}`,
      ),
      ...this.#late(this.#pods, (name) => `${name} has no interface here: ${pods.get(name)}`),
    ];
    this.#overdueTotal += late.length;
    return { opened, overdue: late };
  }

  /** Somebody waits who may still be helped soon: it is worth to look often. */
  get isFresh(): boolean {
    return this.#all.some((wait) => !this.#isOverdue(wait));
  }

  get counts(): WaitCounts {
    const all = this.#all;
    return {
      interfaces: this.#interfaces.size,
      pods: this.#pods.size,
      overdue: all.filter((wait) => this.#isOverdue(wait)).length,
      oldestSinceMs: all.reduce((oldest, { sinceMs }) => Math.min(oldest || sinceMs, sinceMs), 0),
      openedTotal: this.#opened.count,
      openedWaitMsTotal: this.#opened.totalMs,
      openedWaitMsMax: this.#opened.maxMs,
      overdueTotal: this.#overdueTotal,
    };
  }

  get #all(): readonly Wait[] {
    return [...this.#interfaces.values(), ...this.#pods.values()];
  }

  #begun(): Wait {
    return { sinceMs: this.#nowMs(), isUnseen: false, isTold: false };
  }

  #isOverdue({ sinceMs }: Wait): boolean {
    return this.#nowMs() - sinceMs >= this.#overdueMs;
  }

  #late<K>(waits: ReadonlyMap<K, Wait>, textOf: (key: K) => string): readonly string[] {
    const texts: string[] = [];
    for (const [key, wait] of waits) {
      if (wait.isTold || !this.#isOverdue(wait)) continue;
      wait.isTold = true;
      texts.push(textOf(key));
    }
    return texts;
  }
}

function kept<K>(before: ReadonlyMap<K, Wait>, keys: Iterable<K>, begun: () => Wait): Map<K, Wait> {
  const after = new Map<K, Wait>();
  for (const key of keys) {
    const wait = before.get(key) ?? begun();
    after.set(key, wait.isUnseen ? { ...wait, isUnseen: false } : wait);
  }
  return after;
}

const CLOSED = 'lets nothing through: no pod that is known here leads to it';
