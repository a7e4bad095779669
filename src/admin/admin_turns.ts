/**
 * Requests of one connection are answered one after the other: the next is begun when the reply before it is with the
 * system. Otherwise a client that sends thousands and reads none would have all of them worked on at once.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** More than any client sends ahead; whoever does is let go. */
const WAITING_COUNT_MAX = 32;

interface Line {
  waitingCount: number;
  /** Resolves when the last in the line has its reply. */
  last: Promise<void>;
}

export class AdminTurns {
  readonly #lines = new WeakMap<Socket, Line>();

  /** Resolves when it is this request's turn, at once without others before it; null: too many wait already. */
  take(socket: Socket, response: ServerResponse): Promise<void> | null {
    const line = this.#lines.get(socket) ?? { waitingCount: 0, last: Promise.resolve() };
    if (line.waitingCount >= WAITING_COUNT_MAX) return null;
    this.#lines.set(socket, line);
    line.waitingCount++;
    const turn = line.last;
    line.last = new Promise((resolve) => {
      // Never for one whose connection ends before its turn: nobody waits for it any more.
      response.once('close', () => {
        line.waitingCount--;
        resolve();
      });
    });
    return turn;
  }
}
