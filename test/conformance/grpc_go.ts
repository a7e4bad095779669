/**
 * The interop cases of the gRPC project with grpc-go on both sides, direct and through the real command:
 * a case counts as passed when its client ends with 0 and, through the proxy, the access log has what
 * was called and how it ended.
 *
 *     node test/conformance/grpc_go.ts
 *
 * Builds client and server with Go ($GO, or `go`), and fails when there is none: a check that silently
 * does not run proves nothing. The last line is the sum: "N passed, N failed".
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { policyOf, type Sallyport, Scratch } from '../workers/running.ts';

/** Pinned, so that the cases do not change under us. */
const GRPC_GO = 'v1.85.0';
const CASE_TIMEOUT_MS = 60_000;
const START_TIMEOUT_MS = 10_000;
const LOG_TIMEOUT_MS = 10_000;

const UNARY = 'TestService/UnaryCall';
const DUPLEX = 'TestService/FullDuplexCall';

/** Cases that need no credentials, and the calls that each makes: "service/method status-or-fault". */
const CASES: readonly (readonly [string, readonly string[]])[] = [
  ['empty_unary', ['TestService/EmptyCall 0']],
  ['large_unary', [`${UNARY} 0`]],
  ['client_streaming', ['TestService/StreamingInputCall 0']],
  ['server_streaming', ['TestService/StreamingOutputCall 0']],
  ['ping_pong', [`${DUPLEX} 0`]],
  ['empty_stream', [`${DUPLEX} 0`]],
  ['cancel_after_begin', ['TestService/StreamingInputCall downstream-reset']],
  ['cancel_after_first_response', [`${DUPLEX} downstream-reset`]],
  ['status_code_and_message', [`${UNARY} 2`, `${DUPLEX} 2`]],
  ['special_status_message', [`${UNARY} 2`]],
  ['custom_metadata', [`${UNARY} 0`, `${DUPLEX} 0`]],
  ['unimplemented_method', ['TestService/UnimplementedCall 12']],
  ['unimplemented_service', ['UnimplementedService/UnimplementedCall 12']],
  ['rpc_soak', Array<string>(10).fill(`${UNARY} 0`)],
  ['channel_soak', Array<string>(10).fill(`${UNARY} 0`)],
  // Its deadline is a millisecond, which may pass before a byte is sent: nothing is asked of the log.
  ['timeout_on_sleeping_server', []],
];

const scratch = new Scratch();
let passed = 0;
let failed = 0;
try {
  await main();
} catch (error) {
  failed += 1;
  console.error(`grpc-go: ${error instanceof Error ? error.message : error}`);
} finally {
  await scratch.dispose();
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function main(): Promise<void> {
  build();
  const serverPort = await freePort();
  const server = spawn(join(scratch.dir, 'server'), ['-port', String(serverPort)], {
    stdio: 'ignore',
  });
  try {
    await untilListening(serverPort, server);
    await throughProxy(serverPort);
    await denied(serverPort);
  } finally {
    server.kill('SIGKILL');
  }
}

function build(): void {
  const go = process.env['GO'] ?? 'go';
  const packages = ['client', 'server'].map(
    (name) => `google.golang.org/grpc/interop/${name}@${GRPC_GO}`,
  );
  const built = spawnSync(go, ['install', ...packages], {
    env: { ...process.env, GOBIN: scratch.dir, GOFLAGS: '-mod=mod' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (built.error !== undefined) throw new Error(`Go is needed: ${built.error.message}`);
  if (built.status !== 0) throw new Error(`the peers were not built (exit code ${built.status})`);
}

async function throughProxy(serverPort: number): Promise<void> {
  const { proxy, port } = await startProxy(serverPort, '/grpc.testing.*');
  let seen = calls(proxy).length;
  for (const [name, wanted] of CASES) {
    count(`${name}, direct`, await runClient(name, serverPort));
    const problem = await runClient(name, port);
    const logged = await untilCalls(proxy, seen + wanted.length);
    const got = logged.slice(seen);
    seen = logged.length;
    count(`${name}, proxied`, problem ?? (wanted.length === 0 ? null : difference(got, wanted)));
  }
}

/** One method is not allowed: its call says so, the service's others work. */
async function denied(serverPort: number): Promise<void> {
  const { proxy, port } = await startProxy(serverPort, '/grpc.testing.TestService/EmptyCall');
  count('an allowed method', await runClient('empty_unary', port));
  const problem = await runClient('large_unary', port);
  const isTold = problem?.includes('PermissionDenied') === true;
  count('a denied method', isTold ? null : `not denied: ${problem ?? 'the case passed'}`);
  const got = await untilCalls(proxy, 2);
  count('their records', difference(got, ['TestService/EmptyCall 0', `${UNARY} 7`]));
}

async function startProxy(
  serverPort: number,
  path: string,
): Promise<{ readonly proxy: Sallyport; readonly port: number }> {
  const policy = policyOf(path).replace('method: GET', 'method: POST');
  scratch.write('policies/api.yaml', policy);
  const proxy = scratch.run(['run', '-c', scratch.config({ upstream: serverPort })]);
  return { proxy, port: await proxy.port() };
}

/** Null when the case passed; else what its client said last. */
async function runClient(name: string, port: number): Promise<string | null> {
  const args = ['-server_host', '127.0.0.1', '-server_port', String(port), '-test_case', name];
  const child = spawn(join(scratch.dir, 'client'), args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: CASE_TIMEOUT_MS,
  });
  let text = '';
  child.stderr.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-2_000);
  });
  const [code, signal] = await once(child, 'close');
  return code === 0 ? null : `exit ${code ?? signal}: ${text.trim()}`;
}

function count(name: string, problem: string | null): void {
  console.log(
    `${problem === null ? 'ok' : 'FAILED'} ${name}${problem === null ? '' : `: ${problem}`}`,
  );
  if (problem === null) passed += 1;
  else failed += 1;
}

function difference(got: readonly string[], wanted: readonly string[]): string | null {
  const isSame = got.length === wanted.length && got.every((call, i) => call === wanted[i]);
  return isSame ? null : `logged ${got.join(', ')}; expected ${wanted.join(', ')}`;
}

/** What the access log has, in its order: "service/method" and the status, or why there is none. */
function calls(proxy: Sallyport): readonly string[] {
  return proxy
    .lines()
    .filter((line) => line['msg'] === 'request')
    .map((line) => {
      const grpc = line['grpc'] as Readonly<Record<string, unknown>> | undefined;
      const service = String(grpc?.['service']).replace('grpc.testing.', '');
      return `${service}/${grpc?.['method']} ${grpc?.['status'] ?? line['fault']}`;
    });
}

async function untilCalls(proxy: Sallyport, wanted: number): Promise<readonly string[]> {
  const lastMs = performance.now() + LOG_TIMEOUT_MS;
  for (;;) {
    const found = calls(proxy);
    if (found.length >= wanted || performance.now() > lastMs) return found;
    await sleep(20);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function untilListening(port: number, server: ChildProcess): Promise<void> {
  const lastMs = performance.now() + START_TIMEOUT_MS;
  while (server.exitCode === null && performance.now() < lastMs) {
    const socket = connect(port, '127.0.0.1');
    const isUp = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isUp) return;
    await sleep(50);
  }
  throw new Error('the server of grpc-go does not listen');
}
