/** Waiting for a condition without polling: whoever changes something raises, whoever waits looks. */
/** Only there to end what hangs: a machine may be busy with others. */
const GIVE_UP_MS = 60_000;

export class Signal {
  readonly #looks = new Set<() => void>();

  raise(): void {
    for (const look of [...this.#looks]) look();
  }

  /** Rejects, with what was awaited, when `isHopeless` or after a while. */
  until(
    isMet: () => boolean,
    about: () => string,
    isHopeless: () => boolean = () => false,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(false), GIVE_UP_MS);
      const finish = (isGood: boolean): void => {
        clearTimeout(timer);
        this.#looks.delete(look);
        if (isGood) resolve();
        else reject(new Error(`waited in vain for ${about()}`));
      };
      const look = (): void => {
        if (isMet()) finish(true);
        else if (isHopeless()) finish(false);
      };
      this.#looks.add(look);
      look();
    });
  }
}
