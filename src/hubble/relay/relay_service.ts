/**
 * The flows of many nodes at one place:
 *
 *     --node, --nodes-file ─────────► ┐
 *     service Peer of a node ───────► Nodes ──► RelayObserver ──► clients
 *     names of a headless Service ──► ┘
 */
import type { Server } from '@grpc/grpc-js';
import type { HubbleServeSettings } from '../../model/hubble_settings.ts';
import type { Limits } from '../../model/limits.ts';
import type { Clock } from '../../platform/platform.ts';
import { file_observer_observer } from '../generated/observer/observer_pb.ts';
import { type OpenServer, openServer } from '../serve/server_doors.ts';
import { standardServer } from '../serve/standard_services.ts';
import type { NodeTlsFiles } from './node_client.ts';
import { NodeFile } from './node_file.ts';
import type { RelayPeer } from './node_link.ts';
import { anyNodeName, nodeServerName } from './node_text.ts';
import { Nodes } from './nodes.ts';
import { PeerNames } from './peer_names.ts';
import { PeerSource } from './peer_source.ts';
import { RelayObserver } from './relay_observer.ts';

export interface RelaySettings {
  readonly listen: Pick<HubbleServeSettings, 'socket' | 'tcp'>;
  readonly nodes: readonly RelayPeer[];
  readonly nodesFile: string | null;
  /** Addresses. */
  readonly peerServices: readonly string[];
  readonly peerNames: readonly { readonly host: string; readonly port: number }[];
  readonly cluster: string;
  /** Of the nodes; null: plain text. */
  readonly tls: NodeTlsFiles | null;
  readonly isPlainEverywhere: boolean;
  readonly retryMs: number;
  readonly sortCountMax: number;
  readonly drainMs: number;
}

export interface RelayServiceOptions {
  readonly settings: RelaySettings;
  readonly limits: Limits;
  readonly version: string;
  readonly clock: Clock;
  readonly onProblem: (problem: string) => void;
}

const NODE_COUNT_MAX = 5000;
const RESPONSE_BYTES_MAX = 4 * 1024 * 1024;
const FILE_INTERVAL_MS = 1000;
const NAMES_INTERVAL_MS = 10_000;

export class RelayService {
  readonly #options: RelayServiceOptions;
  readonly #nodes: Nodes;
  readonly #observer: RelayObserver;
  readonly #server: Server;
  readonly #sources: { close(): void }[] = [];
  #open: OpenServer | null = null;

  constructor(options: RelayServiceOptions) {
    const { settings, limits, version, clock } = options;
    const { tls, isPlainEverywhere, retryMs, sortCountMax, drainMs } = settings;
    this.#options = options;
    this.#nodes = new Nodes({
      trust: { tls, isPlainEverywhere, responseBytesMax: RESPONSE_BYTES_MAX },
      retryMs,
      nodeCountMax: NODE_COUNT_MAX,
    });
    this.#observer = new RelayObserver({
      ...{ nodes: this.#nodes, version, sortCountMax, drainMs },
      hasTls: tls !== null,
      streamCountMax: limits.hubbleStreamCountMax,
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
    });
    this.#server = standardServer(limits, [file_observer_observer]);
    this.#server.addService(this.#observer.definition, this.#observer.methods);
  }

  /** Addresses that it listens on. What cannot be bound is told as a problem. */
  async start(): Promise<readonly string[]> {
    this.#startSources();
    const { settings, limits, onProblem } = this.#options;
    this.#open = await openServer(this.#server, {
      settings: settings.listen,
      connectionCountMax: limits.hubbleConnectionCountMax,
      onProblem,
    });
    return this.#open.addresses;
  }

  stop(): void {
    for (const source of this.#sources) source.close();
    this.#open?.close();
    this.#observer.close();
    this.#nodes.close();
    this.#server.forceShutdown();
  }

  #startSources(): void {
    const { settings, onProblem } = this.#options;
    const { nodes, nodesFile, peerServices, peerNames, cluster } = settings;
    const setter =
      (source: string) =>
      (peers: ReadonlyMap<string, RelayPeer>): void =>
        this.#nodes.set(source, peers);
    setter('list')(new Map(nodes.map((peer) => [peer.name, peer])));
    if (nodesFile !== null) {
      const onPeers = setter(`file ${nodesFile}`);
      const file = { path: nodesFile, cluster, intervalMs: FILE_INTERVAL_MS };
      this.#sources.push(new NodeFile({ ...file, onPeers, onProblem }));
    }
    const asked = {
      serverName: anyNodeName(cluster),
      serverNameOf: (name: string) => nodeServerName(name, cluster),
      trust: this.#nodes.trust,
      retryMs: settings.retryMs,
      onProblem,
    };
    for (const address of peerServices) {
      const onPeers = setter(`peer ${address}`);
      this.#sources.push(new PeerSource({ ...asked, address, onPeers }));
    }
    for (const { host, port } of peerNames) {
      const onPeers = setter(`names ${host}:${port}`);
      const bounds = { intervalMs: NAMES_INTERVAL_MS, countMax: NODE_COUNT_MAX };
      this.#sources.push(new PeerNames({ ...asked, ...bounds, host, port, onPeers }));
    }
  }
}
