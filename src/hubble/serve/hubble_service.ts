/**
 * What a node tells clients of Hubble: takes batches of flows, keeps the last ones, hands them on to those who want all,
 * and wakes those who follow.
 *
 *     batch ──► FlowStore ──► ObserverService ──► clients
 *           └─► each HubbleSink, when there is one
 */
import type { Server } from '@grpc/grpc-js';
import type { HubbleServeSettings } from '../../model/hubble_settings.ts';
import type { Limits } from '../../model/limits.ts';
import { FlowBatch } from '../../observe/flow/wire/flow_batch.ts';
import type { Clock } from '../../platform/platform.ts';
import { searchCompiler } from '../../regex/search.ts';
import { type NodeNaming, nodeNameOf } from '../flow/hubble_flows.ts';
import { LostEventSource } from '../generated/flow/flow_pb.ts';
import { file_observer_observer, Observer } from '../generated/observer/observer_pb.ts';
import { file_peer_peer, Peer } from '../generated/peer/peer_pb.ts';
import type { HubbleSink } from '../hubble_sink.ts';
import { FlowRate } from './flow_rate.ts';
import { FlowStore, type StoredBatch } from './flow_store.ts';
import { serviceDefinition } from './method.ts';
import { Namespaces } from './namespaces.ts';
import { ObserverService } from './observer_service.ts';
import { peerMethods, serverNameOf } from './peer_service.ts';
import { type OpenServer, openServer } from './server_doors.ts';
import { standardServer } from './standard_services.ts';

export interface HubbleServiceOptions {
  readonly settings: HubbleServeSettings;
  readonly limits: Limits;
  readonly version: string;
  readonly sinks: readonly HubbleSink[];
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
  /** What keeps it from serving, or a certificate from being taken. */
  readonly onProblem: (problem: string) => void;
}

/** While nobody wants to see flows, one batch in so long is looked at for its namespaces. */
const LOOK_MS = 100;

export class HubbleService {
  readonly #options: HubbleServiceOptions;
  readonly #naming: NodeNaming & { readonly node: string };
  readonly #store: FlowStore;
  readonly #rate: FlowRate;
  readonly #namespaces: Namespaces;
  readonly #observer: ObserverService;
  readonly #server: Server;
  readonly #lostBatch: FlowBatch;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #open: OpenServer | null = null;

  constructor(options: HubbleServiceOptions) {
    const { settings, limits, version, clock, onError } = options;
    const { cluster, node } = settings;
    const nowMs = (): number => clock.nowMs();
    const startedMs = clock.nowMs();
    const tlsName = settings.tcp?.tls ? serverNameOf(node, cluster) : null;
    this.#options = options;
    this.#naming = { cluster, node, version };
    this.#store = new FlowStore({
      countMax: limits.hubbleRingCountMax,
      bytesMax: limits.hubbleRingBytesMax,
      naming: this.#naming,
      onError,
    });
    this.#rate = new FlowRate(nowMs);
    this.#namespaces = new Namespaces(cluster, nowMs);
    this.#lostBatch = new FlowBatch({ instance: '', node });
    this.#observer = new ObserverService({
      store: this.#store,
      rate: this.#rate,
      namespaces: this.#namespaces,
      naming: this.#naming,
      address: settings.announced,
      tlsName,
      compilePattern: searchCompiler(limits),
      patternCountMax: limits.hubblePatternCountMax,
      streamCountMax: limits.hubbleStreamCountMax,
      lostIntervalMs: limits.hubbleLostIntervalMs,
      wallMs: () => clock.wallMs(),
      uptimeMs: () => clock.nowMs() - startedMs,
    });
    this.#server = standardServer(limits, [file_observer_observer, file_peer_peer]);
    this.#addServices(tlsName);
  }

  /** Addresses that it listens on. What cannot be bound is told as a problem. */
  async start(): Promise<readonly string[]> {
    const { settings, limits, onProblem } = this.#options;
    this.#open = await openServer(this.#server, {
      settings,
      connectionCountMax: limits.hubbleConnectionCountMax,
      onProblem,
    });
    return this.#open.addresses;
  }

  push(bytes: Uint8Array): void {
    const batch = this.#store.push(bytes);
    this.#rate.add(batch.flowCount);
    this.#handOn(batch);
    this.#observer.wake();
  }

  /** Flows that never came here. */
  lose(count: number): void {
    this.#lostBatch.addLost(count);
    this.push(this.#lostBatch.take());
  }

  async stop(): Promise<void> {
    this.#open?.close();
    this.#observer.close();
    this.#server.forceShutdown();
    await Promise.all(this.#options.sinks.map((sink) => sink.close()));
  }

  #handOn(batch: StoredBatch): void {
    const { sinks, clock } = this.#options;
    const isDue = clock.nowMs() - this.#lookedMs >= LOOK_MS;
    if (sinks.length === 0 && !isDue) return;
    this.#lookedMs = clock.nowMs();
    for (const event of this.#store.eventsOf(batch)) {
      if (event.kind === 'lost') {
        for (const sink of sinks) sink.lost(LostEventSource.OBSERVER_EVENTS_QUEUE, event.count);
        continue;
      }
      this.#namespaces.see(event.flow);
      for (const sink of sinks) sink.flow(event.flow, event.of);
    }
  }

  #addServices(tlsName: string | null): void {
    const { announced: address } = this.#options.settings;
    const server = this.#server;
    const name = nodeNameOf(this.#naming.node, this.#naming);
    server.addService(serviceDefinition(Observer), this.#observer.methods);
    server.addService(serviceDefinition(Peer), peerMethods({ name, address, tlsName }));
  }
}
