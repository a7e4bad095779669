/**
 * WebSocket messages that come back: each connection sends one, waits for it, sends the next. Tells its result
 * as one line of JSON.
 *
 *     node bench/loads/websocket_main.ts URL SECONDS CONNECTIONS MESSAGE_BYTES
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadResult } from './load.ts';

const PATH = '/echo';
const HEAD_END = '\r\n\r\n';
const UPGRADE_TIMEOUT_MS = 10_000;

const [url = '', seconds = '1', connections = '1', messageBytes = '128'] = process.argv.slice(2);
const { hostname, port, host } = new URL(url);
const message = frame(Number(messageBytes));
const micros = createHistogram({ figures: 3 });
let messages = 0;
let failures = 0;
let isOver = false;

const sockets = await Promise.all(Array.from({ length: Number(connections) }, open));
const startMs = performance.now();
for (const socket of sockets) exchange(socket);
await sleep(Number(seconds) * 1000);
isOver = true;
const result: LoadResult = {
  requests: messages,
  failures,
  seconds: (performance.now() - startMs) / 1000,
  contentBytes: messages * message.length,
  latency: {
    p50Ms: micros.percentile(50) / 1000,
    p90Ms: micros.percentile(90) / 1000,
    p99Ms: micros.percentile(99) / 1000,
    p999Ms: micros.percentile(99.9) / 1000,
    maxMs: micros.max / 1000,
  },
};
for (const socket of sockets) socket.destroy();
console.log(JSON.stringify(result));

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let head = '';
    const onHead = (chunk: Buffer): void => {
      head += chunk.toString('latin1');
      if (!head.includes(HEAD_END)) return;
      socket.off('data', onHead);
      socket.setTimeout(0);
      if (head.startsWith('HTTP/1.1 101 ')) resolve(socket);
      else reject(new Error(`no upgrade: ${head.slice(0, head.indexOf('\r\n'))}`));
    };
    socket.on('data', onHead);
    socket.once('error', reject);
    socket.setTimeout(UPGRADE_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
    socket.write(
      `GET ${PATH} HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
        `sec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
  });
}

function exchange(socket: Socket): void {
  let bytesLeft = message.length;
  let sentMs = performance.now();
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    if (!isOver) failures++;
  });
  socket.on('data', (chunk: Buffer) => {
    bytesLeft -= chunk.length;
    if (bytesLeft > 0 || isOver) return;
    if (bytesLeft < 0) failures++;
    const nowMs = performance.now();
    micros.record(Math.max(1, Math.round((nowMs - sentMs) * 1000)));
    messages++;
    bytesLeft = message.length;
    sentMs = nowMs;
    socket.write(message);
  });
  socket.write(message);
}

/** One masked binary frame (RFC 6455 5.2) with so much payload. */
function frame(payloadBytes: number): Buffer {
  const payload = Buffer.alloc(payloadBytes, 'x');
  const mask = randomBytes(4);
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
  const head = payloadBytes < 126 ? Buffer.alloc(2) : Buffer.alloc(payloadBytes < 65_536 ? 4 : 10);
  head[0] = 0x82;
  head[1] = 0x80 | (payloadBytes < 126 ? payloadBytes : payloadBytes < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(payloadBytes, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(payloadBytes), 2);
  return Buffer.concat([head, mask, payload]);
}
