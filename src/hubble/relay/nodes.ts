/** The nodes that there are now, by name, as their sources tell. */

import type { NodeTrust } from './node_client.ts';
import { NodeLink, type RelayPeer } from './node_link.ts';

export interface NodesOptions {
  readonly trust: NodeTrust;
  readonly retryMs: number;
  readonly nodeCountMax: number;
}

export class Nodes {
  readonly #options: NodesOptions;
  readonly #links = new Map<string, NodeLink>();
  readonly #peersOf = new Map<string, ReadonlyMap<string, RelayPeer>>();
  readonly #watchers = new Set<() => void>();

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  get trust(): NodeTrust {
    return this.#options.trust;
  }

  get links(): readonly NodeLink[] {
    return [...this.#links.values()];
  }

  link(name: string): NodeLink | null {
    return this.#links.get(name) ?? null;
  }

  /** All that a source knows of now. What two sources name is as the first one says. */
  set(source: string, peers: ReadonlyMap<string, RelayPeer>): void {
    this.#peersOf.set(source, peers);
    const wanted = new Map<string, RelayPeer>();
    for (const some of this.#peersOf.values()) {
      for (const [name, peer] of some) {
        if (wanted.size >= this.#options.nodeCountMax) break;
        if (!wanted.has(name)) wanted.set(name, peer);
      }
    }
    this.#follow(wanted);
  }

  /** `watcher` is called when a node came, went, or became available or not. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  #follow(wanted: ReadonlyMap<string, RelayPeer>): void {
    for (const [name, link] of this.#links) {
      const peer = wanted.get(name);
      if (peer?.address === link.peer.address && peer.serverName === link.peer.serverName) continue;
      link.close();
      this.#links.delete(name);
    }
    const { trust, retryMs } = this.#options;
    for (const [name, peer] of wanted) {
      if (this.#links.has(name)) continue;
      const link = new NodeLink({ peer, trust, retryMs, onChange: () => this.#tell() });
      this.#links.set(name, link);
    }
    this.#tell();
  }

  #tell(): void {
    for (const watcher of this.#watchers) watcher();
  }
}
