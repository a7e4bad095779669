import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';

export type Line = Readonly<Record<string, unknown>>;

/** A process that answers JSON lines. */
export class JsonLines {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: ((line: Line | null) => void)[] = [];
  readonly #early: Line[] = [];
  #isOver = false;

  constructor(process: ChildProcessWithoutNullStreams) {
    this.#process = process;
    process.stderr.resume();
    const over = (): void => {
      this.#isOver = true;
      for (const wait of this.#waiting.splice(0)) wait(null);
    };
    process.on('error', over);
    const lines = createInterface({ input: process.stdout });
    lines.on('line', (text) => {
      if (!text.startsWith('{')) return;
      const line = JSON.parse(text) as Line;
      const wait = this.#waiting.shift();
      if (wait === undefined) this.#early.push(line);
      else wait(line);
    });
    lines.on('close', over);
  }

  send(text: string): void {
    this.#process.stdin.write(`${text}\n`);
  }

  ask(text: string): Promise<Line> {
    this.send(text);
    return this.#next();
  }

  async until(isIt: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const line = await this.#next();
      if (isIt(line)) return line;
    }
  }

  end(): void {
    this.#process.stdin.end();
  }

  #next(): Promise<Line> {
    const early = this.#early.shift();
    if (early !== undefined) return Promise.resolve(early);
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error(`${this.#process.spawnfile} has ended`));
      if (this.#isOver) ended();
      else this.#waiting.push((line) => (line === null ? ended() : resolve(line)));
    });
  }
}
