/** Hubble's metrics over HTTP, on a port of their own: `GET /metrics`, and nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { formatSocketAddress, type SocketAddress } from '../../model/address.ts';
import type { Limits } from '../../model/limits.ts';
import {
  EXPOSITION_TYPES,
  type ExposedFamily,
  type ExpositionFormat,
  expositionText,
} from '../../observe/metrics/exposition.ts';

export interface MetricsServerOptions {
  readonly address: SocketAddress;
  /** Who asks for OpenMetrics gets it. */
  readonly hasOpenMetrics: boolean;
  readonly families: () => readonly ExposedFamily[];
  readonly limits: Pick<Limits, 'adminTimeoutMs' | 'adminConnectionCountMax' | 'headBytesMax'>;
  readonly onError: (error: unknown) => void;
}

export class MetricsServer {
  readonly #options: MetricsServerOptions;
  readonly #server: Server;
  /** Who asks while a text is made gets the same one. */
  readonly #inHand = new Map<ExpositionFormat, Promise<string>>();

  constructor(options: MetricsServerOptions) {
    this.#options = options;
    const { adminTimeoutMs, adminConnectionCountMax, headBytesMax } = options.limits;
    this.#server = createServer(
      {
        maxHeaderSize: headBytesMax,
        headersTimeout: adminTimeoutMs,
        requestTimeout: adminTimeoutMs,
        keepAliveTimeout: adminTimeoutMs,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = adminConnectionCountMax;
    // Who does not read is let go, too.
    this.#server.setTimeout(adminTimeoutMs, (socket) => socket.destroy());
  }

  /** "127.0.0.1:9965", with the port that was bound. Rejects when it cannot be. */
  listen(): Promise<string> {
    const { ip, port } = this.#options.address;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: ip, port }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#options.onError(error));
        const bound = this.#server.address();
        const isBound = bound !== null && typeof bound === 'object';
        resolve(formatSocketAddress(ip, isBound ? bound.port : port));
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = ''] = (request.url ?? '').split('?');
    const isHead = request.method === 'HEAD';
    if (path !== '/metrics') {
      send(response, 404, 'text/plain; charset=utf-8', 'the metrics are at /metrics\n', isHead);
      return;
    }
    if (request.method !== 'GET' && !isHead) {
      response.setHeader('allow', 'GET, HEAD');
      send(response, 405, 'text/plain; charset=utf-8', 'allowed: GET, HEAD\n', isHead);
      return;
    }
    const format = this.#formatFor(request);
    try {
      send(response, 200, EXPOSITION_TYPES[format], await this.#text(format), isHead);
    } catch (error) {
      this.#options.onError(error);
      response.destroy();
    }
  }

  #formatFor({ headers }: IncomingMessage): ExpositionFormat {
    const isAsked = headers.accept?.includes('application/openmetrics-text') === true;
    return isAsked && this.#options.hasOpenMetrics ? 'openmetrics' : 'prometheus';
  }

  #text(format: ExpositionFormat): Promise<string> {
    const inHand = this.#inHand.get(format);
    if (inHand !== undefined) return inHand;
    const text = expositionText(this.#options.families(), format).finally(() =>
      this.#inHand.delete(format),
    );
    this.#inHand.set(format, text);
    return text;
  }
}

function send(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  isHead: boolean,
): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': bytes.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(isHead ? undefined : bytes);
}
