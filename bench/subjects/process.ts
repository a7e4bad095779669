/**
 * Processes that the harness started, each on its core, and their end: whatever happens, none is left.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { processTree } from '../measure/cpu.ts';
import { type Place, pinned } from '../measure/pinning.ts';

const READY_TIMEOUT_MS = 60_000;
/** A proxy that drains gets this long before it is killed. */
const STOP_TIMEOUT_MS = 3_000;
const READY_POLL_MS = 25;
/** Of what a process says: enough to tell why it failed. */
const TOLD_CHARS_MAX = 4_000;
/** No load tells more, and a subject that logs here must not fill our memory. */
const OUTPUT_CHARS_MAX = 1_000_000;

const running = new Set<OwnedProcess>();
process.on('exit', () => {
  for (const owned of running) owned.kill();
});

export interface ProcessOptions {
  readonly command: readonly string[];
  readonly place: Place;
  readonly directory?: string;
  /** A descriptor that gets its standard output, instead of us. */
  readonly stdout?: number;
}

export class OwnedProcess {
  readonly command: readonly string[];
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #output = '';
  #told = '';

  constructor({ command, place, directory, stdout }: ProcessOptions) {
    const [program = '', ...args] = pinned(place, command);
    const options: SpawnOptions = {
      stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
      env: plainEnvironment(),
      ...(directory !== undefined && { cwd: directory }),
    };
    this.command = [program, ...args];
    this.#child = spawn(program, args, options);
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', resolve);
      this.#child.once('close', resolve);
    });
    this.#child.on('error', ({ message }) => this.#tell(message));
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      if (this.#output.length < OUTPUT_CHARS_MAX) this.#output += chunk;
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#tell(chunk.toString()));
    running.add(this);
    void this.#ended.then(() => running.delete(this));
  }

  /** All that it wrote to its standard output, once it has ended; with another end than 0 an error. */
  async output(): Promise<string> {
    await this.#ended;
    if (this.#child.exitCode !== 0) throw new Error(this.#complaint('failed'));
    return this.#output;
  }

  async untilLine(pattern: RegExp): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null;
    await this.#until(() => {
      const whole = this.#output.slice(0, this.#output.lastIndexOf('\n') + 1);
      match = whole.split('\n').reduce((found, line) => found ?? pattern.exec(line), match);
      return match !== null;
    });
    if (match === null) throw new Error(this.#complaint('is not ready'));
    return match;
  }

  untilListening(port: number): Promise<void> {
    return this.#until(() => isListening(port));
  }

  /** It and all that it has started. */
  pids(): readonly number[] {
    const { pid, exitCode, signalCode } = this.#child;
    return pid === undefined || exitCode !== null || signalCode !== null ? [] : processTree(pid);
  }

  async stop(): Promise<void> {
    const tree = this.pids();
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => killAll(tree), STOP_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /** At once: for the end of the harness. */
  kill(): void {
    killAll(this.pids());
  }

  async #until(isDone: () => boolean | Promise<boolean>): Promise<void> {
    const lastMs = performance.now() + READY_TIMEOUT_MS;
    while (performance.now() < lastMs) {
      if (await isDone()) return;
      if (this.pids().length === 0) throw new Error(this.#complaint('ended'));
      await sleep(READY_POLL_MS);
    }
    throw new Error(this.#complaint('is not ready'));
  }

  #tell(text: string): void {
    this.#told = (this.#told + text).slice(-TOLD_CHARS_MAX);
  }

  #complaint(what: string): string {
    const told = `${this.#output.slice(-TOLD_CHARS_MAX)}${this.#told}`.trim();
    return `${this.command.join(' ')} ${what}: ${told}`;
  }
}

/** Ends whatever is still there; the harness itself goes on. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((owned) => owned.stop()));
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Ours is for the harness: what is measured is as its files say. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('SALLYPORT_')),
  );
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Has ended meanwhile.
    }
  }
}
