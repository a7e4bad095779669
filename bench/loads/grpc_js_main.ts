/**
 * gRPC calls, one after the other in each of so many places; tells its result as one line of JSON.
 *
 *     node bench/loads/grpc_js_main.ts URL SECONDS METHOD unary|server-stream CONNECTIONS CALLS STATUS
 */
import { createHistogram } from 'node:perf_hooks';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import type { LoadResult } from './load.ts';

const [url = '', seconds = '1', method = '', kind = '', connections = '1', calls = '1', status] =
  process.argv.slice(2);
const expectedStatus = Number(status);
const message = Buffer.from('hello from the client of the bench');
const micros = createHistogram({ figures: 3 });
const untilMs = performance.now() + Number(seconds) * 1000;
let done = 0;
let failures = 0;
let contentBytes = 0;

const clients = Array.from({ length: Number(connections) }, newClient);
const startMs = performance.now();
await Promise.all(
  clients.flatMap((client) => Array.from({ length: Number(calls) }, () => callOnAndOn(client))),
);
const result: LoadResult = {
  requests: done,
  failures,
  seconds: (performance.now() - startMs) / 1000,
  contentBytes,
  latency: {
    p50Ms: micros.percentile(50) / 1000,
    p90Ms: micros.percentile(90) / 1000,
    p99Ms: micros.percentile(99) / 1000,
    p999Ms: micros.percentile(99.9) / 1000,
    maxMs: micros.max / 1000,
  },
};
for (const client of clients) client.close();
console.log(JSON.stringify(result));

function newClient(): Client {
  // Else all clients of a process share one connection.
  const options = { 'grpc.use_local_subchannel_pool': 1 };
  return new Client(new URL(url).host, credentials.createInsecure(), options);
}

async function callOnAndOn(client: Client): Promise<void> {
  while (performance.now() < untilMs) {
    const sentMs = performance.now();
    const code = kind === 'unary' ? await unary(client) : await serverStream(client);
    micros.record(Math.max(1, Math.round((performance.now() - sentMs) * 1000)));
    done++;
    if (code !== expectedStatus) failures++;
  }
}

function unary(client: Client): Promise<number> {
  return new Promise((resolve) => {
    const onEnd = (error: ServiceError | null, answer?: Buffer): void => {
      contentBytes += answer?.length ?? 0;
      resolve(error === null ? 0 : error.code);
    };
    client.makeUnaryRequest(method, asIs, asIs, message, onEnd);
  });
}

function serverStream(client: Client): Promise<number> {
  return new Promise((resolve) => {
    const call = client.makeServerStreamRequest(method, asIs, asIs, message);
    call.on('data', (answer: Buffer) => {
      contentBytes += answer.length;
    });
    call.on('error', () => {});
    call.on('status', ({ code }) => resolve(code));
  });
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
