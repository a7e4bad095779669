/** The processes of a bench: the embedded origin, and the real proxy by the real command. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdir, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SourceBundle, SourceText } from '../../control/source/files/source_bundle.ts';
import type { Environment } from '../io.ts';
import {
  ACCESS_LOG_BYTES_MAX,
  ACCESS_LOG_CHECK_MS,
  READY_TIMEOUT_MS,
  STOP_TIMEOUT_MS,
} from './bounds.ts';

const HERE = fileURLToPath(import.meta.url);
const MAIN = join(dirname(HERE), HERE.endsWith('.ts') ? '../../main.ts' : '../main.js');
const ORIGIN_MAIN = fileURLToPath(new URL('./origin_main.ts', import.meta.url));
const KEPT_OUTPUT_LENGTH = 65_536;

/** What failed is the proxy, or what it needs; one line. */
export class BenchFailure extends Error {}

export interface RunningOrigin {
  readonly address: string;
  readonly stop: () => Promise<void>;
}

export async function startOrigin(environment: Environment): Promise<RunningOrigin> {
  const child = fork(ORIGIN_MAIN, [], {
    execArgv: [],
    env: childEnvironment(environment),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const stop = (): Promise<void> => {
    if (child.connected) child.disconnect();
    return ended(child);
  };
  try {
    const port = await within<number>('the origin', (resolve, reject) => {
      child.once('message', (message) => resolve((message as { port: number }).port));
      child.once('error', reject);
      child.once('exit', (code) => reject(new BenchFailure(`the origin ended with ${code}`)));
    });
    return { address: `127.0.0.1:${port}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface ProxyOrder {
  /** Its own, made and removed by the caller. */
  readonly directory: string;
  readonly bundle: SourceBundle;
  readonly listeners: readonly object[];
  readonly hasAccessLog: boolean;
  readonly environment: Environment;
}

export interface RunningProxy {
  /** By listener name. */
  readonly ports: ReadonlyMap<string, number>;
  readonly workerPids: readonly number[];
  /** Null while it runs, else how it ended. */
  readonly death: () => string | null;
  readonly stop: () => Promise<void>;
}

export async function startProxy(order: ProxyOrder): Promise<RunningProxy> {
  const config = await writeConfig(order);
  const child = spawn(process.execPath, [MAIN, 'run', '-c', config], {
    env: childEnvironment(order.environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const complaints = tail(child, 'stderr');
  const death = (): string | null => {
    if (child.exitCode === null && child.signalCode === null) return null;
    const how = child.signalCode ?? `exit code ${child.exitCode}`;
    const words = complaints().trim().split('\n').at(-1) ?? '';
    return `the proxy ended (${how})${words === '' ? '' : `: ${words}`}`;
  };
  try {
    const ready = await within<Ready>('the proxy', (resolve, reject) => {
      const output = tail(child, 'stdout');
      child.stdout?.on('data', () => {
        const found = readyLine(output());
        if (found !== null) resolve(found);
      });
      child.once('error', reject);
      child.once('close', () => reject(new BenchFailure(death() ?? 'the proxy ended')));
    });
    const keeper = order.hasAccessLog ? keepShort(accessLogOf(order.directory)) : null;
    const stop = (): Promise<void> => {
      if (keeper !== null) clearInterval(keeper);
      return stopChild(child);
    };
    return { ...ready, death, stop };
  } catch (error) {
    await stopChild(child);
    throw error;
  }
}

async function writeConfig(order: ProxyOrder): Promise<string> {
  const { directory, bundle } = order;
  const policies = join(directory, 'policies');
  await mkdir(policies);
  for (const [index, { text }] of bundle.policies.entries()) {
    await writeFile(join(policies, `${String(index).padStart(6, '0')}.yaml`), text);
  }
  const write = async (source: SourceText | null, name: string): Promise<object> => {
    if (source === null) return {};
    const path = join(directory, `${name}.yaml`);
    // Secrets are among them.
    await writeFile(path, source.text, { mode: 0o600 });
    return { [name]: path };
  };
  const config = {
    admin: '127.0.0.1:0',
    workers: 1,
    logLevel: 'error',
    accessLog: { to: order.hasAccessLog ? accessLogOf(directory) : 'none' },
    policies: [policies],
    ...(await write(bundle.endpoints, 'endpoints')),
    ...(await write(bundle.secrets, 'secrets')),
    listeners: order.listeners,
  };
  const path = join(directory, 'sallyport.yaml');
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config));
  return path;
}

function accessLogOf(directory: string): string {
  return join(directory, 'access.log');
}

/** Lines are appended, so the file may be cut at any time. */
function keepShort(path: string): NodeJS.Timeout {
  const cut = async (): Promise<void> => {
    const { size } = await stat(path);
    if (size > ACCESS_LOG_BYTES_MAX) await truncate(path, 0);
  };
  return setInterval(() => void cut().catch(() => {}), ACCESS_LOG_CHECK_MS).unref();
}

type Ready = Pick<RunningProxy, 'ports' | 'workerPids'>;

function readyLine(text: string): Ready | null {
  const lines = text.split('\n').slice(0, -1);
  const line = lines.find((one) => one.includes('"msg":"ready"'));
  if (line === undefined) return null;
  const value = JSON.parse(line) as {
    readonly listeners: readonly { readonly name: string; readonly address: string }[];
    readonly workerPids: readonly number[];
  };
  const ports = value.listeners.map(({ name, address }): [string, number] => [
    name,
    Number(address.slice(address.lastIndexOf(':') + 1)),
  ]);
  return { ports: new Map(ports), workerPids: value.workerPids };
}

/** A variable for `run` is not meant for this one. */
function childEnvironment(environment: Environment): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('SALLYPORT_')),
  );
}

function tail(child: ChildProcess, stream: 'stdout' | 'stderr'): () => string {
  let text = '';
  child[stream]?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-KEPT_OUTPUT_LENGTH);
  });
  return () => text;
}

function within<T>(
  what: string,
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new BenchFailure(`${what} was not ready after ${READY_TIMEOUT_MS / 1000} s`)),
      READY_TIMEOUT_MS,
    );
    const settled = (): void => clearTimeout(timer);
    start(
      (value) => {
        settled();
        resolve(value);
      },
      (error) => {
        settled();
        reject(error);
      },
    );
  });
}

async function stopChild(child: ChildProcess): Promise<void> {
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  child.kill('SIGTERM');
  await ended(child);
  clearTimeout(killer);
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
    return Promise.resolve();
  }
  return new Promise((resolve) => child.once('exit', () => resolve()));
}
