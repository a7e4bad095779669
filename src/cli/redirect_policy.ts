/** The node's policy for the kernel: the same files, by the same way, as the proxy reads them. */
import type { Config } from '../config/config.ts';
import { formatProblem } from '../control/decode/problem.ts';
import { FileSource } from '../control/file_source.ts';
import { PolicyStore } from '../control/policy_store.ts';
import { unfinishedFiles } from '../control/unfinished_files.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import { type KernelTable, kernelTable } from '../policy/kernel_table.ts';
import type { PolicySnapshot } from '../policy/snapshot.ts';
import type { NodeLinks } from '../redirect/host/links.ts';
import { type PlanInput, planOf, type TablePlan } from '../redirect/plan.ts';
import { createRe2Engine } from '../regex/re2_engine.ts';

export type PolicyRead =
  | { readonly kind: 'changed'; readonly warnings: readonly string[] }
  | { readonly kind: 'same' }
  /** What was in force stays so. One line each. */
  | { readonly kind: 'rejected'; readonly problems: readonly string[] };

export class NodePolicy {
  readonly source: FileSource;
  readonly #config: Config;
  readonly #store: PolicyStore;
  #table: KernelTable | null = null;

  constructor(config: Config) {
    this.#config = config;
    this.source = new FileSource({
      policies: config.policyPaths,
      endpoints: config.endpointsPath,
      secrets: config.secretsPath,
      limits: config.limits,
      timers: nodePlatform().timers,
    });
    this.#store = new PolicyStore({
      regexEngine: createRe2Engine(config.limits),
      limits: config.limits,
    });
  }

  /** Resolves when the files are not just being written. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.source.whenSettled(resolve));
  }

  /** Reads the files, and takes them over if all of them are good. */
  read(): PolicyRead {
    const read = this.source.read();
    if (read.kind === 'error') return { kind: 'rejected', problems: [read.message] };
    // Also the first time: what is in force may be of a loader before us, and an empty file would open it.
    const unfinished = unfinishedFiles(read.bundle);
    if (unfinished.length > 0) return { kind: 'rejected', problems: unfinished };
    const before = this.#store.current().revision;
    const result = this.#store.update(read.bundle);
    if (result.kind === 'rejected') {
      return { kind: 'rejected', problems: result.problems.map(formatProblem) };
    }
    if (result.revision === before) return { kind: 'same' };
    const { isDnsAllowed } = this.#config.redirect;
    this.#table = kernelTable(this.snapshot, { isDnsAllowed });
    return {
      kind: 'changed',
      warnings: [...result.warnings.map(formatProblem), ...this.#table.warnings],
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
    const { uplinks, isHostJudged } = this.#config.redirect;
    return {
      endpoints: table.endpoints,
      policies: table.policies,
      slots: table.slots,
      prefixes: snapshot.node.prefixes,
      labelsOf: (identity) => snapshot.labels.labelsOf(identity),
      interfaces: links.interfaces,
      uplinks,
      hostAddresses: links.addresses,
      isHostJudged,
    };
  }
}
