/** The node's policy for the kernel: the same files, by the same way, as the proxy reads them. */
import type { Config } from '../../config/config.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { type Accepted, PolicyStore } from '../../control/set/policy_store.ts';
import { configuredFiles, FileSource } from '../../control/source/files/file_source.ts';
import { LastGoodSet } from '../../control/source/files/last_good_set.ts';
import {
  emptySetText,
  type FeedRead,
  type FeedStart,
  PolicyFeed,
} from '../../control/source/policy_feed.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { type KernelTable, kernelTable } from '../../policy/kernel/kernel_table.ts';
import type { NodeLinks } from '../../redirect/host/links.ts';
import { type PlanInput, planOf, type TablePlan } from '../../redirect/plan.ts';
import { createRe2Engine } from '../../regex/re2_engine.ts';

export type PolicyRead =
  | { readonly kind: 'changed'; readonly warnings: readonly string[] }
  | { readonly kind: 'same' }
  /** What was in force stays so. One line each. */
  | { readonly kind: 'rejected'; readonly problems: readonly string[] };

export interface NodePolicyOptions {
  /** Sets are kept for the next start, and the last of them is taken when the first one is bad. */
  readonly isKept: boolean;
}

interface InForce {
  readonly snapshot: PolicySnapshot;
  readonly table: KernelTable;
}

export class NodePolicy {
  readonly #config: Config;
  readonly #store: PolicyStore;
  readonly #feed: PolicyFeed;
  /** Told with the next set that is read: one that could not be kept on disk, objects that were refused. */
  #notes: string[] = [];
  #inForce: InForce | null = null;
  #onStart: (start: FeedStart) => void = () => {};
  /** What was read, and nobody has taken yet. */
  #reads: FeedRead[] = [];
  #wake: () => void = () => {};
  #onDelayed: (message: string) => void = () => {};

  constructor(config: Config, { isKept }: NodePolicyOptions) {
    this.#config = config;
    const { limits, hasNodeLabels, stateDir: folder } = config;
    const { clock, timers } = nodePlatform();
    const wallMs = (): number => clock.wallMs();
    const regexEngine = createRe2Engine(limits);
    const decode = { limits, hasNodeLabels, regexEngine };
    this.#store = new PolicyStore({
      regexEngine,
      limits,
      isEmptySetOpen: config.isEmptySetOpen,
      isHostJudged: config.redirect.isHostJudged,
    });
    const onError = (message: string): void => void this.#notes.push(message);
    const isOnDisk = isKept && folder !== null;
    this.#feed = new PolicyFeed({
      source: new FileSource(configuredFiles(config, timers), { decode, isRestAwaited: isKept }),
      store: this.#store,
      decode,
      lastGood: isOnDisk ? new LastGoodSet({ folder, name: 'loader', wallMs, onError }) : null,
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
        onDelayed: (message) => this.#onDelayed(message),
      },
    });
  }

  /**
   * The first set. When it is bad, the last good one of the state folder is taken instead; when there is none it is
   * rejected: what an earlier loader left in the kernel is better than closing it all.
   */
  async start(): Promise<PolicyRead> {
    const started = await new Promise<FeedStart>((resolve) => {
      this.#onStart = resolve;
      this.#feed.start();
    });
    if (started.kind === 'rejected') return started;
    if (started.kind === 'changed') return this.#take(started.accepted);
    const { accepted, savedAt, rejected } = started;
    if (savedAt === null) return rejected;
    const taken = this.#take(accepted);
    return {
      ...taken,
      warnings: [...restoredTexts(savedAt, rejected.problems), ...taken.warnings],
    };
  }

  /** Calls `wake` when something was read; `onDelayed`: see `PolicySink.delayed`. */
  follow(wake: () => void, onDelayed: (message: string) => void): void {
    this.#wake = wake;
    this.#onDelayed = onDelayed;
  }

  /** What was read since the last time, in order. Of sets that were accepted the newest is taken over. */
  takeReads(): readonly PolicyRead[] {
    const reads = this.#reads;
    this.#reads = [];
    const newest = reads.findLast(({ kind }) => kind === 'changed' || kind === 'identities');
    return reads.flatMap((read): readonly PolicyRead[] => {
      if (read.kind === 'same' || read.kind === 'rejected') return [read];
      if (read !== newest) return [];
      return [read.kind === 'changed' ? this.#take(read.accepted) : this.#takeIdentities()];
    });
  }

  refresh(): void {
    this.#feed.refresh(() => {});
  }

  stop(): Promise<void> {
    return this.#feed.stop();
  }

  #takeIdentities(): PolicyRead {
    return { kind: 'changed', warnings: this.#takeOver().warnings };
  }

  #takeOver(): KernelTable {
    const { isDnsAllowed } = this.#config.redirect;
    const snapshot = this.#store.current();
    const table = kernelTable(snapshot, { isDnsAllowed });
    this.#inForce = { snapshot, table };
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

  plan(links: NodeLinks): TablePlan {
    return planOf(this.#planInput(links));
  }

  #planInput(links: NodeLinks): PlanInput {
    const { snapshot, table } = this;
    const { uplinks, interfaces: claims, isHostJudged } = this.#config.redirect;
    return {
      endpoints: table.endpoints,
      policies: table.policies,
      slots: table.slots,
      prefixes: snapshot.node.prefixes,
      labelsOf: (identity) => snapshot.labels.labelsOf(identity),
      interfaces: links.interfaces,
      ports: links.ports,
      bare: links.bare,
      uplinks,
      claims,
      hostAddresses: links.addresses,
      isHostJudged,
    };
  }
}

/** One line each: since when the set is that is in force, and why the files are not. */
export function restoredTexts(savedAt: string, problems: readonly string[]): readonly string[] {
  return [
    `the files are bad: the last good set, saved at ${savedAt}, is in force`,
    ...problems.map((problem) => `bad: ${problem}`),
  ];
}
