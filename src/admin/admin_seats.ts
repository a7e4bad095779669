/**
 * Who sits at the admin server. When all seats are taken a newcomer gets that of somebody who does nothing with it:
 * of the address that has the most, half a request first, then an idle connection, then a reply that is not read.
 * Requests that are being answered keep theirs; `isCrowded` keeps some free of them, so that a health check
 * always finds one.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const STATES = ['asking', 'idle', 'unread', 'working'] as const;
type State = (typeof STATES)[number];

interface Seat {
  readonly address: string;
  state: State;
}

/** Seats that only health checks get. */
const RESERVED_COUNT = 8;

export class AdminSeats {
  readonly #countMax: number;
  /** In the order in which they came to be in their state. */
  readonly #seats = new Map<Socket, Seat>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** So many requests are being answered that the rest is for health checks. */
  get isCrowded(): boolean {
    let workingCount = 0;
    for (const { state } of this.#seats.values()) if (state === 'working') workingCount++;
    return workingCount >= Math.max(1, this.#countMax - RESERVED_COUNT);
  }

  /** `socket` has just been accepted. */
  take(socket: Socket): void {
    if (this.#seats.size >= this.#countMax && !this.#makeRoom()) {
      socket.destroy();
      return;
    }
    this.#seats.set(socket, { address: socket.remoteAddress ?? '', state: 'asking' });
    socket.once('close', () => this.#seats.delete(socket));
  }

  /** A request is whole but for its content. */
  asked(socket: Socket, response: ServerResponse): void {
    this.#move(socket, 'asking');
    response.once('finish', () => this.#move(socket, 'idle'));
  }

  /** It is whole, and not given up any more. */
  working(socket: Socket): void {
    this.#move(socket, 'working');
  }

  /** All of the reply is written; it may not have been read. */
  answered(socket: Socket): void {
    this.#move(socket, 'unread');
  }

  #move(socket: Socket, state: State): void {
    const seat = this.#seats.get(socket);
    if (seat === undefined) return;
    seat.state = state;
    this.#seats.delete(socket);
    this.#seats.set(socket, seat);
  }

  #makeRoom(): boolean {
    const counts = new Map<string, number>();
    for (const { address, state } of this.#seats.values()) {
      if (state !== 'working') counts.set(address, (counts.get(address) ?? 0) + 1);
    }
    const most = Math.max(...counts.values());
    for (const wanted of STATES) {
      if (wanted === 'working') break;
      for (const [socket, { address, state }] of this.#seats) {
        if (state !== wanted || counts.get(address) !== most) continue;
        this.#seats.delete(socket);
        socket.destroy();
        return true;
      }
    }
    return false;
  }
}
