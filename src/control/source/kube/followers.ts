/** What of a cluster is followed: policies, who and what is in it, and the secrets that policies name. */
import type { PolicyKindName } from '../../../model/kube_policy_kinds.ts';
import type { ClusterKind, IdentitySource } from './cluster_kinds.ts';
import { CLUSTER_KINDS, clusterKindsOf } from './cluster_kinds.ts';
import type { Reported } from './cluster_report.ts';
import type { ClusterState } from './cluster_state.ts';
import { everyOne, type Follow, type Followed } from './follow.ts';
import { KindStates } from './kind_states.ts';
import { type ObjectHolder, sinksOf } from './kind_versions.ts';
import { POLICY_KUBE_KINDS, type PolicyQueue } from './policy_queue.ts';

export interface FollowersOptions {
  readonly follow: Follow;
  readonly policyKinds: readonly PolicyKindName[];
  readonly queue: PolicyQueue;
  readonly identities: IdentitySource;
  readonly cluster: ClusterState;
  /** Is told of each policy as it is, with its status; null: nobody reports. */
  readonly report: Pick<Reported, 'put' | 'removed'> | null;
  readonly onChange: (isPolicy: boolean) => void;
  readonly onHealth: () => void;
}

export class Followers {
  readonly states = new KindStates();
  readonly #options: FollowersOptions;
  readonly #policies: readonly Followed[];
  #stops: (() => void)[] = [];
  #policyStops: (() => void)[] = [];

  constructor(options: FollowersOptions) {
    const { policyKinds, queue, report } = options;
    this.#options = options;
    this.#policies = policyKinds.flatMap((name) => {
      const kinds = POLICY_KUBE_KINDS[name];
      const holder = queue.holderOf(name);
      const both = report === null ? holder : withReport(holder, name, report);
      const sinks = sinksOf(both, kinds.length);
      return kinds.map((kind, index) => everyOne(kind, sinks[index] as Followed['sink']));
    });
  }

  start(): void {
    this.followPolicies();
    this.#stops = clusterFollowed(this.#options).map((followed) => this.#follow(followed, CLUSTER));
  }

  /** All of them are listed, once more if they have been. */
  followPolicies(): void {
    for (const stop of this.#policyStops) stop();
    this.#policyStops = this.#policies.map((followed) => this.#follow(followed, POLICY));
  }

  /** A secret that policies name. No set waits for it but the first. */
  readonly followSecret: Follow = (followed) => this.#follow(followed, SECRET);

  stop(): void {
    for (const stop of [...this.#stops, ...this.#policyStops]) stop();
    this.#stops = [];
    this.#policyStops = [];
  }

  #follow(followed: Followed, { isAwaited, isPolicy }: Sort): () => void {
    const { follow, onChange, onHealth } = this.#options;
    const events = { onChange: () => onChange(isPolicy), onHealth };
    const { followed: watched, forget } = this.states.add(followed, { isAwaited, events });
    const stop = follow(watched);
    return () => {
      stop();
      forget();
      // What may be old of it is nobody's concern any more.
      onHealth();
    };
  }
}

interface Sort {
  /** See `KindStates.add`. */
  readonly isAwaited: boolean;
  readonly isPolicy: boolean;
}

const POLICY: Sort = { isAwaited: true, isPolicy: true };
const CLUSTER: Sort = { isAwaited: true, isPolicy: false };
const SECRET: Sort = { isAwaited: false, isPolicy: true };

function clusterFollowed({ cluster, identities }: FollowersOptions): readonly Followed[] {
  return clusterKindsOf(identities).flatMap((name) => {
    const holder: ObjectHolder = {
      put: (seen) => cluster.put(name, seen),
      removed: (object) => cluster.removed(name, object),
    };
    return followedVersions(name, holder, (keys) => cluster.listed(name, keys));
  });
}

function withReport(
  holder: ObjectHolder,
  apiKind: PolicyKindName,
  report: Pick<Reported, 'put' | 'removed'>,
): ObjectHolder {
  return {
    put: (seen) => {
      const { namespace, name, uid, object } = seen;
      holder.put(seen);
      report.put({ apiKind, namespace, name, uid }, object);
    },
    removed: (object) => {
      holder.removed(object);
      report.removed({ apiKind, ...object, uid: null });
    },
  };
}

function followedVersions(
  name: ClusterKind,
  holder: ObjectHolder,
  listed: Followed['sink']['listed'],
): readonly Followed[] {
  const kinds = CLUSTER_KINDS[name];
  const [only] = kinds;
  // Who has one version needs no second list of names of fifty thousand pods.
  if (kinds.length === 1 && only !== undefined) {
    return [everyOne(only, { ...holder, listed, health: () => {} })];
  }
  const sinks = sinksOf(holder, kinds.length);
  return kinds.map((kind, index) => everyOne(kind, sinks[index] as Followed['sink']));
}
