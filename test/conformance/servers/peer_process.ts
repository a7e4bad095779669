/** A peer of a suite: a process that listens on a loopback port, and is ended by whoever started it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const LOOK_EVERY_MS = 50;
const SHOWN_ERRORS_MAX = 2_000;

export interface PeerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where it will listen; 0: nowhere. */
  readonly port: number;
  readonly onLine?: (line: string) => void;
}

export class PeerProcess {
  readonly child: ChildProcess;
  errors = '';
  readonly #closed: Promise<unknown>;
  #rest = '';

  private constructor(options: PeerCommand) {
    this.child = spawn(options.command, options.args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#closed = new Promise((resolve) => {
      this.child.once('close', resolve);
      this.child.once('error', (error) => {
        this.errors += error.message;
        resolve(error);
      });
    });
    this.child.stdout?.on('data', (chunk: Buffer) => this.#take(chunk, options.onLine));
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.errors = (this.errors + chunk.toString()).slice(-SHOWN_ERRORS_MAX);
    });
  }

  /** Resolves when it accepts connections; rejects with what it said when it does not. */
  static async start(options: PeerCommand): Promise<PeerProcess> {
    const peer = new PeerProcess(options);
    const lastMs = performance.now() + START_TIMEOUT_MS;
    while (options.port !== 0 && !(await isListening(options.port))) {
      const hasEnded = peer.child.pid === undefined || peer.child.exitCode !== null;
      if (hasEnded || performance.now() > lastMs) {
        await peer.stop();
        throw new Error(`${options.command} does not listen: ${peer.errors}`);
      }
      await sleep(LOOK_EVERY_MS);
    }
    return peer;
  }

  /** Until it ends by itself; killed when it takes longer. */
  async ended(timeoutMs: number): Promise<void> {
    const killer = setTimeout(() => this.child.kill('SIGKILL'), timeoutMs);
    await this.#closed;
    clearTimeout(killer);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.pid === undefined) return;
    this.child.kill('SIGTERM');
    const killer = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#closed;
    clearTimeout(killer);
  }

  #take(chunk: Buffer, onLine: ((line: string) => void) | undefined): void {
    if (onLine === undefined) return;
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  }
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
  const isUp = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isUp;
}
