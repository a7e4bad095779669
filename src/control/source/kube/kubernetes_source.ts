/**
 * A cluster as a source of policy: one follower for each kind of object, and one set of what all of them have said.
 *
 *     policies ──► PolicyQueue ──► ObjectSet ──────────────┐
 *     pods, namespaces, nodes, services ──► ClusterState ──┤ offered together
 *     secrets that policies name ──► NamedSecrets ─────────┤
 *     files beside ──► FilesBeside ────────────────────────┘
 *
 * Nothing is offered before every kind has been listed, and nothing while one is being listed anew: half a list would
 * open what the other half closes. When that takes too long at a start, the state on disk is in force until then.
 */
import type { InvalidPolicy } from '../../../model/invalid_policy.ts';
import { toldProblems } from '../../../observe/told_problems.ts';
import type { Clock, Timers } from '../../../platform/platform.ts';
import { EMPTY_INVENTORY, type Inventory } from '../../../policy/resolve/inventory.ts';
import type { DecodeOptions } from '../../decode/context.ts';
import { formatProblem } from '../../decode/problem.ts';
import type { UpdateResult } from '../../set/policy_checker.ts';
import { ObjectOffers } from '../objects/object_offers.ts';
import { type GoodObject, keyOf, ObjectSet, type Surroundings } from '../objects/object_set.ts';
import { FRESH, isSameHealth, type PolicySink, type PolicySource } from '../source.ts';
import type { ResumedCluster } from '../source_settings.ts';
import type { ClusterFile, LoadedCluster, StoredCluster } from './cluster_file.ts';
import { ClusterReport, type InForce, type Reported } from './cluster_report.ts';
import type { FilesBeside, FilesBesideOptions } from './files_beside.ts';
import { Followers, type FollowersOptions } from './followers.ts';
import { KubeSurroundings } from './kube_surroundings.ts';
import { NamedSecrets } from './named_secrets.ts';
import { PolicyQueue } from './policy_queue.ts';

export interface KubernetesSourceOptions
  extends Pick<FollowersOptions, 'follow' | 'policyKinds' | 'identities' | 'cluster'> {
  /** For messages: "https://10.0.0.1:6443". */
  readonly server: string;
  /** What users should know of the way to it. Absent: nothing. */
  readonly notices?: readonly string[];
  /** See `NamedSecretsOptions`. */
  readonly secretsNamespace: string | null;
  /** Of the configuration: name → proxy id. */
  readonly listeners: ReadonlyMap<string, number>;
  readonly decode: DecodeOptions;
  readonly invalidPolicy: InvalidPolicy;
  /** Null: no files add to it. */
  readonly filesOf: ((to: Pick<FilesBesideOptions, 'offer' | 'onStale'>) => FilesBeside) | null;
  /** Null: nothing is kept on disk. */
  readonly file: ClusterFile | null;
  /** Null: nothing is written back. */
  readonly report: Reported | null;
  /** Null: it is the first. */
  readonly resumed: ResumedCluster | null;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly events: KubernetesSourceEvents;
}

export interface KubernetesSourceEvents {
  /** Last good forms that the API does not have any more: others than before. */
  onLostForms(forms: readonly GoodObject[]): void;
  /** Called once, when all is closed. */
  onStop(): void;
}

interface Due {
  readonly isPolicy: boolean;
  readonly cancel: () => void;
}

/** Policies that are applied together come one right after the other. */
const POLICY_GATHER_MS = 2;

/** What the API server takes of an Event is 1,024 bytes. */
const EVENT_MAX = 800;

const NOTHING: Surroundings = {
  inventory: EMPTY_INVENTORY,
  secrets: new Map(),
  documents: [],
  warnings: [],
};

export class KubernetesSource implements PolicySource {
  readonly name = 'kubernetes';
  readonly #options: KubernetesSourceOptions;
  readonly #set: ObjectSet;
  readonly #offers: ObjectOffers;
  readonly #queue = new PolicyQueue();
  readonly #followers: Followers;
  readonly #secrets: NamedSecrets;
  readonly #files: FilesBeside | null;
  readonly #surroundings: KubeSurroundings;
  readonly #report: ClusterReport | null;
  #sink: PolicySink | null = null;
  #due: Due | null = null;
  /** Others have their turn until then. */
  #restUntilMs = 0;
  #cancelWait: (() => void) | null = null;
  /** It has waited long enough for what need not be there. */
  #isOverdue = false;
  /** All has been listed since the start. */
  #isLive = false;
  #restoredAtMs: number | null = null;
  #stored: LoadedCluster = { kind: 'none', message: '' };
  #health = FRESH;
  /** Of the cluster, as it was taken over last. */
  #inventory: Inventory = EMPTY_INVENTORY;
  /** Something was taken over and has not been offered. */
  #isOwed = false;
  #isTooMuch = false;
  /** Since the start, there were more policies than are kept. */
  #isCrowded = false;
  #lostForms: readonly GoodObject[] = [];
  #toldProblems: ReadonlySet<string> = new Set();

  constructor(options: KubernetesSourceOptions) {
    const { decode, invalidPolicy, secretsNamespace, listeners, filesOf } = options;
    this.#options = options;
    this.#set = new ObjectSet({ decode, invalidPolicy });
    this.#offers = new ObjectOffers(this.#set, NOTHING);
    this.#surroundings = new KubeSurroundings(listeners);
    this.#report = options.report === null ? null : new ClusterReport(options.report);
    this.#followers = new Followers({
      ...options,
      queue: this.#queue,
      onChange: (isPolicy) => this.#schedule(isPolicy),
      onHealth: () => this.#tellHealth(),
    });
    this.#secrets = new NamedSecrets({
      namespace: secretsNamespace,
      countMax: decode.limits.kubeSecretCountMax,
      follow: this.#followers.followSecret,
    });
    this.#files =
      filesOf?.({
        offer: (files, sink) => {
          const result = this.#offers.offerIn(this.#surroundingsWith(files), sink);
          this.#offered(result);
          return result;
        },
        onStale: () => this.#tellHealth(),
      }) ?? null;
  }

  start(sink: PolicySink): void {
    const { file, resumed, decode, timers } = this.#options;
    this.#sink = sink;
    for (const line of this.#options.notices ?? []) sink.notice(line);
    this.#offers.start(sink);
    if (file !== null) this.#stored = file.load();
    if (this.#stored.kind === 'unusable') {
      sink.notice(
        `the state of the cluster on disk is not used: ${file?.path}: ${this.#stored.message}`,
      );
    }
    if (this.#stored.kind === 'found') this.#set.seed(goodObjects(this.#stored.cluster));
    this.#set.seed(resumed?.lostForms ?? []);
    this.#followers.start();
    this.#cancelWait = timers.after(decode.limits.kubeSyncTimeoutMs, () => this.#waitedEnough());
  }

  refresh(sink: PolicySink, done: () => void): void {
    if (this.#isLive && this.#followers.states.isWhole) {
      this.#takePolicies();
      this.#takeSurroundings();
    }
    if (!this.#isOffering) done();
    else if (this.#files !== null) this.#files.refresh(sink, done);
    else {
      this.#offered(this.#offers.offer(sink));
      done();
    }
  }

  /** The state folder is ours from now on. */
  own(): void {
    this.#options.file?.own();
    this.#files?.own();
  }

  async stop(): Promise<void> {
    this.#sink = null;
    this.#offers.stop();
    this.#cancelWait?.();
    this.#due?.cancel();
    this.#secrets.stop();
    this.#followers.stop();
    const { file, report } = this.#options;
    await Promise.all([this.#files?.stop(), file?.stop(), report?.stop()]);
    this.#options.events.onStop();
  }

  #schedule(isPolicy: boolean): void {
    if (this.#sink === null || (this.#due !== null && (this.#due.isPolicy || !isPolicy))) return;
    this.#due?.cancel();
    const { timers, clock, decode } = this.#options;
    const gatherMs = isPolicy ? POLICY_GATHER_MS : decode.limits.kubeGatherMs;
    const delayMs = Math.max(gatherMs, this.#restUntilMs - clock.nowMs());
    const cancel = timers.after(delayMs, () => {
      this.#due = null;
      this.#takeOver();
    });
    this.#due = { isPolicy, cancel };
  }

  #takeOver(): void {
    if (this.#sink === null || !this.#followers.states.isWhole) return;
    const { clock, decode } = this.#options;
    const beginMs = clock.nowMs();
    if (!this.#isLive && this.#queue.count > decode.limits.kubePolicyCountMax) {
      this.#crowded(this.#sink);
      return;
    }
    if (!this.#isLive) this.#forgetRestored();
    this.#takePolicies();
    // Before who is who changes: other rules about the same costs what they are, both together the whole set.
    if (this.#isLive && this.#isOwed && this.#isOffering) this.#offered(this.#offers.offer());
    this.#takeSurroundings();
    if (!this.#isLive) this.#goLive(this.#sink);
    else if (this.#isOwed && this.#isOffering) this.#offered(this.#offers.offer());
    else this.#reportInForce();
    // At most half of the time is ours.
    this.#restUntilMs = 2 * clock.nowMs() - beginMs;
  }

  /** The first time that all has been listed. */
  #goLive(sink: PolicySink): void {
    // A rule that compares with a secret matches nothing without it.
    if (!this.#followers.states.isAllHeard && !this.#isOverdue) return;
    this.#offers.gather(() => this.#offers.synced(this.#queue.refs()));
    this.#isLive = true;
    // Who cannot read policies does not write what became of them.
    this.#options.report?.start();
    this.#restoredAtMs = null;
    this.#stored = { kind: 'none', message: '' };
    this.#cancelWait?.();
    this.#tellHealth();
    if (this.#isTooMuch) return;
    this.#offerFirst(sink);
  }

  /** A set without some of the policies is none: those that were kept on disk are in force, with who is who now. */
  #crowded(sink: PolicySink): void {
    const inventory = this.#options.cluster.inventory();
    if (this.#restoredAtMs !== null) {
      if (inventory === this.#inventory) return;
      this.#inventory = inventory;
      const surroundings = this.#surroundingsWith(this.#files?.part ?? null);
      this.#offers.gather(() => this.#offers.surround(surroundings));
      if (this.#isOffering) this.#offered(this.#offers.offer());
    } else if (this.#stored.kind === 'found' && this.#options.resumed === null) {
      const { cluster, ...rest } = this.#stored;
      this.#restore({ ...rest, cluster: { ...cluster, inventory } }, sink);
    }
    if (this.#isCrowded) return;
    this.#isCrowded = true;
    sink.failed(this.#tooManyText());
  }

  #tooManyText(): string {
    const { kubePolicyCountMax } = this.#options.decode.limits;
    return `the cluster has more policies than kubePolicyCountMax (${kubePolicyCountMax}) allows`;
  }

  /** What was kept and is not there any more: it would take the room of what is. */
  #forgetRestored(): void {
    if (this.#restoredAtMs === null || this.#stored.kind !== 'found') return;
    const there = new Set(this.#queue.refs().map(keyOf));
    const gone = this.#stored.cluster.objects.filter(({ ref }) => !there.has(keyOf(ref)));
    this.#offers.gather(() => {
      for (const { ref } of gone) this.#offers.remove(ref);
    });
  }

  #waitedEnough(): void {
    this.#isOverdue = true;
    const sink = this.#sink;
    if (sink === null || this.#isLive) return;
    if (this.#followers.states.isWhole) {
      this.#takeOver();
      return;
    }
    const { server, decode, resumed, file } = this.#options;
    const missing = this.#followers.states.missing().join('; ');
    const { kubeSyncTimeoutMs } = decode.limits;
    const told = `${missing.length > EVENT_MAX ? `${missing.slice(0, EVENT_MAX)}...` : missing}`;
    this.#report?.notListed(`the cluster is not listed, as these are missing: ${told}`);
    const problem = `the cluster at ${server} was not listed within ${kubeSyncTimeoutMs} ms (kubeSyncTimeoutMs): ${missing}`;
    if (resumed === null && this.#stored.kind === 'found') {
      this.#restore(this.#stored, sink);
    } else {
      const why = file === null || resumed !== null ? '' : `; ${file.path}: ${this.#storedText()}`;
      sink.failed(`${problem}${why}`);
    }
  }

  #storedText(): string {
    return this.#stored.kind === 'found' ? '' : this.#stored.message;
  }

  #restore(
    { cluster, savedAtMs }: Extract<LoadedCluster, { kind: 'found' }>,
    sink: PolicySink,
  ): void {
    this.#restoredAtMs = savedAtMs;
    this.#inventory = cluster.inventory;
    this.#offers.gather(() => {
      for (const object of cluster.objects) this.#offers.put(object);
      this.#offers.synced(cluster.objects.map(({ ref }) => ref));
      this.#offers.surround(this.#surroundingsWith(this.#files?.part ?? null));
    });
    this.#tellHealth();
    this.#offerFirst(sink);
  }

  #offerFirst(sink: PolicySink): void {
    if (this.#files !== null && this.#files.part === null) this.#files.start(sink);
    else this.#offered(this.#offers.offer());
  }

  /** Files that add to it are part of each offer. */
  get #isOffering(): boolean {
    const isThere = this.#isLive || this.#restoredAtMs !== null;
    const hasFiles = this.#files === null || this.#files.part !== null;
    return isThere && hasFiles && !this.#isTooMuch;
  }

  #takePolicies(): void {
    const changes = this.#queue.take();
    this.#options.report?.taken();
    if (changes.length === 0) return;
    const isChanged = this.#offers.gather(() => {
      for (const change of changes) {
        if (change.kind === 'put') this.#offers.put(change.object);
        else this.#offers.remove(change.ref);
      }
      this.#checkRoom();
      this.#secrets.want(this.#set.snapshot(NOTHING).documents);
    });
    if (isChanged) this.#isOwed = true;
  }

  #takeSurroundings(): void {
    const isChanged = this.#offers.gather(() => {
      this.#inventory = this.#options.cluster.inventory();
      this.#offers.surround(this.#surroundingsWith(this.#files?.part ?? null));
    });
    if (isChanged) this.#isOwed = true;
    this.#tellProblems();
  }

  #surroundingsWith(files: FilesBeside['part']): Surroundings {
    const secrets = this.#secrets.values();
    return this.#surroundings.of({ inventory: this.#inventory, files, secrets });
  }

  /** Of objects that are no policies: each once, until it is mended. */
  #tellProblems(): void {
    const problems = [...this.#options.cluster.problems(), ...this.#secrets.problems()];
    const texts = problems.map(formatProblem);
    const { policyWarningCountMax: countMax } = this.#options.decode.limits;
    const news = texts.filter((text) => !this.#toldProblems.has(text));
    for (const text of toldProblems(news, { textOf: (one) => one, countMax })) {
      this.#sink?.notice(text);
    }
    this.#toldProblems = new Set(texts);
  }

  /** A set without some of the policies is not what the cluster says: what is in force stays. */
  #checkRoom(): void {
    if (this.#set.hasRoomAgain) this.#followers.followPolicies();
    const isTooMuch = this.#set.leftCount > 0;
    if (isTooMuch && !this.#isTooMuch) this.#sink?.failed(this.#tooManyText());
    this.#isTooMuch = isTooMuch;
  }

  #offered(result: UpdateResult | null): void {
    if (result === null) return;
    this.#isOwed = false;
    if (this.#isLive) this.#report?.offered(result, this.#inForce);
    if (result.kind === 'rejected') return;
    const inventory = this.#inventory;
    if (this.#isLive) this.#options.file?.save(() => ({ objects: this.#set.stored(), inventory }));
    const forms = this.#set.lostForms();
    const isSame =
      forms.length === this.#lostForms.length &&
      forms.every(({ object }, index) => object === this.#lostForms[index]?.object);
    this.#lostForms = forms;
    if (!isSame) this.#options.events.onLostForms(forms);
  }

  /** What was taken over is in force already: it says the same. */
  #reportInForce(): void {
    if (this.#isLive && !this.#isOwed) this.#report?.inForce(this.#inForce);
  }

  get #inForce(): InForce {
    return { set: this.#set, endpoints: this.#inventory.endpoints };
  }

  #tellHealth(): void {
    const ofFiles = this.#files?.stale ?? null;
    const stale = this.#followers.states.stale(this.#restoredAtMs);
    const health = {
      stale: ofFiles === null ? stale : [...stale, ofFiles],
      restoredAtMs: this.#restoredAtMs,
    };
    if (isSameHealth(health, this.#health)) return;
    this.#health = health;
    this.#sink?.health(health);
  }
}

function goodObjects({ objects }: StoredCluster): readonly GoodObject[] {
  return objects.flatMap(({ ref, good }) => (good === null ? [] : [{ ref, object: good }]));
}
