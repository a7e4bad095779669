/** An upstream that records every byte and answers what a test writes, or what its script says. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Signal } from './signal.ts';

export type OriginScript = (connection: OriginConnection, chunk: string) => void;

export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Answers every head with 200; for requests without content. */
export const answerHeads: OriginScript = (connection, chunk) => {
  for (let i = chunk.split('\r\n\r\n').length; i > 1; i--) connection.send(OK);
};

export class OriginConnection {
  readonly socket: Socket;
  /** Everything received, one char a byte; '' when `isKeeping` is off. */
  received = '';
  receivedBytes = 0;
  isEnded = false;
  isClosed = false;
  isReset = false;
  readonly #signal = new Signal();

  constructor(
    socket: Socket,
    options: { readonly script: OriginScript; readonly isKeeping: boolean },
  ) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      const text = options.isKeeping ? chunk.toString('latin1') : '';
      this.received += text;
      this.#signal.raise();
      options.script(this, text);
    });
    socket.on('end', () => {
      this.isEnded = true;
      this.#signal.raise();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.isReset ||= error.code === 'ECONNRESET';
    });
    socket.on('close', () => {
      this.isClosed = true;
      this.#signal.raise();
    });
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** The last bytes, then a FIN. */
  end(bytes = ''): void {
    this.socket.end(Buffer.from(bytes, 'latin1'));
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  async until(text: string, times = 1): Promise<string> {
    await this.#signal.until(
      () => this.received.split(text).length > times,
      () =>
        `${JSON.stringify(text)} at the origin in ${JSON.stringify(this.received.slice(-2000))}`,
      () => this.isClosed || this.isEnded,
    );
    return this.received;
  }

  async untilBytes(count: number): Promise<void> {
    await this.#signal.until(
      () => this.receivedBytes >= count,
      () => `${count} bytes at the origin, got ${this.receivedBytes}`,
    );
  }

  /** The proxy has sent its FIN; the connection may still be open in the other direction. */
  async untilEnded(): Promise<void> {
    await this.#signal.until(
      () => this.isEnded,
      () => 'a FIN at the origin',
      () => this.isClosed,
    );
  }

  /** Both directions are over, however. */
  async closed(): Promise<void> {
    await this.#signal.until(
      () => this.isClosed,
      () => 'a close at the origin',
    );
  }

  /** The proxy has ended or reset it. */
  async over(): Promise<'fin' | 'reset'> {
    await this.#signal.until(
      () => this.isEnded || this.isClosed,
      () => `an end at the origin after ${JSON.stringify(this.received.slice(-2000))}`,
    );
    const how = this.isEnded && !this.isReset ? 'fin' : 'reset';
    this.socket.destroy();
    return how;
  }
}

export class RawOrigin {
  readonly connections: OriginConnection[] = [];
  readonly #server: Server;
  readonly #signal = new Signal();

  private constructor(script: OriginScript, isKeeping: boolean) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.connections.push(new OriginConnection(socket, { script, isKeeping }));
      this.#signal.raise();
    });
  }

  static async start(script: OriginScript = () => {}, isKeeping = true): Promise<RawOrigin> {
    const origin = new RawOrigin(script, isKeeping);
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve));
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** All that all connections received, in order of their opening. */
  get received(): string {
    return this.connections.map(({ received }) => received).join('');
  }

  /** The connection of that index, once it is there. */
  async connection(index = 0): Promise<OriginConnection> {
    await this.#signal.until(
      () => this.connections.length > index,
      () => `connection ${index} at the origin, ${this.connections.length} so far`,
    );
    return this.connections[index] as OriginConnection;
  }

  async untilConnections(count: number): Promise<void> {
    await this.connection(count - 1);
  }

  stop(): void {
    for (const { socket } of this.connections) socket.destroy();
    this.#server.close();
  }
}
