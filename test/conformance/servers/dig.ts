/** dig, and what it shows of an answer that does not differ from one question to the next. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

const SHOWN = ['+noall', '+comments', '+answer', '+authority', '+additional'];

/** `asked`: "www.example.net A +tcp". */
export async function dig(port: number, asked: string): Promise<string> {
  const text = await textOf('dig', [
    ...['-p', String(port), '@127.0.0.1', ...asked.split(' ')],
    ...[...SHOWN, '+time=30', '+tries=1'],
  ]);
  return text
    .split('\n')
    .map((line) => line.replace(/, id: \d+/, ''))
    .filter((line) => !line.startsWith('; COOKIE:') && !line.startsWith('; <<>>'))
    .sort()
    .join('\n');
}

export async function textOf(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(command, [...args], { timeout: 60_000, maxBuffer: 1024 * 1024 });
  return stdout;
}
