/** Programs of the node (iproute2, mount) as an interface, so that tests need neither them nor root. */
import { execFile } from 'node:child_process';

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never rejects: what cannot be started is a result, too. */
export type RunCommand = (program: string, args: readonly string[]) => Promise<CommandResult>;

export interface CommandLimits {
  readonly commandTimeoutMs: number;
  readonly commandOutputBytesMax: number;
}

const NOT_STARTED = 127;

export function nodeCommands(limits: CommandLimits): RunCommand {
  const options = {
    timeout: limits.commandTimeoutMs,
    maxBuffer: limits.commandOutputBytesMax,
    encoding: 'utf8' as const,
  };
  return (program, args) =>
    new Promise((resolve) => {
      execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) return resolve({ code: 0, stdout, stderr });
        const code = typeof error.code === 'number' ? error.code : NOT_STARTED;
        const said = stderr.trim() === '' ? reasonOf(program, error) : stderr;
        return resolve({ code, stdout, stderr: said });
      });
    });
}

/** What a program said, in one line, for messages of ours. */
export function saidBy({ stderr, stdout }: CommandResult): string {
  const text = stderr.trim() === '' ? stdout : stderr;
  return text.trim().replace(/\s*\n\s*/g, '; ');
}

function reasonOf(program: string, error: Error & { code?: unknown; killed?: boolean }): string {
  if (error.code === 'ENOENT') return `there is no program ${program} here`;
  if (error.killed === true) return `${program} did not end in time`;
  return error.message;
}
