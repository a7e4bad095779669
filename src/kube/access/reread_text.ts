/**
 * A text of the configuration: given in it, or in a file that others change while we run. A token of a service account
 * is replaced about once an hour, by a link that is made to name another folder.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../platform/platform.ts';

export type TextResult =
  | { readonly kind: 'text'; readonly text: string }
  /** With the path. */
  | { readonly kind: 'error'; readonly message: string };

export interface RereadText {
  /** Whether it may be another one later. */
  readonly isFile: boolean;
  current(): Promise<TextResult>;
  /** As it is at this moment. A file is read while nobody else has a turn, so this is not for every request. */
  now(): TextResult;
  /** What was read last may be out of date: the next one is read anew. */
  forget(): void;
}

/** What kubelet asks of those who use the tokens that it projects. */
const AGE_MAX_MS = 60_000;
const FILE_BYTES_MAX = 1024 * 1024;

export function fixedText(text: string): RereadText {
  return {
    isFile: false,
    current: () => Promise.resolve({ kind: 'text', text }),
    now: () => ({ kind: 'text', text }),
    forget: () => {},
  };
}

export class FileText implements RereadText {
  readonly isFile = true;
  readonly #path: string;
  readonly #clock: Clock;
  #text: string | null = null;
  #readAtMs = 0;
  #isForgotten = false;

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  forget(): void {
    this.#isForgotten = true;
  }

  /** While the file is away or empty, as in the middle of a change, the text before it stays. */
  async current(): Promise<TextResult> {
    const nowMs = this.#clock.nowMs();
    const isFresh = !this.#isForgotten && nowMs - this.#readAtMs < AGE_MAX_MS;
    if (this.#text !== null && isFresh) return { kind: 'text', text: this.#text };
    const read = await this.#read();
    if (read.kind === 'text') {
      this.#text = read.text;
      this.#readAtMs = nowMs;
      this.#isForgotten = false;
      return read;
    }
    return this.#text === null ? read : { kind: 'text', text: this.#text };
  }

  now(): TextResult {
    const read = this.#readNow();
    return read.kind === 'error' && this.#text !== null ? { kind: 'text', text: this.#text } : read;
  }

  async #read(): Promise<TextResult> {
    try {
      return this.#checked(await readFile(this.#path, 'utf8'));
    } catch (error) {
      return this.#unreadable(error);
    }
  }

  #readNow(): TextResult {
    try {
      return this.#checked(readFileSync(this.#path, 'utf8'));
    } catch (error) {
      return this.#unreadable(error);
    }
  }

  #checked(text: string): TextResult {
    if (text.trim() === '') return { kind: 'error', message: `${this.#path}: the file is empty` };
    if (text.length > FILE_BYTES_MAX) {
      return { kind: 'error', message: `${this.#path}: the file is larger than 1 MiB` };
    }
    return { kind: 'text', text };
  }

  #unreadable(error: unknown): TextResult {
    return { kind: 'error', message: `${this.#path}: ${readProblem(error)}` };
  }
}

/** In the words of a user: "no such file". */
export function readProblem(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOENT':
      return 'no such file';
    case 'EACCES':
      return 'permission denied';
    case 'EISDIR':
      return 'is a folder';
    default:
      return (error as Error).message;
  }
}
