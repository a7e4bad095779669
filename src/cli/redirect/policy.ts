/** The node's policy for the kernel: the same files, by the same way, as the proxy reads them. */
import type { Config } from '../../config/config.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { PolicyStore } from '../../control/set/policy_store.ts';
import { FileSource } from '../../control/source/files/file_source.ts';
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

export class NodePolicy {
  readonly source: FileSource;
  readonly #config: Config;
  readonly #store: PolicyStore;
  readonly #feed: PolicyFeed;
  /** A set that could not be kept on disk: told with the next one that is read. */
  #saveProblems: string[] = [];
  #table: KernelTable | null = null;

  constructor(config: Config) {
    this.#config = config;
    const { clock, timers } = nodePlatform();
    const wallMs = (): number => clock.wallMs();
    this.source = new FileSource({
      policies: config.policyPaths,
      endpoints: config.endpointsPath,
      secrets: config.secretsPath,
      hasNodeLabels: config.hasNodeLabels,
      limits: config.limits,
      timers,
    });
    const { limits, hasNodeLabels } = config;
    const regexEngine = createRe2Engine(limits);
    this.#store = new PolicyStore({
      regexEngine,
      limits,
      isEmptySetOpen: config.isEmptySetOpen,
      isHostJudged: config.redirect.isHostJudged,
    });
    const { stateDir: folder } = config;
    const onError = (message: string): void => void this.#saveProblems.push(message);
    this.#feed = new PolicyFeed({
      source: this.source,
      store: this.#store,
      decode: { limits, hasNodeLabels, regexEngine },
      lastGood:
        folder === null ? null : new LastGoodSet({ folder, name: 'loader', wallMs, onError }),
      limits: config.limits,
      wallMs,
    });
  }

  /** Resolves when the files are not just being written. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.source.whenSettled(resolve));
  }

  stop(): Promise<void> {
    return this.#feed.stop();
  }

  /**
   * The first read. When the files are bad, the last good set of the state folder is taken instead; when there is
   * none it is rejected: what an earlier loader left in the kernel is better than closing it all.
   */
  start(): PolicyRead {
    const started = this.#feed.start();
    if (started.kind !== 'restored') return this.#take(started);
    const { savedAt, rejected } = started;
    if (savedAt === null) return rejected;
    const taken = this.#take({ ...started, kind: 'changed' });
    if (taken.kind !== 'changed') return taken;
    return {
      ...taken,
      warnings: [...restoredTexts(savedAt, rejected.problems), ...taken.warnings],
    };
  }

  /** Reads the files, and takes them over if all of them are good. */
  read(): PolicyRead {
    return this.#take(this.#feed.read());
  }

  #take(read: FeedRead | Exclude<FeedStart, { kind: 'restored' }>): PolicyRead {
    if (read.kind !== 'changed') return read;
    const { isDnsAllowed } = this.#config.redirect;
    this.#table = kernelTable(this.snapshot, { isDnsAllowed });
    const saveProblems = this.#saveProblems;
    this.#saveProblems = [];
    return {
      kind: 'changed',
      warnings: [
        ...saveProblems,
        ...(read.accepted.isEmpty ? [emptySetText(this.#config.isEmptySetOpen)] : []),
        ...read.accepted.warnings.map(formatProblem),
        ...this.#table.warnings,
      ],
    };
  }

  get snapshot(): PolicySnapshot {
    return this.#store.current();
  }

  /** Of the set that was taken over last. */
  get table(): KernelTable {
    if (this.#table === null) throw new Error('no policy set has been read yet');
    return this.#table;
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
