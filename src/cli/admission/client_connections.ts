/**
 * Who may connect. One address has a part of the connections at most; when all are taken, whoever has most of them
 * loses one to whoever has fewer. So a kubelet that probes, or an API server, is not kept out by another address.
 */
import type { Socket } from 'node:net';

export interface ConnectionBounds {
  readonly countMax: number;
  /** Of one address. */
  readonly clientCountMax: number;
}

export class ClientConnections {
  readonly #bounds: ConnectionBounds;
  readonly #clients = new Map<string, Set<Socket>>();
  #count = 0;

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds;
  }

  /** Destroys it, or one of others, when there is no room for it. */
  add(socket: Socket): void {
    const { countMax, clientCountMax } = this.#bounds;
    const client = clientOf(socket);
    const own = this.#clients.get(client) ?? new Set();
    if (own.size >= clientCountMax || (this.#count >= countMax && !this.#makeRoom(own.size + 1))) {
      socket.destroy();
      return;
    }
    own.add(socket);
    this.#clients.set(client, own);
    this.#count += 1;
    socket.once('close', () => this.#remove(client, socket));
  }

  /** False: nobody has more than `count`. */
  #makeRoom(count: number): boolean {
    let greediest: readonly [string, ReadonlySet<Socket>] | null = null;
    for (const one of this.#clients) {
      if (greediest === null || one[1].size > greediest[1].size) greediest = one;
    }
    if (greediest === null || greediest[1].size <= count) return false;
    const [client, sockets] = greediest;
    // What has begun long ago is nearest to its end.
    const newest = [...sockets].at(-1);
    if (newest === undefined) return false;
    this.#remove(client, newest);
    newest.destroy();
    return true;
  }

  #remove(client: string, socket: Socket): void {
    const own = this.#clients.get(client);
    if (own?.delete(socket) !== true) return;
    this.#count -= 1;
    if (own.size === 0) this.#clients.delete(client);
  }
}

/** Of a connection, and of the requests on it. One that is gone already has none. */
export function clientOf({ remoteAddress }: Pick<Socket, 'remoteAddress'>): string {
  return remoteAddress ?? '';
}
