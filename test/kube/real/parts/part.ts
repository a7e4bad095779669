/** A program of a control plane: started, killed, paused and started again with the same arguments. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';

export class Part {
  readonly #command: readonly [string, ...string[]];
  readonly #logPath: string;
  #child: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();

  constructor(command: readonly [string, ...string[]], logPath: string) {
    this.#command = command;
    this.#logPath = logPath;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** What it has written, at most the last 4,000 characters: for messages. */
  get log(): string {
    return readFileSync(this.#logPath, 'utf8').slice(-4000);
  }

  start(): void {
    if (this.isRunning) throw new Error(`${this.#command[0]} is running`);
    const [program, ...args] = this.#command;
    const log = openSync(this.#logPath, 'a');
    const child = spawn(program, args, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
  }

  /** Resolves when it has ended; ends a paused one, too. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.isRunning) return;
    this.#child?.kill(signal);
    if (signal !== 'SIGKILL') this.#child?.kill('SIGCONT');
    await this.#ended;
  }

  /** Holds connections open and answers nothing. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  return servers.map((server) => {
    const address = server.address();
    server.close();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  });
}
