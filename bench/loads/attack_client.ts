/**
 * A process of its own that sends hostile bytes as fast as they are taken, on several connections; one that is
 * closed is opened again at once.
 *
 *     node attack_client.ts JSON-of-AttackOrder   →   JSON of AttackResult
 */
import { connect } from 'node:net';

export interface AttackOrder {
  readonly host: string;
  readonly port: number;
  readonly seconds: number;
  readonly connections: number;
  /** Once at the beginning of each connection; Base64. */
  readonly greeting: string;
  /** Again and again after it; Base64. Empty: a connection is its greeting. */
  readonly piece: string;
  /** Bytes at which the piece has a stream identifier that goes up by two each time. */
  readonly streamIdsAt: readonly number[];
}

export interface AttackResult {
  readonly seconds: number;
  /** Opened. */
  readonly connections: number;
  /** Sent, whether they were read or met a close. */
  readonly bytes: number;
}

/** A write: large enough that this process is not what is slow. */
const WRITE_BYTES = 16_384;
/** Then our FIN, and the other side closes once it has read them: what buffers hold is no work that was done. */
const CONNECTION_BYTES = 512 * 1024;
/** For a close that does not come. */
const PATIENCE_MS = 2_000;

const order = JSON.parse(process.argv[2] ?? '') as AttackOrder;
const greeting = Buffer.from(order.greeting, 'base64');
const piece = Buffer.from(order.piece, 'base64');
const lastMs = performance.now() + order.seconds * 1000;
let connections = 0;
let bytes = 0;

async function attack(): Promise<void> {
  while (performance.now() < lastMs) await oneConnection();
}

function oneConnection(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port: order.port, host: order.host, allowHalfOpen: true });
    const writer = new PieceWriter();
    connections++;
    socket.on('error', () => {});
    socket.on('close', () => {
      bytes += Math.max(0, socket.bytesWritten - socket.writableLength);
      clearTimeout(timer);
      resolve();
    });
    // The other side's end is the end: what is not sent by then is not read.
    socket.on('end', () => socket.destroy());
    socket.resume();
    socket.write(greeting);
    const pump = (): void => {
      while (!socket.writableEnded && !socket.destroyed) {
        if (socket.bytesWritten >= CONNECTION_BYTES || piece.length === 0) socket.end();
        else if (!socket.write(writer.next())) return;
      }
    };
    socket.on('connect', pump).on('drain', pump);
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
  });
}

/** The piece many times over, with stream identifiers that rise. */
class PieceWriter {
  #streamId = 1;

  next(): Buffer {
    const count = Math.max(1, Math.floor(WRITE_BYTES / piece.length));
    const out = Buffer.alloc(count * piece.length);
    for (let i = 0; i < count; i++) {
      piece.copy(out, i * piece.length);
      for (const at of order.streamIdsAt) out.writeUInt32BE(this.#streamId, i * piece.length + at);
      this.#streamId += 2;
    }
    return out;
  }
}

await Promise.all(Array.from({ length: order.connections }, attack));
process.stdout.write(
  JSON.stringify({ seconds: order.seconds, connections, bytes } satisfies AttackResult),
);
