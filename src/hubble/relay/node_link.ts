/** A node and the connection to it: made again after each end, with longer and longer pauses. */
import { create } from '@bufbuild/protobuf';
import { type Client, connectivityState, type ServiceError, status } from '@grpc/grpc-js';
import {
  HealthCheckRequestSchema,
  HealthCheckResponseSchema,
} from '../generated/health/health_pb.ts';
import { ask, connect, type NodeTrust } from './node_client.ts';

export interface RelayPeer {
  /** "cluster/node", or its address. */
  readonly name: string;
  readonly address: string;
  readonly serverName: string;
}

export interface NodeLinkOptions {
  readonly peer: RelayPeer;
  readonly trust: NodeTrust;
  /** The longest pause. */
  readonly retryMs: number;
  readonly onChange: () => void;
}

const FIRST_PAUSE_MS = 500;
const CONNECT_MS = 5000;
/** A node that vanished without a word is noticed. */
const HEALTH_INTERVAL_MS = 5000;
const HEALTH_MS = 5000;
const HEALTH = {
  path: '/grpc.health.v1.Health/Check',
  input: HealthCheckRequestSchema,
  output: HealthCheckResponseSchema,
};

export class NodeLink {
  readonly peer: RelayPeer;
  readonly #options: NodeLinkOptions;
  #client: Client | null = null;
  /** While it is being connected. */
  #pending: Client | null = null;
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = FIRST_PAUSE_MS;
  #problem = '';
  #isClosed = false;

  constructor(options: NodeLinkOptions) {
    this.#options = options;
    this.peer = options.peer;
    this.#connect();
  }

  /** Null: it is not available. */
  get client(): Client | null {
    return this.#client;
  }

  /** Why it is not; "" while nothing is known. */
  get problem(): string {
    return this.#problem;
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#client?.close();
    this.#pending?.close();
    this.#client = null;
  }

  #connect(): void {
    const { peer, trust } = this.#options;
    let client: Client;
    try {
      client = connect(peer.address, peer.serverName, trust);
    } catch (error) {
      this.#retry(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#pending = client;
    client.waitForReady(Date.now() + CONNECT_MS, (error) => {
      this.#pending = null;
      if (this.#isClosed) return;
      if (error instanceof Error) {
        client.close();
        this.#retry(`${peer.address}: nobody answers`);
        return;
      }
      this.#client = client;
      this.#problem = '';
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#watch(client);
      this.#checkLater(client);
      this.#options.onChange();
    });
  }

  /** Whatever follows READY is the end of this connection. */
  #watch(client: Client): void {
    const channel = client.getChannel();
    channel.watchConnectivityState(connectivityState.READY, Number.POSITIVE_INFINITY, () =>
      this.#lose(client, 'the connection ended'),
    );
  }

  #checkLater(client: Client): void {
    this.#timer = setTimeout(() => {
      const request = create(HealthCheckRequestSchema, {});
      ask(client, HEALTH, request, HEALTH_MS).then(
        () => this.#checked(client, null),
        (error: ServiceError) => this.#checked(client, error),
      );
    }, HEALTH_INTERVAL_MS).unref();
  }

  #checked(client: Client, error: ServiceError | null): void {
    if (this.#client !== client) return;
    const isSilent =
      error !== null &&
      (error.code === status.DEADLINE_EXCEEDED || error.code === status.UNAVAILABLE);
    if (isSilent) this.#lose(client, error.details);
    else this.#checkLater(client);
  }

  #lose(client: Client, problem: string): void {
    if (this.#client !== client) return;
    this.#client = null;
    client.close();
    this.#retry(problem);
    this.#options.onChange();
  }

  #retry(problem: string): void {
    this.#problem = problem;
    if (this.#isClosed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#options.retryMs);
  }
}
