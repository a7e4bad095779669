/**
 * A time-out on what another process has to say. When this process was busy, stopped or suspended for longer than
 * that, the word may have come and not been read: so what has come is read first.
 */
export class PatientTimeout {
  #timer: NodeJS.Timeout | null = null;
  #look: NodeJS.Immediate | null = null;

  /** What was under way before is forgotten. */
  start(timeoutMs: number, onTimeout: () => void): void {
    this.clear();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#look = setImmediate(() => {
        this.#look = null;
        onTimeout();
      });
    }, timeoutMs);
  }

  get isRunning(): boolean {
    return this.#timer !== null || this.#look !== null;
  }

  clear(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#look !== null) clearImmediate(this.#look);
    this.#look = null;
  }
}
