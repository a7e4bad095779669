/**
 * node test/conformance/servers_differential.ts [SERVER...]: hundreds of hostile requests through the
 * real command to real HTTP/1.1 servers. Policy allows /public/ only. What the proxy sends on is read by
 * a third party (llhttp), too. Asked is of each server that
 *   - it reads no request as one outside /public/;
 *   - it reads on each connection no more requests than were sent, nor others, nor with other content;
 *   - all that was sent has a record in the access log that says so.
 * What the proxy refuses is fine; how much that is, is printed. Sent directly, the same requests must get
 * at /admin, or they would prove nothing.
 *
 * Fails when a server cannot be started. The last line is the sum: "N passed, N failed".
 */
import { mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type OracleMessage, runLlhttp } from '../support/llhttp.ts';
import { type Line, type Sallyport, Scratch } from '../workers/running.ts';
import { type HostileRequest, hostileRequests } from './servers/hostile_requests.ts';
import { REAL_SERVERS, type RealServer, type Seen } from './servers/real_servers.ts';
import { Tap } from './servers/tap.ts';

const SERVERS_AT_ONCE = 3;
const CONCURRENCY = 16;
/** A connection on which nothing comes for so long has said what it has to say; only this costs time. */
const QUIET_MS = 250;
const SHOWN_MAX = 10;
const HONEST_COUNT = 12;

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ path: "/public/.*" }] }
`;

const HONEST: readonly HostileRequest[] = Array.from({ length: HONEST_COUNT }, (_, i) => {
  const content = 'z'.repeat(i * 7);
  const head = `POST /public/honest/${i} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`;
  return { about: 'honest', bytes: `${head}Content-Length: ${content.length}\r\n\r\n${content}` };
});

let passed = 0;
let failed = 0;
try {
  await main(process.argv.slice(2));
} catch (error) {
  failed += 1;
  console.error('servers:', error);
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function main(names: readonly string[]): Promise<void> {
  const kinds = Object.entries(REAL_SERVERS).filter(
    ([name]) => names.length === 0 || names.includes(name),
  );
  const requests = hostileRequests();
  console.log(`${requests.length} hostile requests`);
  const waiting = kinds.values();
  const lane = async (): Promise<void> => {
    for (const [name, start] of waiting) {
      const scratch = new Scratch();
      try {
        const dir = join(scratch.dir, 'server');
        mkdirSync(dir);
        await checkServer(await start(dir), { scratch, requests });
      } catch (error) {
        check(name, [String(error)]);
      } finally {
        await scratch.dispose();
      }
    }
  };
  await Promise.all(Array.from({ length: SERVERS_AT_ONCE }, lane));
}

interface Setting {
  readonly scratch: Scratch;
  readonly requests: readonly HostileRequest[];
}

async function checkServer(server: RealServer, { scratch, requests }: Setting): Promise<void> {
  const tap = await Tap.start(server.port);
  try {
    await sendAll(server.port, requests);
    const direct = server.seen().length;
    const reached = server.seen().filter(isOutside);
    check(`${server.name}: sent directly they get at /admin`, reached.length > 0 ? [] : ['none']);
    scratch.write('policies/api.yaml', POLICY);
    const proxy = scratch.run(['run', '-c', scratch.config({ upstream: tap.port })]);
    const port = await proxy.port();
    await sendAll(port, requests);
    await sendAll(port, HONEST);
    proxy.signal('SIGTERM');
    const code = await proxy.ended;
    check(
      `${server.name}: the proxy ends well`,
      code === 0 && proxy.stderr === '' ? [] : [proxy.stderr],
    );
    tap.stop();
    await server.stop();
    judge({ server, tap, proxy, seen: server.seen().slice(direct) });
    console.log(
      `   ${server.name}, direct: ${direct} read, ${reached.length} of them outside /public/`,
    );
  } finally {
    tap.stop();
    await server.stop();
  }
}

interface Outcome {
  readonly server: RealServer;
  readonly tap: Tap;
  readonly proxy: Sallyport;
  readonly seen: readonly Seen[];
}

function judge({ server, tap, proxy, seen }: Outcome): void {
  const { name } = server;
  const records = proxy.lines().filter((line) => line['msg'] === 'request');
  const honest = seen.filter(({ path }) => path.startsWith('/public/honest/')).length;
  check(`${name}: honest requests arrive`, honest === HONEST_COUNT ? [] : [`${honest} seen`]);
  check(`${name}: nothing is read outside /public/`, seen.filter(isOutside).map(toText));
  const sent = new Map<number, readonly OracleMessage[]>();
  const broken: string[] = [];
  for (const { port, chunks } of tap.connections) {
    const bytes = Buffer.concat(chunks);
    const { messages, error } = runLlhttp(bytes, 'request');
    // What it does not know are methods; our other suites see to them.
    if (error !== '' && error !== 'HPE_INVALID_METHOD') {
      broken.push(`${error}: ${JSON.stringify(bytes.toString('latin1'))}`);
    }
    if (error !== 'HPE_INVALID_METHOD') sent.set(port, messages);
  }
  check(`${name}: what is sent on is well-formed`, broken);
  check(`${name}: read as sent, and no more`, misread(sent, seen, server.isBlindToChunks));
  const all = [...sent.values()].flat();
  check(`${name}: what is sent on has a record`, unrecorded(all, records));
  const refused = records.filter((line) => line['verdict'] !== 'forwarded').length;
  console.log(
    `   ${name}, through: ${seen.length} read, ${all.length} sent on, ${refused} refused`,
  );
}

function isOutside({ path }: Seen): boolean {
  return !/^\/public(\/|$)/.test(path.replace(/^\/+/, '/'));
}

/** What a server read on a connection is a beginning of what was sent on it. */
function misread(
  sent: ReadonlyMap<number, readonly OracleMessage[]>,
  seen: readonly Seen[],
  isBlindToChunks: boolean,
): readonly string[] {
  const places = new Map<number, number>();
  return seen.flatMap((one) => {
    const place = places.get(one.port) ?? 0;
    places.set(one.port, place + 1);
    const messages = sent.get(one.port);
    if (messages === undefined) return [];
    const wanted = messages[place];
    if (wanted === undefined) return [`more than the ${messages.length} sent: ${toText(one)}`];
    const isUnread = isBlindToChunks && one.bytes === 0 && isChunked(wanted);
    const isSame = wanted.method === one.method && (isUnread || wanted.body.length === one.bytes);
    return isSame
      ? []
      : [`${toText(one)}; sent ${wanted.method} ${wanted.target} ${wanted.body.length}`];
  });
}

function isChunked({ fields }: OracleMessage): boolean {
  return fields.some((text) => text.toLowerCase() === 'transfer-encoding');
}

/** What was allowed may have ended in a fault; the log leaves the query out. */
function unrecorded(sent: readonly OracleMessage[], records: readonly Line[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { verdict, rule, http } of records) {
    if (verdict === 'denied' || rule === undefined) continue;
    const { method, path } = http as { readonly method: string; readonly path: string };
    const key = `${method} ${path}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return sent.flatMap(({ method, target }) => {
    const key = `${method} ${target.split('?')[0]}`;
    const count = counts.get(key) ?? 0;
    counts.set(key, count - 1);
    return count > 0 ? [] : [key];
  });
}

function toText({ method, path, bytes }: Seen): string {
  return `${method} ${JSON.stringify(path)} with ${bytes} bytes`;
}

async function sendAll(port: number, requests: readonly HostileRequest[]): Promise<void> {
  const waiting = requests.values();
  const lane = async (): Promise<void> => {
    for (const { bytes } of waiting) await send(port, bytes);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
}

/** On a connection of its own. It is over when it is ended, or has been quiet for a while after our FIN. */
function send(port: number, bytes: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
    let isHalfClosed = false;
    socket.setTimeout(QUIET_MS, () => {
      if (isHalfClosed) socket.destroy();
      isHalfClosed = true;
      socket.end();
    });
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => resolve());
    socket.write(Buffer.from(bytes, 'latin1'));
  });
}

function check(name: string, problems: readonly string[]): void {
  if (problems.length === 0) {
    passed += 1;
    console.log(`ok ${name}`);
    return;
  }
  failed += 1;
  console.log(`FAILED ${name}: ${problems.length}`);
  for (const problem of problems.slice(0, SHOWN_MAX)) console.log(`   ${problem}`);
}
