/** Spawns the real command with a scratch directory, an origin and a small policy set. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const BIN = join(ROOT, 'bin/sallyport');

export const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.7, labels: { app: api } }
  - { name: default/client, ip: 10.0.0.8, labels: { app: client }, identity: 43 }
`;

/** The client may GET exactly these paths. */
export function policyOf(...paths: string[]): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [${paths.map((path) => `{ method: GET, path: ${path} }`).join(', ')}] }
`;
}

export class Scratch {
  readonly dir = mkdtempSync(join(tmpdir(), 'sallyport-run-'));
  readonly #children: Sallyport[] = [];
  readonly #servers: Server[] = [];

  constructor() {
    mkdirSync(join(this.dir, 'policies'));
    this.write('policies/api.yaml', policyOf('/ok'));
    this.write('endpoints.yaml', ENDPOINTS);
  }

  write(name: string, text: string): string {
    const path = join(this.dir, name);
    writeFileSync(path, text);
    return path;
  }

  has(name: string): boolean {
    return existsSync(join(this.dir, name));
  }

  /** Answers 200 with the path; `/slow` after `slowMs`. */
  async origin(slowMs = 0): Promise<number> {
    const server = createServer((incoming, reply) => {
      incoming.resume();
      setTimeout(() => reply.end(`${incoming.url}`), incoming.url === '/slow' ? slowMs : 0);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  config(fields: { upstream: number; address?: string; more?: string }): string {
    return this.write(
      'config.yaml',
      `policies: [policies/]
endpoints: endpoints.yaml
limits: { reloadDelayMs: 10, drainTimeoutMs: 2000 }
${fields.more ?? 'workers: 1'}
listeners:
  - name: api
    address: ${fields.address ?? '127.0.0.1:0'}
    direction: ingress
    destination: 10.0.0.7:8080
    upstream: 127.0.0.1:${fields.upstream}
    identity: 43
`,
    );
  }

  run(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    bin: string = BIN,
  ): Sallyport {
    const child = new Sallyport(args, { cwd: this.dir, env, bin });
    this.#children.push(child);
    return child;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.kill()));
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface Line {
  readonly [key: string]: unknown;
}

export class Sallyport {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  stdout = '';
  stderr = '';
  readonly #waiting = new Set<() => void>();

  constructor(
    args: readonly string[],
    options: {
      readonly cwd: string;
      readonly env: Readonly<Record<string, string>>;
      readonly bin: string;
    },
  ) {
    this.child = spawn(options.bin, args, {
      cwd: options.cwd,
      env: { PATH: process.env['PATH'], ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
      for (const look of this.#waiting) look();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code) => {
        resolve(code);
        for (const look of this.#waiting) look();
      });
    });
  }

  /** Whole lines so far; throws when one of them is no JSON. */
  lines(): readonly Line[] {
    const whole = this.stdout.slice(0, this.stdout.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  }

  /** The first line that matches; rejects when the process ends before. */
  async line(matches: (line: Line) => boolean): Promise<Line> {
    return await new Promise((resolve, reject) => {
      const look = (): void => {
        const found = this.lines().find(matches);
        if (found === undefined && this.child.exitCode === null) return;
        this.#waiting.delete(look);
        if (found !== undefined) resolve(found);
        else reject(new Error(`ended without the line: ${this.stderr}\n${this.stdout}`));
      };
      this.#waiting.add(look);
      look();
    });
  }

  message(msg: string): Promise<Line> {
    return this.line((line) => line['msg'] === msg);
  }

  /** The port of the only listener, once ready. */
  async port(): Promise<number> {
    return portOf(await this.message('ready'));
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.ended;
  }
}

/** Of the line "ready". */
export function portOf(ready: Line): number {
  const [listener] = ready['listeners'] as readonly { readonly address: string }[];
  return Number(listener?.address.split(':').at(-1));
}

export interface Reply {
  readonly status: number;
  readonly text: string;
}

/** On a connection of its own, or one of `agent`. Status 0: no reply. */
export function get(port: number, path: string, agent: Agent | false = false): Promise<Reply> {
  return new Promise((resolve) => {
    const outgoing = request({ host: '127.0.0.1', port, path, agent }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', () => resolve({ status: 0, text }));
    });
    outgoing.on('error', () => resolve({ status: 0, text: '' }));
    outgoing.end();
  });
}

export function askAdmin(socketPath: string, path: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path, agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}
