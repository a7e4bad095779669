/** One keep-alive HTTP/1.1 connection with at most one request on it. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Response, ResponseReader } from './response_reader.ts';

export interface ConnectionEvents {
  /** After the last one the connection is closed, and nothing more is told of it. */
  readonly answered: (response: Response) => void;
  /** Closed by the other side, or by us since what came made no sense. */
  readonly lost: () => void;
}

const READ_BYTES = 64 * 1024;
/** All connections read into it: what was read is looked at before the next read. */
const READ_BUFFER = Buffer.alloc(READ_BYTES);

export class FixedRateConnection {
  dueMs = 0;
  freeSinceMs = 0;
  readonly #events: ConnectionEvents;
  readonly #reader = new ResponseReader();
  #socket: Socket | null = null;

  constructor(events: ConnectionEvents) {
    this.#events = events;
  }

  async open(host: string, port: number): Promise<void> {
    const onread = {
      buffer: READ_BUFFER,
      callback: (length: number, buffer: Uint8Array): boolean => {
        this.#read(buffer.subarray(0, length));
        return true;
      },
    };
    const socket = connect({ host, port, noDelay: true, onread });
    await once(socket, 'connect');
    // 'close' follows.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#socket === null) return;
      this.#socket = null;
      this.#events.lost();
    });
    this.#socket = socket;
    this.freeSinceMs = performance.now();
  }

  send(request: Buffer, dueMs: number): void {
    this.dueMs = dueMs;
    this.#socket?.write(request);
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.destroy();
  }

  #read(bytes: Uint8Array): void {
    const response = this.#reader.read(bytes);
    if (response === 'more') return;
    if (response === 'unreadable') {
      this.#socket?.destroy();
      return;
    }
    if (response.isLast) this.close();
    this.#events.answered(response);
  }
}
