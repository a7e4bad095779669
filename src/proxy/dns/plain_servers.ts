/**
 * Servers that do not give back the letters of a name as they were asked: they are asked as the client spells it, and any
 * letters count. Remembered for a while and in bounds, since others may stand behind the same address later. One that is
 * forgotten costs one question more.
 */
import type { SocketAddress } from '../../model/address.ts';

const REMEMBERED_MS = 10 * 60_000;
const SERVER_COUNT_MAX = 1024;

export class PlainServers {
  /** Until when; the oldest first. */
  readonly #untilMs = new Map<string, number>();

  has(server: SocketAddress, nowMs: number): boolean {
    // Nearly always there is none.
    if (this.#untilMs.size === 0) return false;
    const key = keyOf(server);
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined) return false;
    if (nowMs < untilMs) return true;
    this.#untilMs.delete(key);
    return false;
  }

  add(server: SocketAddress, nowMs: number): void {
    const key = keyOf(server);
    this.#untilMs.delete(key);
    this.#untilMs.set(key, nowMs + REMEMBERED_MS);
    if (this.#untilMs.size <= SERVER_COUNT_MAX) return;
    const [oldest] = this.#untilMs.keys();
    if (oldest !== undefined) this.#untilMs.delete(oldest);
  }
}

function keyOf({ ip, port }: SocketAddress): string {
  return `${ip} ${port}`;
}
