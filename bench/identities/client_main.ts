/**
 * An origin and clients that keep their connections, in a process of their own. Told `{ port, ms }` it asks for so
 * long, so many times a second, and answers with the latencies' percentiles. Paced, as a queue of its own making would
 * show in them.
 */
import { Agent, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const CONNECTIONS = 16;
const PAUSE_MS = 8;
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
const origin = createServer((_request, response) => response.end('ok'));

origin.listen(0, '127.0.0.1', () => {
  process.send?.({ originPort: (origin.address() as AddressInfo).port });
});
origin.keepAliveTimeout = 600_000;

process.on('message', ({ port, ms }: { readonly port: number; readonly ms: number }) => {
  void measure(port, ms).then((result) => process.send?.(result));
});

async function measure(port: number, ms: number): Promise<object> {
  const endMs = performance.now() + ms;
  const latencies: number[] = [];
  let failures = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      if ((await ask(port)) === 200) latencies.push(performance.now() - startMs);
      else failures += 1;
      await sleep(PAUSE_MS - 1 + (2 * ((latencies.length * 7) % 16)) / 16);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));
  latencies.sort((a, b) => a - b);
  const at = (part: number): number => latencies[Math.floor(part * latencies.length)] ?? 0;
  return { count: latencies.length, failures, p50: at(0.5), p99: at(0.99), p999: at(0.999) };
}

function ask(port: number): Promise<number> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/a/1', agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    }).on('error', () => resolve(0));
  });
}
