/**
 * A data plane on a free port with a real snapshot, in front of a recording origin. Time stands still
 * unless a test moves it. The endpoint is 10.0.0.7:8080, the remote is whoever the listener says.
 */

import { randomFillSync } from 'node:crypto';
import { formatProblem } from '../../src/control/decode/problem.ts';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { Identity, ProxyId } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import { PLAIN_DATAGRAMS } from '../../src/platform/datagrams.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { PLAIN_SOCKETS, type Sockets } from '../../src/platform/sockets.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { DataPlane } from '../../src/proxy/data_plane.ts';
import {
  type Behaviour,
  DEFAULT_BEHAVIOUR,
  type ListenerOptions,
} from '../../src/proxy/plane/options.ts';
import type { CiliumIdentities } from '../../src/redirect/cilium_maps.ts';
import type { RedirectRecords } from '../../src/redirect/records.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { BundleStore } from './bundle_store.ts';
import { CountingRecorder } from './counting_recorder.ts';
import { ManualPlatform } from './manual_platform.ts';
import { RawClient, type RawClientOptions } from './raw_client.ts';
import { type OriginScript, RawOrigin } from './raw_origin.ts';

export const ENDPOINTS = `
endpoints:
  - { name: default/api, ip: 10.0.0.7, labels: { app: api } }
  - { name: default/client, ip: 10.0.0.8, labels: { app: client }, identity: 43 }
  - { name: default/other, ip: 10.0.0.9, labels: { app: other }, identity: 44 }
`;

/** `toPorts` entries of one ingress rule from the client to the api, as flow YAML after "- ports". */
export function cnp(
  rules: string,
  options: { name?: string; from?: string; annotations?: string } = {},
): string {
  const { name = 'p', from = 'fromEndpoints: [{ matchLabels: { app: client } }]' } = options;
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: default, annotations: { ${options.annotations ?? ''} } }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - ${from}
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }]${rules} }]
`;
}

/** The client may send these: "GET /a", "* /b" or "POST". */
export function allowHttp(...rules: string[]): string {
  const http = rules.map((rule) => {
    const [method = '*', path] = rule.split(' ');
    const parts = [
      ...(method === '*' ? [] : [`method: ${method}`]),
      ...(path === undefined ? [] : [`path: "${path}"`]),
    ];
    return `{ ${parts.join(', ')} }`;
  });
  return cnp(`, rules: { http: [${http.join(', ')}] }`);
}

export interface RigOptions {
  readonly sockets?: Sockets;
  readonly records?: RedirectRecords;
  readonly cilium?: CiliumIdentities;
  readonly policy?: string;
  readonly endpoints?: string;
  readonly limits?: Partial<Limits>;
  readonly behaviour?: Partial<Behaviour>;
  readonly listener?: Partial<ListenerOptions>;
  /** Where to connect; by default to the origin. */
  readonly upstreamPort?: number;
  readonly script?: OriginScript;
  readonly isOriginKeeping?: boolean;
  readonly platform?: Platform;
  /** Stands before the store's: for faults of ours. */
  readonly currentSnapshot?: (real: () => PolicySnapshot) => PolicySnapshot;
}

const rigs: Rig[] = [];

/** Ended by `closeRigs`, which every test file calls after each test. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const origin = await RawOrigin.start(options.script, options.isOriginKeeping ?? true);
  const rig = new Rig(origin, options);
  rigs.push(rig);
  await rig.start();
  return rig;
}

/** Also throws when a rig has seen an internal error that its test did not take. */
export function closeRigs(): void {
  const errors = rigs.splice(0).flatMap((rig) => rig.stop());
  if (errors.length > 0) throw errors[0];
}

export class Rig {
  readonly origin: RawOrigin;
  readonly recorder = new CountingRecorder();
  readonly store: BundleStore;
  readonly plane: DataPlane;
  readonly time = new ManualPlatform();
  port = 0;
  readonly #clients: RawClient[] = [];
  readonly #endpoints: string;

  constructor(origin: RawOrigin, options: RigOptions) {
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.origin = origin;
    this.#endpoints = options.endpoints ?? ENDPOINTS;
    this.store = new BundleStore({ regexEngine: createRe2Engine(limits), limits });
    if (options.policy !== '') this.update(options.policy ?? allowHttp('*'));
    const real = (): PolicySnapshot => this.store.current();
    this.plane = new DataPlane({
      listeners: [listenerOptions(options, origin.port)],
      limits,
      behaviour: { ...DEFAULT_BEHAVIOUR, ...options.behaviour },
      currentSnapshot: () => options.currentSnapshot?.(real) ?? real(),
      recorder: this.recorder,
      platform: options.platform ?? this.time,
      sockets: options.sockets ?? PLAIN_SOCKETS,
      names: null,
      datagrams: PLAIN_DATAGRAMS,
      randomFill: randomFillSync,
      records: options.records ?? null,
      cilium: options.cilium ?? null,
    });
  }

  async start(): Promise<void> {
    const [bound] = await this.plane.start();
    this.port = bound?.address.port ?? 0;
  }

  /** Puts a policy in force, as a reload does; throws when it is rejected. */
  update(policy: string): void {
    this.updateAll({ policy, endpoints: this.#endpoints });
  }

  /** The endpoints, too. */
  updateAll({ policy, endpoints }: { readonly policy: string; readonly endpoints: string }): void {
    const result = this.store.updateBundle({
      policies: [{ path: 'policy.yaml', text: policy }],
      endpoints: { path: 'endpoints.yaml', text: endpoints },
      secrets: null,
    });
    if (result.kind === 'rejected') throw new Error(result.problems.map(formatProblem).join('\n'));
    this.plane?.policyChanged();
  }

  async client(options: RawClientOptions = {}): Promise<RawClient> {
    const client = await RawClient.open(this.port, options);
    this.#clients.push(client);
    return client;
  }

  /** A connection of its own: sends and waits for the end. */
  async exchange(bytes: string | Buffer): Promise<{ readonly text: string; readonly how: string }> {
    const client = await this.client();
    client.send(bytes);
    return client.over();
  }

  /** What the plane failed at; taking it is saying that it was meant. */
  takeInternalErrors(): readonly unknown[] {
    return this.recorder.internalErrors.splice(0);
  }

  stop(): readonly unknown[] {
    for (const client of this.#clients) client.close();
    this.plane.stop();
    this.origin.stop();
    return this.takeInternalErrors();
  }
}

export function address(text: string): SocketAddress {
  const parsed = parseSocketAddress(text);
  if (parsed === null) throw new Error(`no address: ${text}`);
  return parsed;
}

export function listenerOptions(options: RigOptions, originPort: number): ListenerOptions {
  return {
    name: 'api',
    address: address('127.0.0.1:0'),
    direction: 'ingress',
    isTransparent: false,
    clientAddress: 'always',
    proxyId: 0 as ProxyId,
    destination: { kind: 'fixed', address: address('10.0.0.7:8080') },
    upstream: {
      kind: 'fixed',
      address: address(`127.0.0.1:${options.upstreamPort ?? originPort}`),
    },
    identity: { kind: 'fixed', identity: 43 as Identity },
    isPortShared: false,
    ...options.listener,
  };
}
