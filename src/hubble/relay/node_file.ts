/** Nodes of a file, a line each: `[NAME=]ADDRESS`. It is read again when it changes. */
import { readFileSync, statSync } from 'node:fs';
import type { RelayPeer } from './node_link.ts';
import { parseNode } from './node_text.ts';

export interface NodeFileOptions {
  readonly path: string;
  readonly cluster: string;
  readonly intervalMs: number;
  readonly onPeers: (peers: ReadonlyMap<string, RelayPeer>) => void;
  readonly onProblem: (problem: string) => void;
}

const BYTES_MAX = 1024 * 1024;

export class NodeFile {
  readonly #options: NodeFileOptions;
  readonly #timer: NodeJS.Timeout;
  #stamp = '';

  constructor(options: NodeFileOptions) {
    this.#options = options;
    this.#look();
    this.#timer = setInterval(() => this.#look(), options.intervalMs).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** All of it is taken, or nothing: then the nodes of before go on. */
  #look(): void {
    const { path, cluster, onPeers, onProblem } = this.#options;
    const stat = statSync(path, { throwIfNoEntry: false });
    const stamp = stat === undefined ? 'absent' : `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      if (stat !== undefined && stat.size > BYTES_MAX) {
        throw new Error(`it has more than ${BYTES_MAX} bytes`);
      }
      onPeers(peersOf(readFileSync(path, 'utf8'), cluster));
    } catch (error) {
      onProblem(`${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

function peersOf(text: string, cluster: string): ReadonlyMap<string, RelayPeer> {
  const peers = new Map<string, RelayPeer>();
  for (const [index, line] of text.split('\n').entries()) {
    const node = line.replace(/#.*$/, '').trim();
    if (node === '') continue;
    const peer = parseNode(node, cluster);
    if (peer === null) throw new Error(`line ${index + 1} is no [NAME=]ADDRESS`);
    peers.set(peer.name, peer);
  }
  return peers;
}
