/** A relay before a server that keeps what the proxy sends it, connection by connection. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface TappedConnection {
  /** From which the server sees it come. */
  port: number;
  readonly chunks: Buffer[];
}

export class Tap {
  readonly connections: TappedConnection[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(serverPort: number) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (inner) => {
      const outer = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true });
      const tapped: TappedConnection = { port: 0, chunks: [] };
      this.connections.push(tapped);
      outer.on('connect', () => {
        tapped.port = outer.localPort ?? 0;
      });
      inner.on('data', (chunk: Buffer) => tapped.chunks.push(chunk));
      this.#join(inner, outer);
      this.#join(outer, inner);
    });
  }

  static async start(serverPort: number): Promise<Tap> {
    const tap = new Tap(serverPort);
    await new Promise<void>((resolve) => tap.#server.listen(0, '127.0.0.1', resolve));
    return tap;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (chunk) => to.write(chunk));
    from.on('end', () => to.end());
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroySoon();
    });
  }
}
