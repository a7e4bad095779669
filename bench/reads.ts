/**
 * What a read costs: sockets by 'data' events, as Node has them by itself, and through the landing buffer that
 * ours share (src/platform/socket_reads.ts), by turns. A message goes to an echo and comes back, so a message is
 * two reads, and two writes that are the same either way.
 *
 *     node bench/reads.ts [--bytes 200] [--messages 100000] [--rounds 5]
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { sharedReads, takeOver } from '../src/platform/socket_reads.ts';
import { medianOf } from './report/summary.ts';

const CONNECTIONS = 32;
const BUFFER_BYTES = 64 * 1024;

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '200' },
    messages: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '5' },
  },
});
const message = Buffer.alloc(Number(values.bytes), 'x');
const messageCount = Number(values.messages);

const WAYS = { events: exchangeByEvents, shared: exchangeShared } as const;
const micros: Record<keyof typeof WAYS, number[]> = { events: [], shared: [] };
for (let round = 0; round <= Number(values.rounds); round++) {
  for (const way of ['events', 'shared'] as const) {
    const cost = await costOf(WAYS[way]);
    // The first round is for the JIT.
    if (round > 0) micros[way].push(cost);
  }
}
const [events, shared] = [medianOf(micros.events), medianOf(micros.shared)];
console.log(`${message.length} bytes, CPU-µs a message (medians of ${values.rounds} rounds)`);
console.log(`by events   ${events.toFixed(2)}`);
console.log(`shared      ${shared.toFixed(2)}   ${(shared / events).toFixed(2)} of it`);

async function costOf(exchange: (port: number) => Promise<void>): Promise<number> {
  const isShared = exchange === exchangeShared;
  const server = createServer({ noDelay: true, pauseOnConnect: isShared }, (accepted) => {
    if (!isShared) {
      accepted.on('error', () => {});
      accepted.on('data', (chunk) => accepted.write(chunk));
      return;
    }
    const socket: Socket = takeOver(accepted, {
      onRead: (chunk) => socket.write(chunk),
      bufferBytesMax: BUFFER_BYTES,
    });
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const before = process.cpuUsage();
  await exchange((server.address() as AddressInfo).port);
  const { user, system } = process.cpuUsage(before);
  server.close();
  return (user + system) / messageCount;
}

function exchangeByEvents(port: number): Promise<void> {
  return exchangeAll((onRead) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.on('data', (chunk: Buffer) => onRead(socket, chunk));
    return socket;
  });
}

function exchangeShared(port: number): Promise<void> {
  return exchangeAll((onRead) => {
    const onread = sharedReads((chunk) => onRead(socket, chunk));
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true, onread });
    return socket;
  });
}

/** Each connection sends the next message when the one before is back. */
async function exchangeAll(
  open: (onRead: (socket: Socket, chunk: Buffer) => void) => Socket,
): Promise<void> {
  let left = messageCount;
  const sockets = Array.from({ length: CONNECTIONS }, () => {
    let bytesLeft = message.length;
    return open((socket, chunk) => {
      bytesLeft -= chunk.length;
      if (bytesLeft > 0) return;
      bytesLeft = message.length;
      if (left-- > 0) socket.write(message);
      else socket.end();
    });
  });
  for (const socket of sockets) socket.write(message);
  await Promise.all(
    sockets.map(async (socket) => {
      await once(socket, 'end');
      socket.destroy();
    }),
  );
}
