/**
 * What a verb may touch of the outside: streams, colour and the environment, so that tests hand in
 * their own. Verbs write through it and return an exit code; none ends the process.
 */

import { shownLine } from '../model/shown_text.ts';
import type { HeldSignals } from './held_signals.ts';

/** 0 yes or done, 1 a negative answer, 2 usage or unreadable input, 70 an error of our own. */
export type ExitCode = 0 | 1 | 2 | 70;

export const EXIT_OK = 0;
export const EXIT_NEGATIVE = 1;
export const EXIT_USAGE = 2;
export const EXIT_INTERNAL = 70;

export interface TextSink {
  write(text: string): unknown;
}

export interface Io {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** True when stdout is a terminal that wants colour (NO_COLOR and TERM are taken into account). */
  readonly hasColour: boolean;
  /** True when stderr is a terminal: what takes long is told there. Absent: it is none. */
  readonly isErrorTerminal?: boolean;
  /** A copy of the environment: only `config/` and `main.ts` may read the process's own. */
  readonly env: Environment;
  /** Relative paths of flags and arguments start here. */
  readonly cwd: string;
  /** That came before there was anybody to handle them; null or absent: they were not held. */
  readonly signals?: HeldSignals | null;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Writes one line that says what is wrong and where, and returns exit code 2. */
export function usageError(io: Io, message: string): ExitCode {
  io.stderr.write(`sallyport: ${shownLine(message.replaceAll('\n', ' '))}\n`);
  return EXIT_USAGE;
}

/** Reads all of stdin (`-` as a file). Throws when there is more than `bytesMax`. */
export async function readStdin(io: Io, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of io.stdin) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    length += bytes.length;
    if (length > bytesMax) throw new Error(`stdin has more than ${bytesMax} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString('utf8');
}
