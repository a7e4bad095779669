/**
 * A process of its own that sends requests at a fixed rate and says how long each one took from the moment
 * it was due: while the proxy stands still, they queue up here, and the longest wait is the pause.
 *
 *     steady_client.ts PORT REQUESTS_PER_SECOND CONNECTIONS
 *       ← { kind: 'watch', probe }      half of the requests from now on ask for `probe`
 *       → { kind: 'allowed', atMs }     the probe was answered with 200 for the first time
 *       ← { kind: 'tell' }
 *       → { kind: 'told', ... }         since the last `watch`
 */
import { connect, type Socket } from 'node:net';
import { STEADY_PATH } from './rule_sets.ts';

export type ToClient =
  | { readonly kind: 'watch'; readonly probe: string }
  | { readonly kind: 'tell' };

export interface Told {
  readonly kind: 'told';
  readonly requests: number;
  /** The longest that one waited for its answer, from when it was due. */
  readonly longestMs: number;
  /** Of the requests that every edition allows, and probes denied after one was allowed. */
  readonly failures: number;
}

export type FromClient = { readonly kind: 'allowed'; readonly atMs: number } | Told;

interface Due {
  readonly path: string;
  readonly atMs: number;
}

const [port = 0, perSecond = 0, connectionCount = 0] = process.argv.slice(2).map(Number);
const idle: Socket[] = [];
const waiting: Due[] = [];
const asked = new Map<Socket, Due>();
let probe = '';
let sent = 0;
/** When the probe was allowed for the first time. */
let allowedMs = Number.POSITIVE_INFINITY;
let tally = { requests: 0, longestMs: 0, failures: 0 };
const startedMs = performance.now();

for (let i = 0; i < connectionCount; i++) open();
setInterval(sendDue, 1);
process.on('message', (message: ToClient) => {
  if (message.kind === 'watch') {
    probe = message.probe;
    allowedMs = Number.POSITIVE_INFINITY;
    tally = { requests: 0, longestMs: 0, failures: 0 };
  } else {
    tell({ kind: 'told', ...tally });
  }
});
process.on('disconnect', () => process.exit());

function open(): void {
  const socket = connect(port, '127.0.0.1', () => idle.push(socket));
  socket.setNoDelay(true);
  socket.on('data', (bytes: Buffer) => answered(socket, bytes));
  socket.on('error', (error) => {
    throw error;
  });
}

function sendDue(): void {
  const due = Math.floor(((performance.now() - startedMs) * perSecond) / 1000);
  for (; sent < due; sent++) {
    const path = probe !== '' && sent % 2 === 1 ? probe : STEADY_PATH;
    waiting.push({ path, atMs: startedMs + (sent * 1000) / perSecond });
  }
  sendWaiting();
}

function sendWaiting(): void {
  while (idle.length > 0 && waiting.length > 0) {
    const socket = idle.shift() as Socket;
    const due = waiting.shift() as Due;
    asked.set(socket, due);
    socket.write(`GET ${due.path} HTTP/1.1\r\nHost: bench\r\n\r\n`);
  }
}

/** Answers are small: what comes first has the status, what may follow is content. */
function answered(socket: Socket, bytes: Buffer): void {
  const due = asked.get(socket);
  if (due === undefined || bytes.toString('latin1', 0, 5) !== 'HTTP/') return;
  asked.delete(socket);
  idle.push(socket);
  const nowMs = performance.now();
  tally.requests++;
  tally.longestMs = Math.max(tally.longestMs, nowMs - due.atMs);
  judge(due, bytes.toString('latin1', 9, 12) === '200', nowMs);
  sendWaiting();
}

function judge(due: Due, isOk: boolean, nowMs: number): void {
  if (due.path === STEADY_PATH) {
    if (!isOk) tally.failures++;
  } else if (due.path === probe && isOk && allowedMs === Number.POSITIVE_INFINITY) {
    allowedMs = nowMs;
    tell({ kind: 'allowed', atMs: performance.timeOrigin + nowMs });
  } else if (due.path === probe && !isOk && due.atMs > allowedMs) {
    tally.failures++;
  }
}

function tell(message: FromClient): void {
  process.send?.(message);
}
