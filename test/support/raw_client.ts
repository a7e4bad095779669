/** A TCP client that sends exactly the bytes it is told to and keeps every byte that comes back. */
import { connect, type Socket } from 'node:net';
import { Signal } from './signal.ts';

export interface RawClientOptions {
  /** Binds to it first: another loopback address is another remote. */
  readonly localAddress?: string;
  /** False: never reads a byte. */
  readonly isReading?: boolean;
  /** False: bytes are counted and dropped. */
  readonly isKeeping?: boolean;
}

export class RawClient {
  readonly socket: Socket;
  /** Everything received so far, one char a byte. */
  received = '';
  receivedBytes = 0;
  /** The other side has sent its FIN. */
  isEnded = false;
  isReset = false;
  isClosed = false;
  readonly #signal = new Signal();

  private constructor(port: number, options: RawClientOptions) {
    const { localAddress } = options;
    this.socket = connect({
      host: '127.0.0.1',
      port,
      allowHalfOpen: true,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const { socket } = this;
    if (options.isReading === false) socket.pause();
    else socket.on('data', (chunk: Buffer) => this.#take(chunk, options.isKeeping ?? true));
    socket.on('end', () => {
      this.isEnded = true;
      this.#signal.raise();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.isReset ||= error.code === 'ECONNRESET' || error.code === 'EPIPE';
    });
    socket.on('close', () => {
      this.isClosed = true;
      this.#signal.raise();
    });
  }

  static async open(port: number, options: RawClientOptions = {}): Promise<RawClient> {
    const client = new RawClient(port, options);
    await new Promise<unknown>((resolve, reject) => {
      client.socket.once('connect', resolve);
      // Refused by a reset while it was still connecting: that is an end, not a failure.
      client.socket.once('close', resolve);
      client.socket.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNRESET') reject(error);
      });
    });
    return client;
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Half-closes: a FIN, and goes on reading. */
  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }

  /** Resolves with what came so far once it holds `text`, `times` times. */
  async until(text: string, times = 1): Promise<string> {
    await this.#signal.until(
      () => this.received.split(text).length > times,
      () => `${JSON.stringify(text)} x${times} in ${JSON.stringify(this.received.slice(-2000))}`,
      () => this.isClosed || this.isEnded,
    );
    return this.received;
  }

  async untilBytes(count: number): Promise<void> {
    await this.#signal.until(
      () => this.receivedBytes >= count,
      () => `${count} bytes, got ${this.receivedBytes}`,
    );
  }

  /** How it ended, and all that came before. A FIN is answered with a close. */
  async over(): Promise<{ readonly text: string; readonly how: 'fin' | 'reset' }> {
    await this.#signal.until(
      () => this.isEnded || this.isClosed,
      () => `an end after ${JSON.stringify(this.received.slice(-2000))}`,
    );
    const how = this.isEnded && !this.isReset ? 'fin' : 'reset';
    this.socket.destroy();
    return { text: this.received, how };
  }

  #take(chunk: Buffer, isKept: boolean): void {
    this.receivedBytes += chunk.length;
    if (isKept) this.received += chunk.toString('latin1');
    this.#signal.raise();
  }
}
