/** Nodes of a headless Service: each address behind its name is asked for the nodes that it knows. */
import { lookup } from 'node:dns/promises';
import type { RelayPeer } from './node_link.ts';
import { PeerSource, type PeerSourceOptions } from './peer_source.ts';

export interface PeerNamesOptions extends Omit<PeerSourceOptions, 'address'> {
  readonly host: string;
  readonly port: number;
  readonly intervalMs: number;
  /** Addresses that are asked; others are left out. */
  readonly countMax: number;
}

export class PeerNames {
  readonly #options: PeerNamesOptions;
  readonly #sources = new Map<string, PeerSource>();
  readonly #peersOf = new Map<string, ReadonlyMap<string, RelayPeer>>();
  #timer: NodeJS.Timeout | null = null;
  #problem = '';
  #isClosed = false;

  constructor(options: PeerNamesOptions) {
    this.#options = options;
    void this.#look();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const source of this.#sources.values()) source.close();
  }

  /** When the name cannot be looked up, the addresses of before go on. */
  async #look(): Promise<void> {
    const { host, port, intervalMs, countMax, onProblem } = this.#options;
    try {
      const found = await lookup(host, { all: true });
      const addresses = found
        .slice(0, countMax)
        .map(({ address, family }) =>
          family === 6 ? `[${address}]:${port}` : `${address}:${port}`,
        );
      this.#problem = '';
      if (!this.#isClosed) this.#follow(new Set(addresses));
    } catch (error) {
      const problem = `${host}: ${error instanceof Error ? error.message : String(error)}`;
      if (problem !== this.#problem) onProblem(problem);
      this.#problem = problem;
    }
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#look(), intervalMs).unref();
  }

  #follow(addresses: ReadonlySet<string>): void {
    for (const [address, source] of this.#sources) {
      if (addresses.has(address)) continue;
      source.close();
      this.#sources.delete(address);
      this.#peersOf.delete(address);
    }
    for (const address of addresses) {
      if (this.#sources.has(address)) continue;
      const onPeers = (peers: ReadonlyMap<string, RelayPeer>): void => {
        this.#peersOf.set(address, peers);
        this.#tell();
      };
      this.#sources.set(address, new PeerSource({ ...this.#options, address, onPeers }));
    }
    this.#tell();
  }

  #tell(): void {
    this.#options.onPeers(new Map([...this.#peersOf.values()].flatMap((peers) => [...peers])));
  }
}
