/**
 * `npm run conformance`: h2spec, all of `generic`, `http2` and `hpack`, strict, against the real proxy in
 * front of an origin on node:http2; then h2specd, its tests of clients, against the upstream half. Builds
 * both with Go, and fails when there is none: a check that silently does not run proves nothing. Skipped
 * cases count as failed. The last line is the sum: "N passed, N failed".
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
// The newest that Go's module proxy has; pinned, so that the cases do not change under us.
const VERSION = 'v2.2.1+incompatible';
const TOOLS = ['h2spec', 'h2specd'].map(
  (name) => `github.com/summerwind/h2spec/cmd/${name}@${VERSION}`,
);
/** h2spec waits this long for an answer that does not come. */
const CASE_TIMEOUT_SECONDS = 5;
const CLIENT_PORT = 31_000;
const READY_TIMEOUT_MS = 60_000;

/** Cases that are meant to fail, by name. One that passes must go from here. */
const EXCEPTIONS = new Map([
  [
    'Sends invalid connection preface',
    'the same port speaks HTTP/1.1, in which that is a malformed request: 400 and a close, where the tool wants a close without a byte (checked below)',
  ],
]);

/** The same of h2specd. */
const CLIENT_EXCEPTIONS = new Map([
  [
    'Sends multiple CONTINUATION frames preceded by a HEADERS frame',
    'the tool acknowledges our SETTINGS_HEADER_TABLE_SIZE of 0 and then refers to that table: a COMPRESSION_ERROR by RFC 9113 4.3.1 (CONTINUATION of responses is tested in test/proxy/http2/answers.test.ts)',
  ],
]);

const NOISE = /use of closed network connection/;

const POLICY = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: conformance, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEntities: [all]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{}] }
`;

const directory = mkdtempSync(join(tmpdir(), 'sallyport-conformance-'));
let passed = 0;
let failed = 0;
try {
  await run();
} catch (error) {
  failed++;
  console.error(`conformance: ${error instanceof Error ? error.message : error}`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function run() {
  buildTools();
  const origin = await startOrigin();
  let proxy = null;
  try {
    proxy = startProxy(origin.address().port);
    const port = await readyPort(proxy);
    count(await runH2spec(port), EXCEPTIONS);
    await checkInvalidPreface(port);
    count(await runH2specd(), CLIENT_EXCEPTIONS);
    if (proxy.exitCode !== null) throw new Error(`the proxy ended (exit code ${proxy.exitCode})`);
  } finally {
    if (proxy !== null) await stopChild(proxy);
    origin.close();
  }
}

function buildTools() {
  const { GO: go = 'go' } = process.env;
  const env = { ...process.env, GOBIN: directory, GOFLAGS: '-mod=mod' };
  for (const tool of TOOLS) build(go, tool, env);
}

function build(go, tool, env) {
  const built = spawnSync(go, ['install', tool], { env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (built.error !== undefined)
    throw new Error(`Go is needed to build h2spec: ${built.error.message}`);
  if (built.status !== 0) throw new Error(`h2spec was not built (exit code ${built.status})`);
}

function startOrigin() {
  const origin = createServer();
  origin.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.resume();
    stream.respond({ ':status': 200, 'content-type': 'text/plain' });
    stream.end('sallyport conformance\n');
  });
  origin.on('sessionError', () => {});
  return new Promise((resolve) => origin.listen(0, '127.0.0.1', () => resolve(origin)));
}

function startProxy(originPort) {
  const policy = join(directory, 'policy.yaml');
  const endpoints = join(directory, 'endpoints.yaml');
  const config = join(directory, 'sallyport.yaml');
  writeFileSync(policy, POLICY);
  writeFileSync(
    endpoints,
    'endpoints:\n  - { name: default/api, ip: 10.0.0.7, labels: { app: api } }\n',
  );
  writeFileSync(
    config,
    `admin: none
workers: 1
accessLog: { to: none }
policies: [${policy}]
endpoints: ${endpoints}
listeners:
  - name: conformance
    address: 127.0.0.1:0
    direction: ingress
    destination: 10.0.0.7:8080
    upstream: 127.0.0.1:${originPort}
    identity: 2
`,
  );
  return spawn(join(ROOT, 'bin/sallyport'), ['run', '-c', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The port in the proxy's "ready" line. */
function readyPort(child) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error('the proxy did not get ready')),
      READY_TIMEOUT_MS,
    );
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the proxy ended with exit code ${code}`)));
    let text = '';
    child.stdout.on('data', (chunk) => {
      text = (text + chunk).slice(-65_536);
      const ready = text.split('\n').find((line) => line.includes('"msg":"ready"'));
      const port = ready === undefined ? undefined : /127\.0\.0\.1:([0-9]+)/.exec(ready)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      resolve(Number(port));
    });
  });
}

function runH2spec(port) {
  const args = ['generic', 'http2', 'hpack', '--strict', '-h', '127.0.0.1', '-p', String(port)];
  return report('h2spec', [...args, '-o', String(CASE_TIMEOUT_SECONDS)]);
}

/** It splits the command at spaces, so paths are relative; it listens on a port for each case. */
function runH2specd() {
  const ports = ['-p', String(CLIENT_PORT - 1), '-f', String(CLIENT_PORT)];
  const client = 'node_modules/.bin/node test/conformance/ask_through.ts';
  // Each case starts a client, which takes seconds on a machine that others use, too.
  const timeout = ['-o', String(2 * CASE_TIMEOUT_SECONDS)];
  return report('h2specd', ['--strict', '-h', '127.0.0.1', ...ports, ...timeout, '-e', client]);
}

/** What the tool says as text; its own exit code is not asked, the count is. */
function report(tool, args) {
  const child = spawn(join(directory, tool), args, {
    cwd: ROOT,
    // h2specd starts a client of ours for each case, and waits only so long for it to come.
    env: { ...process.env, NODE_COMPILE_CACHE: join(directory, 'compile-cache') },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return new Promise((resolve, reject) => {
    let text = '';
    child.once('error', reject);
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.once('close', () => {
      // Of each port that it has closed h2specd says so until the end: hundreds of lines.
      const lines = text.split('\n').filter((line) => !NOISE.test(line));
      process.stdout.write(lines.join('\n'));
      resolve(text);
    });
  });
}

/** "N tests, N passed, N skipped, N failed", less the exceptions, which must be just those that fail. */
function count(report, exceptions) {
  const sum = /([0-9]+) tests, ([0-9]+) passed, ([0-9]+) skipped, ([0-9]+) failed/.exec(report);
  if (sum === null) throw new Error('h2spec told no result');
  const failures = report.slice(report.lastIndexOf('Failures:'), sum.index);
  const names = [...failures.matchAll(/× [0-9]+: (.+)/g)].map((match) => match[1]);
  const unexpected = names.filter((name) => !exceptions.has(name));
  const unneeded = [...exceptions.keys()].filter((name) => !names.includes(name));
  for (const name of unneeded) console.log(`no exception any more: ${name}`);
  for (const [name, reason] of exceptions) console.log(`exception: ${name}: ${reason}`);
  const excepted = names.length - unexpected.length;
  passed += Number(sum[2]);
  failed += Number(sum[3]) + Number(sum[4]) - excepted + unneeded.length;
}

/** What stands behind the exception: answered in HTTP/1.1 and closed, which is what 3.4 is after. */
function checkInvalidPreface(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    let text = '';
    socket.setTimeout(CASE_TIMEOUT_SECONDS * 1000, () => socket.destroy(new Error('not closed')));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('end', () => {
      socket.end();
      if (text.startsWith('HTTP/1.1 400 ')) passed++;
      else failed++;
      resolve();
    });
    socket.write('INVALID CONNECTION PREFACE\r\n\r\n');
  });
}

function stopChild(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGTERM');
  });
}
