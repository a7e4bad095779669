/** A program of `service_clients/`: takes orders, one a line, and answers each with one line. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseIp } from '../../../src/model/address.ts';

const SOURCES = join(import.meta.dirname, 'service_clients');
const UNANSWERED = 'ended without an answer';

export interface Answer {
  /** Whom the socket says it is connected to: "address port", an IPv4-mapped address as the IPv4 one. */
  readonly peer: string | null;
  /** From whom it got a datagram. */
  readonly from: string | null;
  /** What the other side said of itself. */
  readonly said: string | null;
  /** An errno, or in Java's words. */
  readonly error: string | null;
}

export class ServiceClient {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  readonly #waiting: ((line: string) => void)[] = [];

  constructor([program = '', ...args]: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('no pipe');
    createInterface({ input: stdout }).on('line', (line) => this.#waiting.shift()?.(line));
    this.#ended = new Promise((resolve) => {
      this.#child.once('close', () => {
        for (const give of this.#waiting.splice(0)) give(`error ${UNANSWERED}`);
        resolve();
      });
    });
  }

  /** The line as it came. */
  order(line: string): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#child.stdin?.write(`${line}\n`);
    });
  }

  async ask(
    order: 'tcp' | 'udp' | 'udpc' | 'talk' | 'peer' | 'held' | 'hear',
    ip: string,
    port: number,
  ): Promise<Answer> {
    const line = await this.order(`${order} ${ip} ${port}`);
    return {
      peer: placeIn(line, /(?:^| )peer (\S+ \d+)/),
      from: placeIn(line, /^from (\S+ \d+)/),
      said: /said (\S*)/.exec(line)?.[1] ?? null,
      error: /^error (.*)/.exec(line)?.[1] ?? null,
    };
  }

  async end(): Promise<void> {
    this.#child.stdin?.end();
    this.#child.kill();
    await this.#ended;
  }
}

function placeIn(line: string, pattern: RegExp): string | null {
  const found = pattern.exec(line)?.[1];
  if (found === undefined) return null;
  const [text = '', port] = found.split(' ');
  return `${parseIp(text)?.text} ${port}`;
}

/** Program → the command that runs it; what has to be compiled is compiled into `folder`. */
export const CLIENTS = {
  glibc: (folder: string) => compiled('gcc', [], folder),
  musl: (folder: string) => compiled('musl-gcc', ['-static'], folder),
  go: (folder: string) => {
    copyFileSync(join(SOURCES, 'client.go'), join(folder, 'client.go'));
    const env = { ...process.env, CGO_ENABLED: '0', GO111MODULE: 'off' };
    const out = join(folder, 'go-client');
    execFileSync('go', ['build', '-o', out, 'client.go'], { cwd: folder, env, stdio: 'pipe' });
    return [out];
  },
  java: () => ['java', '-XX:TieredStopAtLevel=1', join(SOURCES, 'Client.java')],
  node: () => [process.execPath, join(SOURCES, 'client.mjs')],
  python: () => ['python3', join(SOURCES, 'client.py')],
} satisfies Record<string, (folder: string) => readonly string[]>;

function compiled(compiler: string, flags: readonly string[], folder: string): readonly string[] {
  const out = join(folder, `${compiler}-client`);
  const sources = [join(SOURCES, 'client.c'), '-o', out];
  execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', ...flags, ...sources]);
  return [out];
}
