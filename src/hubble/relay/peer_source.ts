/** Nodes as a service Peer tells them: asked again whenever its answer ends. */
import { create, fromBinary } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import {
  type ChangeNotification,
  ChangeNotificationSchema,
  ChangeNotificationType,
  NotifyRequestSchema,
} from '../generated/peer/peer_pb.ts';
import { connect, type NodeTrust, readBytes } from './node_client.ts';
import type { RelayPeer } from './node_link.ts';

export interface PeerSourceOptions {
  readonly address: string;
  readonly serverName: string;
  readonly serverNameOf: (node: string) => string;
  readonly trust: NodeTrust;
  readonly retryMs: number;
  readonly onPeers: (peers: ReadonlyMap<string, RelayPeer>) => void;
  readonly onProblem: (problem: string) => void;
}

const NOTIFY = '/peer.Peer/Notify';
const FIRST_PAUSE_MS = 500;
/** Nothing says where the list of a new answer ends: those that it did not name until then are gone. */
const LIST_MS = 5000;
const DEFAULT_PORT = 4244;

export class PeerSource {
  readonly #options: PeerSourceOptions;
  #peers = new Map<string, RelayPeer>();
  #client: Client | null = null;
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = FIRST_PAUSE_MS;
  #problem = '';
  #isClosed = false;

  constructor(options: PeerSourceOptions) {
    this.#options = options;
    this.#ask();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#client?.close();
    this.#client = null;
  }

  #ask(): void {
    const { address, serverName, trust } = this.#options;
    const told = new Set<string>();
    try {
      this.#client = connect(address, serverName, trust);
    } catch (error) {
      this.#retry(error instanceof Error ? error.message : String(error));
      return;
    }
    const client = this.#client;
    const call = readBytes(client, NOTIFY, NotifyRequestSchema, create(NotifyRequestSchema, {}));
    const forget = setTimeout(() => this.#keepOnly(told), LIST_MS).unref();
    let isOver = false;
    const end = (problem: string): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(forget);
      client.close();
      this.#retry(problem);
    };
    call.on('data', (bytes: Buffer) => {
      this.#pauseMs = FIRST_PAUSE_MS;
      this.#problem = '';
      try {
        const change = fromBinary(ChangeNotificationSchema, bytes);
        told.add(change.name);
        this.#apply(change);
      } catch {
        call.cancel();
      }
    });
    call.on('error', (error) => end(`${address}: ${error.message}`));
    call.on('end', () => end(`${address}: the list of nodes ended`));
  }

  #apply({ name, address, type, tls }: ChangeNotification): void {
    const { serverNameOf, onPeers } = this.#options;
    if (type === ChangeNotificationType.PEER_DELETED) this.#peers.delete(name);
    else {
      this.#peers.set(name, {
        name,
        // A node that no relay reaches elsewhere is where it was asked.
        address: address === '' ? this.#options.address : withPort(address),
        serverName: tls === undefined ? serverNameOf(name) : tls.serverName,
      });
    }
    onPeers(new Map(this.#peers));
  }

  #keepOnly(told: ReadonlySet<string>): void {
    const kept = [...this.#peers].filter(([name]) => told.has(name));
    if (kept.length === this.#peers.size) return;
    this.#peers = new Map(kept);
    this.#options.onPeers(new Map(kept));
  }

  #retry(problem: string): void {
    if (this.#isClosed) return;
    if (problem !== this.#problem) this.#options.onProblem(problem);
    this.#problem = problem;
    this.#timer = setTimeout(() => this.#ask(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#options.retryMs);
  }
}

function withPort(address: string): string {
  const hasPort = address.startsWith('unix:') || /^[^:]+:[0-9]+$|\]:[0-9]+$/.test(address);
  if (hasPort) return address;
  return address.includes(':') && !address.startsWith('[')
    ? `[${address}]:${DEFAULT_PORT}`
    : `${address}:${DEFAULT_PORT}`;
}
