/** `sallyport run`. */
import type { Args } from './args.ts';
import { type ExitCode, type Io, usageError } from './io.ts';

export async function run(_args: Args, io: Io): Promise<ExitCode> {
  return usageError(io, 'run: not there yet');
}
