/** A socket that several exchanges with one peer have at a time, and the ring of those that a new one may share. */
import { getSystemErrorName } from 'node:util';
import { sendConnected } from './datagram_calls.ts';

/** How many sockets to one peer an exchange is drawn from. Fewer would be too few ports to guess. */
const SHARED_COUNT_MIN = 16;
const SHARED_COUNT_MAX = 64;
/** How long one that nobody uses waits for the next exchange, while sockets are shared at all. */
const IDLE_MS = 500;
/** Of how many that have left a socket it is remembered that they did. */
const LEFT_COUNT_MAX = 1024;
const ECONNREFUSED = -111;

/** Who waits for an answer at a socket. */
export interface Waiting {
  /** The first two bytes of what it sends, and of what answers it. */
  readonly id: number;
  heard(bytes: Buffer): void;
  failed(error: Error): void;
}

export interface SharedSocketParts {
  readonly ring: Ring;
  readonly nowMs: () => number;
  readonly close: () => void;
}

export class SharedSocket {
  readonly fd: number;
  readonly #parts: SharedSocketParts;
  readonly #waiting = new Map<number, Waiting>();
  /** Ids of those who wait no more, the oldest first: what has one of these comes late, and deceives nobody. */
  readonly #left = new Set<number>();
  #idleSinceMs = 0;
  #isClosed = false;
  /** Nobody else may come. */
  #isRetired = false;

  constructor(fd: number, parts: SharedSocketParts) {
    this.fd = fd;
    this.#parts = parts;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  hasRoomFor(id: number): boolean {
    return !this.#waiting.has(id);
  }

  join(waiting: Waiting): void {
    this.#waiting.set(waiting.id, waiting);
  }

  leave(waiting: Waiting): void {
    if (this.#waiting.get(waiting.id) !== waiting) return;
    this.#waiting.delete(waiting.id);
    this.#rememberLeft(waiting.id);
    if (this.#waiting.size > 0) return;
    const nowMs = this.#parts.nowMs();
    this.#idleSinceMs = nowMs;
    if (this.#isRetired || !this.#parts.ring.isShared(nowMs)) this.close();
  }

  #rememberLeft(id: number): void {
    const left = this.#left;
    left.delete(id);
    left.add(id);
    if (left.size <= LEFT_COUNT_MAX) return;
    const [oldest] = left;
    if (oldest !== undefined) left.delete(oldest);
  }

  /** Another has taken its place: it ends with those who wait here now. */
  retire(): void {
    this.#isRetired = true;
    if (this.#waiting.size === 0) this.close();
  }

  closeIfIdle(beforeMs: number): void {
    if (this.#waiting.size === 0 && this.#idleSinceMs < beforeMs) this.close();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#parts.ring.delete(this);
    this.#parts.close();
  }

  /** What has the id of nobody is told to all: each of them may be the one who is to be deceived. */
  heard(bytes: Buffer): void {
    const id = bytes.length < 2 ? null : bytes.readUInt16BE(0);
    const waiting = id === null ? undefined : this.#waiting.get(id);
    if (waiting !== undefined) waiting.heard(bytes);
    else if (id === null || !this.#left.has(id))
      for (const each of [...this.#waiting.values()]) each.heard(bytes);
  }

  /** The kernel tells it of no one datagram, so all who wait are told. */
  failed(code: number): void {
    const error = systemError(code);
    for (const each of [...this.#waiting.values()]) each.failed(error);
  }

  send(bytes: Buffer, sender: Waiting): void {
    let code = sendConnected(this.fd, bytes);
    if (code === ECONNREFUSED) {
      // Of what another had sent before, who may wait no more; it is told once, and this was not sent.
      for (const each of [...this.#waiting.values()])
        if (each !== sender) each.failed(systemError(code));
      code = this.#isClosed ? code : sendConnected(this.fd, bytes);
    }
    if (code !== 0) sender.failed(systemError(code));
  }
}

export class Ring {
  readonly #sockets: SharedSocket[] = [];
  #next = 0;
  #sharedMs = Number.NEGATIVE_INFINITY;

  /** One of them, by `random`; null when one is to be made: they are few, or none has room for `id`. */
  draw(id: number, random: number, nowMs: number): SharedSocket | null {
    const count = this.#sockets.length;
    if (count > 0) this.#sharedMs = nowMs;
    if (count < SHARED_COUNT_MIN) return null;
    for (let i = 0; i < count; i++) {
      const socket = this.#sockets[(random + i) % count] as SharedSocket;
      if (socket.hasRoomFor(id)) return socket;
    }
    return null;
  }

  /** The oldest makes room. */
  put(socket: SharedSocket): void {
    if (this.#sockets.length < SHARED_COUNT_MAX) {
      this.#sockets.push(socket);
      return;
    }
    this.#next = (this.#next + 1) % SHARED_COUNT_MAX;
    const oldest = this.#sockets[this.#next] as SharedSocket;
    this.#sockets[this.#next] = socket;
    oldest.retire();
  }

  delete(socket: SharedSocket): void {
    const index = this.#sockets.indexOf(socket);
    if (index === -1) return;
    const last = this.#sockets.pop() as SharedSocket;
    if (last !== socket) this.#sockets[index] = last;
  }

  isShared(nowMs: number): boolean {
    return nowMs - this.#sharedMs < IDLE_MS;
  }

  /** True: none is left. */
  closeIdle(nowMs: number): boolean {
    for (const socket of [...this.#sockets]) socket.closeIfIdle(nowMs - IDLE_MS);
    return this.#sockets.length === 0;
  }
}

function systemError(code: number): Error {
  const name = getSystemErrorName(code);
  return Object.assign(new Error(`UDP: ${name}`), { code: name, errno: code });
}
