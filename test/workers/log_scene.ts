/** The real command with an access log that does not take its lines: what was sent, what came, what was dropped. */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { askAdmin, get, type Line, type Sallyport, type Scratch } from './running.ts';

export const PATIENT = { timeout: 20_000, interval: 20 };
const BURST = 40;

/** `log`: the path of the access log, or "stdout". */
export function logConfig(
  scratch: Scratch,
  options: { readonly upstream: number; readonly log: string; readonly workers?: number },
): string {
  const { upstream, log, workers = 1 } = options;
  const config = scratch.config({
    upstream,
    more: `workers: ${workers}
admin: unix:${join(scratch.dir, 'admin.sock')}
accessLog: { to: ${log} }`,
  });
  return config;
}

export class LogScene {
  sentCount = 0;
  readonly #scratch: Scratch;
  readonly #port: number;

  constructor(scratch: Scratch, port: number) {
    this.#scratch = scratch;
    this.#port = port;
  }

  /** Each is served. */
  async send(count: number): Promise<void> {
    for (let left = count; left > 0; left -= BURST) {
      const size = Math.min(left, BURST);
      const replies = await Promise.all(Array.from({ length: size }, () => get(this.#port, '/ok')));
      this.sentCount += size;
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    }
  }

  async sendUntilDropped(): Promise<void> {
    const before = await this.droppedCount();
    while ((await this.droppedCount()) === before) await this.send(BURST);
  }

  async droppedCount(): Promise<number> {
    const { text } = await askAdmin(join(this.#scratch.dir, 'admin.sock'), '/status');
    return (JSON.parse(text) as { readonly accessLogDropped: number }).accessLogDropped;
  }

  /** Every request has its line, or is counted as one that was dropped. */
  async allAccountedFor(lineCount: () => number): Promise<void> {
    const count = async (): Promise<number> => lineCount() + (await this.droppedCount());
    await expect.poll(count, PATIENT).toBe(this.sentCount);
  }
}

/** Reads what comes, when it is asked to. */
export class PipeReader {
  readonly #fd: number;
  #text = '';

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** Of the access log. */
  requests(): readonly Line[] {
    return requestsIn(this.messages());
  }

  /** Whole lines so far; throws when one is cut or mixed with another. */
  messages(): readonly Line[] {
    const buffer = Buffer.alloc(64 * 1024);
    for (let length = this.#read(buffer); length > 0; length = this.#read(buffer)) {
      this.#text += buffer.toString('latin1', 0, length);
    }
    return linesOf(this.#text);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #read(buffer: Buffer): number {
    try {
      return readSync(this.#fd, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
      throw error;
    }
  }
}

export function linesOf(text: string): readonly Line[] {
  const whole = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return whole.filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
}

export function requestsIn(lines: readonly Line[]): readonly Line[] {
  return lines.filter(({ msg }) => msg === 'request');
}

export async function endsWell(proxy: Sallyport): Promise<void> {
  proxy.signal('SIGTERM');
  expect(await proxy.ended).toBe(0);
}
