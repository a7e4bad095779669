/** The node's policy for the kernel: the same files or cluster, by the same way, as the proxy reads them. */
import { type Config, namedListeners } from '../../config/config.ts';
import { processEnvironment } from '../../config/environment.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { NamePlaces } from '../../control/names/name_places.ts';
import { type FrontendSet, ServiceFrontends } from '../../control/service/service_frontends.ts';
import { type Accepted, PolicyChecker } from '../../control/set/policy_checker.ts';
import { configuredSource } from '../../control/source/configured_source.ts';
import { LastGoodSet } from '../../control/source/files/last_good_set.ts';
import {
  emptySetText,
  type FeedRead,
  type FeedStart,
  PolicyFeed,
} from '../../control/source/policy_feed.ts';
import { FRESH, type SourceHealth } from '../../control/source/source.ts';
import type { IpAddress, IpPrefix } from '../../model/address.ts';
import { IDENTITY_WORLD, type Identity, RESERVED_IDENTITIES } from '../../model/identity.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import type { IdentityBatch } from '../../policy/identity/delta.ts';
import { type KernelDelta, kernelDelta } from '../../policy/kernel/kernel_delta.ts';
import { type KernelTable, kernelTable } from '../../policy/kernel/kernel_table.ts';
import { IdentityAllocator } from '../../policy/resolve/identity_allocator.ts';
import type { KnownBackends } from '../../redirect/behind.ts';
import type { AskedPod } from '../../redirect/interfaces/witness.ts';
import {
  fullPrefix,
  type PlanInput,
  planOf,
  type TablePlan,
  WHOLE_FAMILIES,
} from '../../redirect/plan.ts';
import { servicesDelta, type TableDelta } from '../../redirect/table_delta.ts';
import { createRe2Engine } from '../../regex/re2_engine.ts';
import { userAgent } from '../version.ts';
import { BehindServices } from './behind_services.ts';
import { askedOf, type NodeSight, placedEndpoints, takenBy } from './node_sight.ts';

export type PolicyRead =
  | { readonly kind: 'changed'; readonly warnings: readonly string[] }
  /** The tables that are in force, but for this. */
  | { readonly kind: 'identities'; readonly delta: TableDelta }
  | { readonly kind: 'same' }
  /** What was in force stays so. One line each. */
  | { readonly kind: 'rejected'; readonly problems: readonly string[] };

export interface NodePolicyOptions {
  /** Sets are kept for the next start, and the last of them is taken when the first one is bad. */
  readonly isKept: boolean;
}

/** Of one who waits for a first set of a cluster. */
export interface Waiting {
  /** Why there is none yet; one line each. */
  readonly onWaiting: (problems: readonly string[]) => void;
  readonly signal: AbortSignal;
}

export interface FollowEvents {
  readonly wake: () => void;
  readonly onNotice: (message: string) => void;
  readonly onHealth: (health: SourceHealth, before: SourceHealth) => void;
}

/** The loader's part of the state folder. */
const LOADER_STATE = 'loader';

interface InForce {
  readonly snapshot: PolicySnapshot;
  /** Of that snapshot, or of an earlier one of the same set. */
  readonly table: KernelTable;
  readonly isTableOfSnapshot: boolean;
}

export class NodePolicy {
  readonly #config: Config;
  readonly #store: PolicyChecker;
  readonly #feed: PolicyFeed;
  /** Told with the next set that is read: one that could not be kept on disk, objects that were refused. */
  #notes: string[] = [];
  #inForce: InForce | null = null;
  readonly #frontends = new ServiceFrontends();
  readonly #behind = new BehindServices();
  /** Of the tables in force: their Services, and with whom behind them. */
  #behindOf: { readonly set: FrontendSet | null; readonly snapshot: PolicySnapshot } | null = null;
  /** As of the last plan. */
  #hostAddresses: readonly string[] = [];
  /** Addresses of endpoints, as of the last plan. */
  #ofWorkloads: ReadonlySet<string> = new Set();
  /** Of them, those whose interface has the programs. */
  #attachedIps: ReadonlySet<string> = new Set();
  #onStart: (start: FeedStart) => void = () => {};
  /** What was read, and nobody has taken yet. */
  #reads: FeedRead[] = [];
  #wake: () => void = () => {};
  #onNotice: (message: string) => void = () => {};
  #health = FRESH;
  #onHealth: (health: SourceHealth, before: SourceHealth) => void = () => {};

  constructor(config: Config, { isKept }: NodePolicyOptions) {
    this.#config = config;
    const { limits, hasNodeLabels, stateDir: folder } = config;
    const platform = nodePlatform();
    const { clock } = platform;
    const wallMs = (): number => clock.wallMs();
    const regexEngine = createRe2Engine(limits);
    const decode = { limits, hasNodeLabels, regexEngine };
    this.#store = new PolicyChecker({
      regexEngine,
      limits,
      isEmptySetOpen: config.isEmptySetOpen,
      isHostJudged: config.redirect.isHostJudged,
      allocator: new IdentityAllocator(limits, { nowMs: () => clock.nowMs() }),
      areInterfacesFound: config.redirect.areInterfacesFound,
    });
    const onError = (message: string): void => void this.#notes.push(message);
    const stateDir = isKept ? folder : null;
    const settings = { ...config, stateDir, listeners: namedListeners(config) };
    const { source, isLastGoodKept, isDeniedAtFirst } = configuredSource(settings, {
      environment: { ...processEnvironment(), userAgent: userAgent() },
      decode,
      platform,
      stateName: LOADER_STATE,
      isStateOurs: true,
      stdin: null,
      isRestAwaited: isKept,
      resumed: null,
      onLostForms: () => {},
      // The proxy of the node reports.
      reporting: null,
      onNotKept: onError,
    });
    const isOnDisk = isLastGoodKept && stateDir !== null;
    this.#feed = new PolicyFeed({
      source,
      store: this.#store,
      decode,
      names: new NamePlaces(),
      lastGood: isOnDisk
        ? new LastGoodSet({ folder: stateDir, name: LOADER_STATE, wallMs, onError })
        : null,
      isDeniedAtFirst,
      limits,
      wallMs,
      events: {
        onReading: () => {},
        onStart: (start) => this.#onStart(start),
        onRead: (read) => {
          this.#reads.push(read);
          this.#wake();
        },
        onRefused: (refused) => {
          const texts = refused.flatMap(({ problems }) => problems.map(formatProblem));
          this.#notes.push(...texts.map((text) => `refused: ${text}`));
        },
        onHealth: (health) => {
          const before = this.#health;
          this.#health = health;
          this.#onHealth(health, before);
        },
        onNotice: (message) => this.#onNotice(message),
      },
    });
  }

  /**
   * The first set. When it is bad, the last good one of the state folder is taken instead; when there is none it is
   * rejected: what an earlier loader left in the kernel is better than closing it all. That of a cluster may be waited
   * for, with the same in the kernel. Null: it was waited for until the end.
   */
  start(): Promise<PolicyRead>;
  start(waiting: Waiting | null): Promise<PolicyRead | null>;
  async start(waiting: Waiting | null = null): Promise<PolicyRead | null> {
    const started = await new Promise<FeedStart>((resolve) => {
      this.#onStart = resolve;
      this.#feed.start();
    });
    if (started.kind === 'rejected') return started;
    if (started.kind === 'changed') {
      const taken = this.#take(started.accepted);
      return { ...taken, warnings: [...healthTexts(this.#health), ...taken.warnings] };
    }
    const { accepted, savedAt, rejected } = started;
    if (savedAt === null) {
      return waiting === null ? rejected : await this.#firstSet(rejected.problems, waiting);
    }
    const taken = this.#take(accepted);
    return {
      ...taken,
      warnings: [...restoredTexts(savedAt, rejected.problems), ...taken.warnings],
    };
  }

  #firstSet(
    problems: readonly string[],
    { onWaiting, signal }: Waiting,
  ): Promise<PolicyRead | null> {
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => resolve(null), { once: true });
      if (signal.aborted) resolve(null);
      onWaiting(problems);
      this.#wake = () => {
        for (const read of this.takeReads()) {
          if (read.kind === 'changed') resolve(read);
          else if (read.kind === 'rejected') onWaiting(read.problems);
        }
      };
      this.#wake();
    });
  }

  /** Calls `wake` when something was read; the others: see `PolicySink`. What is known already is told at once. */
  follow({ wake, onNotice, onHealth }: FollowEvents): void {
    this.#wake = wake;
    this.#onNotice = onNotice;
    this.#onHealth = onHealth;
    onHealth(this.#health, FRESH);
  }

  /** What was read since the last time, in order. Of sets that were accepted the newest is taken over. */
  takeReads(): readonly PolicyRead[] {
    const reads = this.#reads;
    this.#reads = [];
    const newest = reads.findLast(({ kind }) => kind === 'changed' || kind === 'identities');
    const newestSet = reads.findLast((read) => read.kind === 'changed');
    const batches = reads.flatMap((read) => (read.kind === 'identities' ? [read.batch] : []));
    return reads.flatMap((read): readonly PolicyRead[] => {
      if (read.kind === 'same' || read.kind === 'rejected') return [read];
      if (read !== newest) return [];
      // A set that came with batches before or behind it is taken with all of them in it.
      if (newestSet !== undefined) return [this.#take(newestSet.accepted)];
      return [this.#takeIdentities(batches)];
    });
  }

  /** Of the set that was read last; null: not known, as the state on disk does not tell them. */
  get frontends(): FrontendSet | null {
    if (this.#health.restoredAtMs !== null) return null;
    return this.#frontends.update(this.#store.currentSet().inventory);
  }

  refresh(): void {
    this.#feed.refresh(() => {});
  }

  stop(): Promise<void> {
    return this.#feed.stop();
  }

  /** What batches changed of the tables that the kernel has; null: it needs others. */
  #takeIdentities(batches: readonly IdentityBatch[]): PolicyRead {
    const inForce = this.#inForce;
    const after = this.#store.current();
    const delta =
      inForce === null
        ? null
        : kernelDelta(inForce.table, { before: inForce.snapshot, after, batches });
    if (inForce === null || delta === null) {
      return { kind: 'changed', warnings: this.#takeOver().warnings };
    }
    this.#inForce = { snapshot: after, table: inForce.table, isTableOfSnapshot: false };
    this.#behindOf = { set: this.frontends, snapshot: after };
    return { kind: 'identities', delta: this.#tableDelta(delta) };
  }

  /** Workloads have the last word on their addresses; a node's own are the host's when nobody else has them. */
  #tableDelta(delta: KernelDelta): TableDelta {
    const { snapshot } = this;
    const fallBack = new Map(WHOLE_FAMILIES.map(({ text }) => [text, IDENTITY_WORLD]));
    const host = RESERVED_IDENTITIES.host as Identity;
    for (const ip of this.#hostAddresses) fallBack.set(fullPrefix(ip).text, host);
    const isOthers = ({ text }: IpPrefix): boolean => !this.#ofWorkloads.has(text);
    const gone = delta.goneAddresses.filter(isOthers);
    return {
      ...delta,
      addresses: [
        ...delta.addresses.filter(({ prefix }) => isOthers(prefix)),
        ...gone.flatMap((prefix) => {
          const identity = fallBack.get(prefix.text);
          return identity === undefined ? [] : [{ prefix, identity }];
        }),
      ],
      goneAddresses: gone.filter(({ text }) => !fallBack.has(text)),
      labelsOf: (identity) => snapshot.labels.labelsOf(identity),
      behind: this.#behind.changes(this.frontends, this.#knownBackends()),
    };
  }

  /**
   * What Services lead to others of the tables in force; null: they say the same. Not while something was read that
   * nobody has taken: who is behind them may be known by that alone.
   */
  takeServices(): TableDelta | null {
    const { snapshot, frontends: set } = this;
    if (this.#reads.length > 0 || this.#behindOf === null) return null;
    if (this.#behindOf.set === set && this.#behindOf.snapshot === snapshot) return null;
    const changes = this.#behind.changes(set, this.#knownBackends());
    this.#behindOf = { set, snapshot };
    return changes.written.length + changes.gone.length > 0 ? servicesDelta(changes) : null;
  }

  /** See `BehindServices`. */
  takeServiceProblems(): readonly string[] {
    return this.#behind.takeProblems();
  }

  /** As the table of addresses has it. */
  #knownBackends(): KnownBackends {
    const { ipcache, node } = this.snapshot;
    const host = new Set(this.#hostAddresses);
    let named: ReadonlySet<string> | null = null;
    // As long as a prefix can be, so no other one comes before it.
    const isNamed = (ip: string): boolean => {
      named ??= new Set(node.prefixes.map(({ prefix }) => prefix.text));
      return named.has(fullPrefix(ip).text);
    };
    const own = new Map(
      this.table.endpoints.flatMap(({ ips, identity }) => ips.map((ip) => [ip, identity] as const)),
    );
    const identityOf = ({ text }: IpAddress): Identity => {
      const endpoint = own.get(text);
      if (endpoint !== undefined) return endpoint;
      if (host.has(text) && !isNamed(text)) return RESERVED_IDENTITIES.host as Identity;
      return ipcache.lookup(text) ?? IDENTITY_WORLD;
    };
    return { identityOf, isEndpoint: ({ text }) => this.#attachedIps.has(text) };
  }

  #takeOver(): KernelTable {
    const { isDnsAllowed } = this.#config.redirect;
    const snapshot = this.#store.current();
    const table = kernelTable(snapshot, { isDnsAllowed });
    this.#inForce = { snapshot, table, isTableOfSnapshot: true };
    return table;
  }

  #take(accepted: Accepted): Extract<PolicyRead, { kind: 'changed' }> {
    const table = this.#takeOver();
    const notes = this.#notes;
    this.#notes = [];
    return {
      kind: 'changed',
      warnings: [
        ...notes,
        ...(accepted.isEmpty ? [emptySetText(this.#config.isEmptySetOpen)] : []),
        ...accepted.warnings.map(formatProblem),
        ...table.warnings,
      ],
    };
  }

  /** That was taken over last; one that denies everything before the first. */
  get snapshot(): PolicySnapshot {
    return this.#inForce?.snapshot ?? this.#store.current();
  }

  /** Of the set that was taken over last. */
  get table(): KernelTable {
    if (this.#inForce === null) throw new Error('no policy set has been read yet');
    return this.#inForce.table;
  }

  /** Endpoints whose interface is to be found. */
  get asked(): readonly AskedPod[] {
    return askedOf(this.table.endpoints);
  }

  /** Interfaces that are named already. */
  get takenInterfaces(): ReadonlySet<string> {
    return takenBy(this.table.endpoints, this.#config);
  }

  plan(sight: NodeSight): TablePlan {
    if (this.#inForce?.isTableOfSnapshot === false) this.#takeOver();
    const input = this.#planInput(sight);
    const ipsOf = (all: PlanInput['endpoints']): ReadonlySet<string> =>
      new Set(all.flatMap(({ ips }) => ips));
    const { interfaces, bare } = sight.links;
    this.#hostAddresses = sight.links.addresses;
    this.#ofWorkloads = new Set([...ipsOf(input.endpoints)].map((ip) => fullPrefix(ip).text));
    this.#attachedIps = ipsOf(
      input.endpoints.filter(({ interface: name }) => {
        return name !== null && interfaces.has(name) && !bare.has(name);
      }),
    );
    const set = this.frontends;
    this.#behindOf = { set, snapshot: this.snapshot };
    return planOf({ ...input, behind: this.#behind.whole(set, this.#knownBackends()) });
  }

  #planInput(sight: NodeSight): Omit<PlanInput, 'behind'> {
    const { snapshot, table } = this;
    const { links } = sight;
    const { redirect } = this.#config;
    const { interfaces: claims, otherBridges } = redirect;
    const { isHostJudged, areInterfacesFound } = redirect;
    return {
      endpoints: placedEndpoints(table.endpoints, sight, this.#config),
      policies: table.policies,
      slots: table.slots,
      prefixes: snapshot.node.prefixes,
      labelsOf: (identity) => snapshot.labels.labelsOf(identity),
      interfaces: links.interfaces,
      ports: links.ports,
      bare: links.bare,
      masters: links.masters,
      bridges: links.bridges,
      linkAddresses: links.linkAddresses,
      otherBridges,
      // Who claims nothing leaves alone what he does not know.
      isGuarded: areInterfacesFound && claims.length > 0,
      uplinks: sight.uplinks,
      claims,
      hostAddresses: links.addresses,
      isHostJudged,
    };
  }
}

function healthTexts({ stale, restoredAtMs }: SourceHealth): readonly string[] {
  const kept =
    restoredAtMs === null
      ? []
      : [`the state of the cluster of ${new Date(restoredAtMs).toISOString()} is in force`];
  return [...kept, ...stale.map(({ part, problem }) => `may be old: ${part}: ${problem}`)];
}

/** One line each: since when the set is that is in force, and why the files are not. */
export function restoredTexts(savedAt: string, problems: readonly string[]): readonly string[] {
  return [
    `the files are bad: the last good set, saved at ${savedAt}, is in force`,
    ...problems.map((problem) => `bad: ${problem}`),
  ];
}
