/** A program of a control plane: started, killed, paused and started again with the same arguments. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
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

/**
 * The kernel gives these to no connection (`net.ipv4.ip_local_port_range`): whoever is started anew finds its port free,
 * and who tries to reach it meanwhile does not get itself.
 */
const [FIRST_PORT, LAST_PORT] = [20_000, 30_000];

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
