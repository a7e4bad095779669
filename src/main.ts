/**
 * The program: argv and the process's streams → the command line → an exit code. The only place
 * that ends the process.
 */
import { HeldSignals } from './cli/held_signals.ts';
import type { Io } from './cli/io.ts';

// Loading a proxy takes some tenths of a second, in which it may be told to end already.
const signals = process.argv[2] === 'run' ? new HeldSignals() : null;
const { terminalText } = await import('./cli/terminal.ts');
const { runCommandLine } = await import('./cli/command_line.ts');

// A broken invariant: going on could let through what should be denied. Workers end with us.
process.on('uncaughtException', (error) => {
  const text = error.stack ?? error.message;
  process.stderr.write(terminalText(`sallyport: internal error: ${text}\n`));
  process.exit(70);
});

const code = await runCommandLine(process.argv.slice(2), processIo());
await flushed(process.stdout);
process.exit(code);

function processIo(): Io {
  // A reader that went away (`| head`) is no error of ours: what is left has no audience.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    process.stderr.write(terminalText(`sallyport: standard output: ${error.message}\n`));
    process.exit(70);
  });
  process.stderr.on('error', () => {});
  const { env } = process;
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    hasColour:
      process.stdout.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
    isErrorTerminal: process.stderr.isTTY === true,
    env: { ...env },
    cwd: process.cwd(),
    signals,
  };
}

/** `run` has a way of its own to standard output, and must not fail at the end for a disk that is full. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  // A failure of what was written at once is told a moment later.
  if (stream.writableLength === 0) return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
}
