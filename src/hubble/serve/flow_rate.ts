/** Flows a second, over the last minute. */
const SECONDS = 60;

export class FlowRate {
  readonly #nowMs: () => number;
  readonly #counts = new Uint32Array(SECONDS);
  readonly #startedMs: number;
  #second: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#startedMs = nowMs();
    this.#second = Math.floor(this.#startedMs / 1000);
  }

  add(count: number): void {
    this.#turn();
    const at = this.#second % SECONDS;
    this.#counts[at] = (this.#counts[at] ?? 0) + count;
  }

  perSecond(): number {
    this.#turn();
    const seconds = Math.min(SECONDS, Math.max(1, (this.#nowMs() - this.#startedMs) / 1000));
    return this.#counts.reduce((sum, count) => sum + count, 0) / seconds;
  }

  #turn(): void {
    const second = Math.floor(this.#nowMs() / 1000);
    const passed = Math.min(second - this.#second, SECONDS);
    for (let i = 1; i <= passed; i++) this.#counts[(this.#second + i) % SECONDS] = 0;
    this.#second = second;
  }
}
