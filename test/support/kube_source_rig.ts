/** A source that reads a scripted cluster, through the real feed, in time that a test moves. */
import type { DecodeOptions } from '../../src/control/decode/context.ts';
import { nodeLabelFilter, podLabelFilter } from '../../src/control/decode/kube/label_filter.ts';
import { formatHolder } from '../../src/control/decode/place.ts';
import { formatProblem } from '../../src/control/decode/problem.ts';
import { PolicyChecker } from '../../src/control/set/policy_checker.ts';
import type { RefusedDocument } from '../../src/control/set/policy_input.ts';
import { ClusterState } from '../../src/control/source/kube/cluster_state.ts';
import {
  KubernetesSource,
  type KubernetesSourceOptions,
} from '../../src/control/source/kube/kubernetes_source.ts';
import type { GoodObject } from '../../src/control/source/objects/object_set.ts';
import { type FeedRead, type FeedStart, PolicyFeed } from '../../src/control/source/policy_feed.ts';
import { FRESH, type SourceHealth } from '../../src/control/source/source.ts';
import type { IpText } from '../../src/model/address.ts';
import type { Port, ProxyId } from '../../src/model/identity.ts';
import { POLICY_KINDS } from '../../src/model/kube_policy_kinds.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import { decideConnection } from '../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { ManualPlatform } from './manual_platform.ts';
import { ScriptedCluster } from './scripted_cluster.ts';

const regexEngine = createRe2Engine(DEFAULT_LIMITS);

export interface RigOptions
  extends Partial<
    Pick<
      KubernetesSourceOptions,
      | 'invalidPolicy'
      | 'secretsNamespace'
      | 'file'
      | 'filesOf'
      | 'resumed'
      | 'identities'
      | 'report'
    >
  > {
  readonly limits?: Partial<Limits>;
  readonly cluster?: ScriptedCluster;
  readonly platform?: ManualPlatform;
}

/** Two pods that a namespace has: `shop/api` is of this node, 10.0.0.1; `shop/web` of another, 10.0.0.2. */
export class KubeSourceRig {
  readonly cluster: ScriptedCluster;
  readonly platform: ManualPlatform;
  readonly feed: PolicyFeed;
  readonly store: PolicyChecker;
  readonly starts: FeedStart[] = [];
  readonly reads: FeedRead[] = [];
  readonly lostForms: (readonly GoodObject[])[] = [];
  readonly healths: SourceHealth[] = [];
  readonly notices: string[] = [];
  refused: readonly RefusedDocument[] = [];

  constructor(options: RigOptions = {}) {
    this.cluster = options.cluster ?? new ScriptedCluster();
    this.platform = options.platform ?? new ManualPlatform();
    const { clock, timers } = this.platform;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const decode: DecodeOptions = { limits, regexEngine };
    this.store = new PolicyChecker({ limits, regexEngine, isEmptySetOpen: true });
    const source = new KubernetesSource({
      server: 'https://api.test',
      follow: this.cluster.follow,
      policyKinds: POLICY_KINDS,
      identities: options.identities ?? 'own',
      cluster: clusterState(options.identities ?? 'own'),
      secretsNamespace: options.secretsNamespace ?? null,
      listeners: new Map(),
      decode,
      invalidPolicy: options.invalidPolicy ?? 'absent',
      filesOf: options.filesOf ?? null,
      file: options.file ?? null,
      report: options.report ?? null,
      resumed: options.resumed ?? null,
      clock,
      timers,
      events: { onLostForms: (forms) => this.lostForms.push(forms), onStop: () => {} },
    });
    this.feed = new PolicyFeed({
      source,
      store: this.store,
      decode,
      lastGood: null,
      isDeniedAtFirst: true,
      limits,
      wallMs: () => clock.wallMs(),
      events: {
        onReading: () => {},
        onStart: (start) => this.starts.push(start),
        onRead: (read) => this.reads.push(read),
        onRefused: (refused) => {
          this.refused = refused;
        },
        onHealth: (health) => this.healths.push(health),
        onNotice: (message) => this.notices.push(message),
      },
    });
  }

  /** With the two pods. */
  static withPods(options: RigOptions = {}): KubeSourceRig {
    const rig = new KubeSourceRig(options);
    const { cluster } = rig;
    cluster.put('Namespace', { metadata: { name: 'shop', labels: { team: 'a' } } });
    cluster.put('Pod', podObject('shop', 'api', { ip: '10.0.0.1', nodeName: 'n1' }));
    cluster.put('Pod', podObject('shop', 'web', { ip: '10.0.0.2', nodeName: 'n2' }));
    return rig;
  }

  start(): this {
    this.feed.start();
    return this;
  }

  /** Lists all, and waits for what that brings. */
  up(): this {
    this.cluster.up();
    this.settle();
    return this;
  }

  /** Longer than anything is gathered. */
  settle(byMs = 100): void {
    this.platform.advance(byMs);
  }

  get health(): SourceHealth {
    return this.healths.at(-1) ?? FRESH;
  }

  /** "CiliumNetworkPolicy shop/api: last-good: WHY". */
  refusals(): readonly string[] {
    return this.refused.map(({ place, inForce, problems }) => {
      const [first] = problems.map(formatProblem);
      return `${formatHolder(place)}: ${inForce}: ${first}`;
    });
  }

  /** Whether who has the address may connect to the endpoint; null: nothing is known of the endpoint. */
  isOpen(from: string, to: string, port = 80): boolean | null {
    const snapshot = this.store.current();
    const identity = snapshot.ipcache.lookup(from as IpText);
    if (identity === null) throw new Error(`nobody has the address ${from}`);
    const view = snapshot
      .endpointNamed(to)
      ?.port('ingress', 'TCP', port as Port)
      .view(0 as ProxyId, identity);
    return view === undefined ? null : decideConnection(view, '').verdict === 'allow';
  }
}

function clusterState(identities: 'own' | 'cilium'): ClusterState {
  const pods = podLabelFilter([], regexEngine);
  const nodes = nodeLabelFilter([], regexEngine);
  if (pods.kind === 'error' || nodes.kind === 'error') throw new Error('a default that is wrong');
  return new ClusterState({
    cluster: 'default',
    nodeName: 'n1',
    identities,
    hasNodeLabels: false,
    labelFilter: pods.filter,
    nodeLabelFilter: nodes.filter,
  });
}

export function podObject(
  namespace: string,
  name: string,
  {
    ip,
    nodeName,
    labels = { app: name },
  }: {
    readonly ip: string;
    readonly nodeName: string;
    readonly labels?: Readonly<Record<string, string>>;
  },
) {
  return {
    metadata: { namespace, name, labels },
    spec: { nodeName, serviceAccountName: 'default', containers: [] },
    status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] },
  };
}

/** A policy of that kind, as the API has it. */
export function policyObject(
  namespace: string | null,
  name: string,
  spec: unknown,
  metadata: Readonly<Record<string, unknown>> = {},
) {
  return {
    metadata: { ...(namespace === null ? {} : { namespace }), name, generation: 1, ...metadata },
    spec,
  };
}

/** `shop/api` may be reached by pods with this label, and by nobody else. */
export function allowsApp(app: string, port = 80): object {
  return {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      {
        fromEndpoints: [{ matchLabels: { app } }],
        toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }],
      },
    ],
  };
}
