/**
 * What became of policies, written back to the cluster that they are from. Of many processes one writes for the cluster
 * (`kube/election`): conditions of policies, and Events of those that are refused. What is one node's own is told by
 * that node. Nothing that is written here changes a policy, so a source that is told of it has nothing to do.
 *
 *     KubernetesSource ── put, removed, taken, inForce ──► PolicyStatus ──► PATCH .../status
 *            │                                                  │ said otherwise than before
 *            └───────── deniedPods, nodeProblem ───────────► EventBook ──► POST, PATCH events
 */
import type { KubeClient, KubeReply } from '../../kube/client.ts';
import { Election } from '../../kube/election/election.ts';
import type { Limits } from '../../model/limits.ts';
import type { Platform } from '../../platform/platform.ts';
import type { ObjectRef } from '../decode/policy_object.ts';
import { formatProblem, type Problem } from '../decode/problem.ts';
import type { RefusedDocument } from '../set/policy_input.ts';
import { EventBook } from './event_book.ts';
import type { EventSubject } from './kube_event.ts';
import { PacedWrites, TRIES_MAX } from './paced_writes.ts';
import { type PolicyCondition, refusedMessage } from './policy_conditions.ts';
import { PolicyStatus } from './policy_status.ts';

export interface PolicyReportOptions {
  readonly client: Pick<KubeClient, 'request'>;
  readonly platform: Platform;
  readonly limits: ReportLimits;
  /** From 0 to 1, without 1. */
  readonly random: () => number;
  readonly nodeName: string;
  /** No other process, before or now, has the same. */
  readonly processId: string;
  /** Where the Lease is. */
  readonly namespace: string;
  readonly events: ReportEvents;
}

export type ReportLimits = Pick<
  Limits,
  | 'kubeLeaseLookMs'
  | 'kubeStatusIntervalMs'
  | 'kubeEventIntervalMs'
  | 'kubeEventRepeatMs'
  | 'kubeEventCountMax'
>;

export interface ReportEvents {
  /** This process writes for the cluster, or does not any more. */
  onElected(isElected: boolean): void;
  /** One line: what cannot be written, and why. Each once. */
  onProblem(problem: string): void;
  /** Of so many policies the status cannot be written, as the API server has a fault with each; by this process. */
  onUnwritten(count: number): void;
}

/** A pod of this node that is denied everything because of a policy that is not in force. */
export interface DeniedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | null;
  /** One line. */
  readonly because: string;
}

export interface NodeProblem {
  /** "PolicyStale". */
  readonly reason: string;
  /** One line. */
  readonly message: string;
}

export const LEASE_NAME = 'sallyport-report';

/** What did not stay is written again, if it is time. */
const SWEEP_MS = 60_000;

const API_VERSIONS: ReadonlyMap<string, string> = new Map([
  ['CiliumNetworkPolicy', 'cilium.io/v2'],
  ['CiliumClusterwideNetworkPolicy', 'cilium.io/v2'],
  ['CiliumCIDRGroup', 'cilium.io/v2'],
  ['NetworkPolicy', 'networking.k8s.io/v1'],
  ['ClusterNetworkPolicy', 'policy.networking.k8s.io/v1alpha2'],
  ['AdminNetworkPolicy', 'policy.networking.k8s.io/v1alpha1'],
  ['BaselineAdminNetworkPolicy', 'policy.networking.k8s.io/v1alpha1'],
]);

export class PolicyReport {
  readonly #options: PolicyReportOptions;
  readonly #election: Election;
  readonly #status: PolicyStatus;
  readonly #events: EventBook;
  readonly #statusWrites: PacedWrites;
  readonly #eventWrites: PacedWrites;
  readonly #problems = new Set<string>();
  #term: AbortSignal | null = null;
  /** Put, and not taken over. */
  #fresh = new Set<string>();
  /** Taken over, and not in force. */
  #taken = new Set<string>();
  #refused: ReadonlyMap<string, RefusedDocument> = new Map();
  #denied: ReadonlyMap<string, DeniedPod> = new Map();
  #nodeProblem: NodeProblem | null = null;
  #proxyProblem: string | null = null;
  #unwrittenCount = 0;
  #cancelSweep: () => void = () => {};

  constructor(options: PolicyReportOptions) {
    const { client, platform, limits, random, nodeName, processId, namespace } = options;
    const { clock, timers } = platform;
    this.#options = options;
    const writes = (intervalMs: number): PacedWrites =>
      new PacedWrites({ client, timers, intervalMs });
    this.#statusWrites = writes(limits.kubeStatusIntervalMs);
    this.#eventWrites = writes(limits.kubeEventIntervalMs);
    this.#events = new EventBook({
      writes: this.#eventWrites,
      clock,
      timers,
      host: nodeName,
      repeatMs: limits.kubeEventRepeatMs,
      countMax: limits.kubeEventCountMax,
      onRefused: (reply) => this.#refusedWrite('Events cannot be written', reply),
    });
    this.#election = new Election({
      client,
      namespace,
      name: LEASE_NAME,
      holder: `${nodeName}_${processId}`,
      clock,
      timers,
      random,
      lookMs: limits.kubeLeaseLookMs,
      events: {
        onElected: (term) => this.#elected(term),
        onProblem: (problem) => this.#tellProblem(problem),
      },
    });
    this.#status = new PolicyStatus({
      writes: this.#statusWrites,
      clock,
      term: () => (this.#election.isElected ? this.#term : null),
      onSaid: (ref, said, before) => this.#tellSaid(ref, said, before),
      onRefused: (reply) => this.#refusedWrite('the status of policies cannot be written', reply),
      onGivenUp: (ref, reply) => this.#gaveUp(ref, reply),
      onGivenUpCount: (count) => {
        this.#unwrittenCount = count;
        this.#tellUnwritten();
      },
    });
  }

  start(): void {
    this.#election.start();
    this.#cancelSweep = this.#options.platform.timers.every(SWEEP_MS, () => this.#status.addAll());
  }

  /** A policy as it is now: whatever has changed of it. */
  put(ref: ObjectRef, object: unknown): void {
    const key = keyOf(ref);
    this.#status.put(key, ref, object);
    this.#fresh.add(key);
  }

  removed(ref: ObjectRef): void {
    const key = keyOf(ref);
    this.#status.remove(key);
    this.#fresh.delete(key);
    this.#taken.delete(key);
  }

  /** What was put until now is part of what is offered next. */
  taken(): void {
    for (const key of this.#fresh) this.#taken.add(key);
    this.#fresh.clear();
  }

  /** What was taken over until now is in force, but for these. */
  inForce(refused: readonly RefusedDocument[]): void {
    const before = this.#refused;
    const now = new Map<string, RefusedDocument>();
    for (const one of refused) if (one.place.kind === 'object') now.set(keyOf(one.place), one);
    this.#refused = now;
    for (const [key, one] of now) {
      if (one !== before.get(key) || this.#taken.has(key)) this.#standRefused(key, one);
    }
    const changed = [...before.keys(), ...this.#taken].filter((key) => !now.has(key));
    for (const key of changed) this.#status.stand(key, { kind: 'in-force' });
    this.#taken.clear();
  }

  /** Those of this node. */
  deniedPods(pods: readonly DeniedPod[]): void {
    const before = this.#denied;
    this.#denied = new Map(pods.map((pod) => [`${pod.namespace}/${pod.name}`, pod]));
    for (const [key, { namespace, name, uid, because }] of this.#denied) {
      const known = before.get(key);
      if (known?.uid === uid && known.because === because) continue;
      const about = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid };
      this.#events.tell({ about, type: 'Warning', reason: 'DefaultDeny', message: because });
    }
  }

  /** What is wrong with the proxy of this node; null: nothing. */
  nodeProblem(problem: NodeProblem | null): void {
    const before = this.#nodeProblem;
    this.#nodeProblem = problem;
    if (problem !== null) {
      if (problem.reason === before?.reason && problem.message === before.message) return;
      this.#events.tell({ ...problem, about: this.#node(), type: 'Warning' });
    } else if (before !== null) {
      const message = 'policy is in force as the cluster has it';
      const reason = 'PolicyInForce';
      this.#events.tell({ about: this.#node(), type: 'Normal', reason, message });
    }
  }

  /** What is wrong with the workers of the proxy of this node; null: nothing. */
  proxyProblem(message: string | null): void {
    const before = this.#proxyProblem;
    this.#proxyProblem = message;
    if (message === before) return;
    const about = this.#node();
    if (message === null) {
      const well = 'the proxy is ready, and its workers live';
      this.#events.tell({ about, type: 'Normal', reason: 'ProxyReady', message: well });
    } else {
      this.#events.tell({ about, type: 'Warning', reason: 'ProxyNotReady', message });
    }
  }

  /** Resolves when another process may write. */
  async stop(): Promise<void> {
    this.#cancelSweep();
    this.#statusWrites.stop();
    this.#events.stop();
    this.#eventWrites.stop();
    await this.#election.stop();
  }

  #elected(term: AbortSignal): void {
    this.#term = term;
    const { onElected } = this.#options.events;
    const onAbort = (): void => {
      onElected(false);
      this.#tellUnwritten();
    };
    term.addEventListener('abort', onAbort, { once: true });
    onElected(true);
    this.#tellUnwritten();
    this.#status.addAll();
    for (const one of this.#refused.values()) this.#tellRefused(one);
  }

  #standRefused(key: string, one: RefusedDocument): void {
    const { inForce } = one;
    this.#status.stand(key, { kind: 'refused', why: whyOf(one), inForce });
    if (this.#election.isElected) this.#tellRefused(one);
  }

  /** Of a kind without a status: nobody else would be told. */
  #tellRefused(one: RefusedDocument): void {
    const { place, inForce } = one;
    if (place.kind !== 'object' || PolicyStatus.hasStatus(place.apiKind)) return;
    const about = subjectOf(place);
    if (about === null) return;
    const message = refusedMessage(whyOf(one), inForce);
    this.#events.tell({ about, type: 'Warning', reason: 'PolicyRefused', message });
  }

  #tellSaid(ref: ObjectRef, said: PolicyCondition, before: PolicyCondition | null): void {
    const about = subjectOf(ref);
    if (about === null) return;
    const { status, message } = said;
    if (status === 'False') {
      this.#events.tell({ about, type: 'Warning', reason: 'PolicyRefused', message });
    } else if (before?.status === 'False') {
      this.#events.tell({ about, type: 'Normal', reason: 'PolicyAccepted', message });
    }
  }

  /** As kubelet names it: its uid is its name. */
  #node(): EventSubject {
    const { nodeName: name } = this.#options;
    return { apiVersion: 'v1', kind: 'Node', namespace: null, name, uid: name };
  }

  #refusedWrite(what: string, reply: KubeReply): void {
    if (reply.kind !== 'ok') this.#tellProblem(`${what}: ${reply.message}`);
  }

  #gaveUp({ apiKind, namespace, name }: ObjectRef, reply: KubeReply): void {
    if (reply.kind === 'ok') return;
    const object = `${apiKind} ${namespace === null ? name : `${namespace}/${name}`}`;
    this.#options.events.onProblem(
      `the status of ${object} cannot be written (${TRIES_MAX} tries; it is tried again seldom): ${reply.message}`,
    );
  }

  /** Who does not write has nothing that is not written. */
  #tellUnwritten(): void {
    const isWriting = this.#term?.aborted === false;
    this.#options.events.onUnwritten(isWriting ? this.#unwrittenCount : 0);
  }

  /** What the API server says behind the colon names the object, which is each time another one. */
  #tellProblem(problem: string | null): void {
    const [what] = problem?.split(': ', 1) ?? [];
    if (problem === null || what === undefined || this.#problems.has(what)) return;
    this.#problems.add(what);
    this.#options.events.onProblem(problem);
  }
}

function keyOf({ apiKind, namespace, name }: ObjectRef): string {
  return `${apiKind} ${namespace === null ? name : `${namespace}/${name}`}`;
}

function subjectOf({ apiKind, namespace, name, uid }: ObjectRef): EventSubject | null {
  const apiVersion = API_VERSIONS.get(apiKind);
  return apiVersion === undefined ? null : { apiVersion, kind: apiKind, namespace, name, uid };
}

/** On the object itself its name needs no telling. */
function whyOf({ place, problems }: RefusedDocument): string {
  const textOf = (problem: Problem): string => {
    const { field, message } = problem;
    const isOwn =
      place.kind === 'object' &&
      problem.place.kind === 'object' &&
      keyOf(place) === keyOf(problem.place);
    if (!isOwn) return formatProblem(problem);
    return field === '' ? message : `${field}: ${message}`;
  };
  return problems.map(textOf).join('; ');
}
