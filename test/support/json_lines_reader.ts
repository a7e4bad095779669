/** Reads JSON lines of an HTTP response as they come. */
import { type IncomingMessage, type RequestOptions, request } from 'node:http';
import { Signal } from './signal.ts';

export class JsonLinesReader {
  readonly response: Promise<IncomingMessage>;
  text = '';
  isEnded = false;
  readonly #signal = new Signal();
  readonly #close: () => void;

  constructor(where: RequestOptions) {
    const outgoing = request({ ...where, agent: false });
    outgoing.end();
    this.#close = () => outgoing.destroy();
    this.response = new Promise((resolve, reject) => {
      outgoing.on('error', reject);
      outgoing.on('response', (response) => {
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => this.#take(chunk));
        response.on('error', () => this.#end());
        response.on('close', () => this.#end());
        resolve(response);
      });
    });
  }

  /** Whole ones so far; throws when one of them is no JSON. */
  get lines(): readonly Record<string, unknown>[] {
    return this.text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  }

  /** So many lines that match. */
  async until(
    count: number,
    matches: (line: Record<string, unknown>) => boolean = () => true,
  ): Promise<readonly Record<string, unknown>[]> {
    const found = (): readonly Record<string, unknown>[] => this.lines.filter(matches);
    await this.#signal.until(
      () => found().length >= count,
      () => `${count} lines; there are ${JSON.stringify(this.lines)}`,
    );
    return found();
  }

  async untilEnded(): Promise<void> {
    await this.#signal.until(
      () => this.isEnded,
      () => 'the end of the response',
    );
  }

  close(): void {
    this.#close();
  }

  #take(chunk: string): void {
    this.text += chunk;
    this.#signal.raise();
  }

  #end(): void {
    this.isEnded = true;
    this.#signal.raise();
  }
}
