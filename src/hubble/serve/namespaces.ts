/** Namespaces that had a flow in the last hour: of the flows that somebody looked at, and of some that nobody did. */
import type { Flow as HubbleFlow } from '../generated/flow/flow_pb.ts';

const KEPT_MS = 3_600_000;
/** A cluster has hundreds; a flow may say any. */
const COUNT_MAX = 10_000;

export interface SeenNamespace {
  readonly cluster: string;
  readonly namespace: string;
}

export class Namespaces {
  readonly #nowMs: () => number;
  readonly #cluster: string;
  /** When each was seen last, the longest ago first. */
  readonly #seenMs = new Map<string, number>();

  constructor(cluster: string, nowMs: () => number) {
    this.#cluster = cluster;
    this.#nowMs = nowMs;
  }

  see({ source, destination }: HubbleFlow): void {
    for (const end of [source, destination]) {
      if (end === undefined || end.namespace === '') continue;
      const key = `${end.clusterName === '' ? this.#cluster : end.clusterName}/${end.namespace}`;
      this.#seenMs.delete(key);
      this.#seenMs.set(key, this.#nowMs());
      if (this.#seenMs.size > COUNT_MAX) this.#forgetOldest();
    }
  }

  /** By cluster, then by name. */
  list(): SeenNamespace[] {
    const oldestMs = this.#nowMs() - KEPT_MS;
    for (const seenMs of this.#seenMs.values()) {
      if (seenMs >= oldestMs) break;
      this.#forgetOldest();
    }
    return [...this.#seenMs.keys()].sort().map((key) => {
      const slash = key.indexOf('/');
      return { cluster: key.slice(0, slash), namespace: key.slice(slash + 1) };
    });
  }

  #forgetOldest(): void {
    this.#seenMs.delete(this.#seenMs.keys().next().value ?? '');
  }
}
