/** The way to an API server, which can be cut, held up and slowed down. TLS passes through it. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class Wire {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isOpen = true;
  #isStalled = false;
  #delayMs = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async to(port: number): Promise<Wire> {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const wire = new Wire(server, address.port);
    server.on('connection', (near) => wire.#accept(near, port));
    return wire;
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Resets what is connected and what tries to. */
  cut(): void {
    this.#isOpen = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Nothing gets through, and nobody is told: a dead entry in a NAT table. */
  stall(): void {
    this.#isStalled = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }

  mend(): void {
    this.#isOpen = true;
    this.#isStalled = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }

  /** Each piece of an answer comes so much later. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }

  #accept(near: Socket, port: number): void {
    if (!this.#isOpen) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(port, '127.0.0.1');
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    near.on('data', (chunk) => far.write(chunk));
    far.on('data', (chunk) => {
      if (this.#delayMs === 0) near.write(chunk);
      else setTimeout(() => near.write(chunk), this.#delayMs);
    });
    const end = (): void => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) {
      socket.on('error', end);
      socket.on('close', end);
    }
    if (this.#isStalled) far.pause();
    else near.resume();
  }
}
