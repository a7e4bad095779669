/** Addresses of this machine: read now and then, as they seldom change and a read costs a hundred microseconds. */
import { networkInterfaces } from 'node:os';
import type { Clock } from './platform.ts';

const AGE_MS = 5000;

export class OwnInterfaces {
  readonly #clock: Pick<Clock, 'nowMs'>;
  #readMs = Number.NEGATIVE_INFINITY;
  #ips: ReadonlySet<string> = new Set();

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock;
  }

  /** `ip`: canonical. */
  has(ip: string): boolean {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#readMs >= AGE_MS) {
      this.#readMs = nowMs;
      this.#ips = new Set(
        Object.values(networkInterfaces()).flatMap((all) =>
          (all ?? []).map(({ address }) => address),
        ),
      );
    }
    return this.#ips.has(ip);
  }
}
