/**
 * Processes that a run starts and ends: pinned to a core, awaited until they serve, with everything that they
 * start themselves. None outlives the run: what is not stopped by then is killed at exit.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** What is measured has a core for itself; load and origin share the other. */
export type Place = 'measured' | 'other';

export const PINNING: { readonly measured: string; readonly other: string } | null =
  availableParallelism() > 1 && isInstalled('taskset') ? { measured: '1', other: '0' } : null;

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) killTree(child);
});

export interface StartOptions {
  readonly place: Place;
  readonly command: readonly string[];
  /** A descriptor for its standard output; default: a pipe that is read. */
  readonly stdout?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

export class Running {
  readonly command: string;
  readonly #child: ChildProcess;
  #output = '';

  constructor(child: ChildProcess, command: string) {
    this.#child = child;
    this.command = command;
    const take = (chunk: Buffer): void => {
      if (this.#output.length < OUTPUT_LENGTH_MAX) this.#output += chunk.toString();
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** With every process that it has started. */
  pids(): readonly number[] {
    return processTree(this.pid);
  }

  /** The first line of its output that matches; rejects when it ends or takes too long. */
  async lineWith(pattern: RegExp): Promise<RegExpExecArray> {
    const match = await this.#until(async () => pattern.exec(this.#output));
    return match as RegExpExecArray;
  }

  async listening(port: number): Promise<void> {
    await this.#until(() => isListening(port));
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => killTree(child), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  async #until<T>(probe: () => Promise<T>): Promise<T> {
    const lastMs = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < lastMs) {
      const found = await probe();
      if (found !== null && found !== false) return found;
      if (this.#child.exitCode !== null) break;
      await sleep(20);
    }
    throw new Error(`${this.command} is not ready: ${this.#output.trim() || 'it says nothing'}`);
  }
}

const OUTPUT_LENGTH_MAX = 64 * 1024;

export function start(options: StartOptions): Running {
  const [program = '', ...args] = pinnedCommand(options.place, options.command);
  const child = spawn(program, args, {
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
    env: { ...process.env, ...options.environment },
  });
  child.on('error', () => {});
  running.add(child);
  child.once('exit', () => running.delete(child));
  return new Running(child, options.command.join(' '));
}

/** Runs to its end; its output. Rejects with what it said when it fails. */
export async function run(place: Place, command: readonly string[]): Promise<string> {
  const [program = '', ...args] = pinnedCommand(place, command);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const [code] = await once(child, 'close');
  running.delete(child);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${errors || output}`);
  return output;
}

export function isInstalled(tool: string): boolean {
  return spawnSync('sh', ['-c', `command -v "${tool}"`]).status === 0;
}

/** The first line that the tool says of its version, or null when it is not there. */
export function versionOf(command: readonly string[]): string | null {
  const [program = '', ...args] = command;
  if (!isInstalled(program)) return null;
  const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  const text = `${stdout}\n${stderr}`.trim();
  return text === '' ? 'unknown' : (text.split('\n')[0] as string).trim();
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

export function processTree(pid: number): number[] {
  let children = '';
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
  } catch {
    // Gone, or no Linux.
  }
  if (children === '') return [pid];
  return [pid, ...children.split(' ').flatMap((child) => processTree(Number(child)))];
}

function pinnedCommand(place: Place, command: readonly string[]): readonly string[] {
  return PINNING === null ? command : ['taskset', '-c', PINNING[place], ...command];
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isUp = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isUp;
}

function killTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  for (const pid of processTree(child.pid)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}
