/**
 * Files that add to what a cluster says. They are one set that somebody wrote, as without a cluster: when they are bad,
 * those that were good last stay in force, and the cluster's objects go on changing beside them.
 */
import type { Inventory } from '../../../policy/resolve/inventory.ts';
import type { DecodeOptions } from '../../decode/context.ts';
import type { PolicyDocument } from '../../decode/policy_document.ts';
import { formatProblem, type Problem, type Rejected } from '../../decode/problem.ts';
import type { Accepted } from '../../set/policy_checker.ts';
import type { PolicyInput } from '../../set/policy_input.ts';
import { safelyDecoded } from '../files/decode_bundle.ts';
import type { LastGoodSet } from '../files/last_good_set.ts';
import type { OfferedSet, PolicySink, PolicySource, StalePart } from '../source.ts';

export interface FilesPart {
  readonly documents: readonly PolicyDocument[];
  readonly warnings: readonly Problem[];
  readonly inventory: Inventory;
  readonly secrets: ReadonlyMap<string, string>;
}

export interface FilesBesideOptions {
  readonly source: PolicySource;
  readonly decode: DecodeOptions;
  /** Null: nothing is kept on disk. */
  readonly lastGood: LastGoodSet | null;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** Offers the whole with this part. */
  readonly offer: (part: FilesPart, sink: PolicySink) => Accepted | Rejected;
  /** `stale` is another. */
  readonly onStale: () => void;
}

export class FilesBeside {
  readonly #options: FilesBesideOptions;
  #part: FilesPart | null = null;
  #stale: StalePart | null = null;
  #isStarted = false;

  constructor(options: FilesBesideOptions) {
    this.#options = options;
  }

  /** In force; null: none yet, and then nothing may be. */
  get part(): FilesPart | null {
    return this.#part;
  }

  /** Null: what the files say is in force. */
  get stale(): StalePart | null {
    return this.#stale;
  }

  /** They are read, once more if they have been: what they could not be in force beside may be another. */
  start(outer: PolicySink): void {
    if (this.#isStarted) {
      this.refresh(outer, () => {});
      return;
    }
    this.#isStarted = true;
    this.#options.source.start(this.#sink(outer));
  }

  refresh(outer: PolicySink, done: () => void): void {
    this.#options.source.refresh(this.#sink(outer), done);
  }

  own(): void {
    this.#options.lastGood?.own();
  }

  async stop(): Promise<void> {
    await this.#options.source.stop();
    await this.#options.lastGood?.settled();
  }

  #sink(outer: PolicySink): PolicySink {
    const offer = (offered: OfferedSet): Accepted | Rejected => this.#offer(offered, outer);
    return {
      ...outer,
      offer,
      attempt: offer,
      refused: (problems) => {
        const [first] = problems.map(formatProblem);
        this.#bad(first ?? 'they are refused', outer, () => outer.refused(problems));
      },
      failed: (problem) => this.#bad(problem, outer, () => outer.failed(problem)),
      moving: (problem) => {
        if (this.#part === null) this.#bad(problem, outer, () => outer.failed(problem));
        else outer.moving(problem);
      },
    };
  }

  #offer({ input, texts }: OfferedSet, outer: PolicySink): Accepted | Rejected {
    const result = this.#take(input, outer);
    if (result.kind === 'accepted') {
      this.#setStale(null);
      if (texts !== null) this.#options.lastGood?.save(texts);
    } else if (this.#part !== null) {
      const [first] = result.problems.map(formatProblem);
      this.#setStale(first ?? 'they are refused');
    }
    return result;
  }

  #take(input: PolicyInput, outer: PolicySink): Accepted | Rejected {
    const { documents, warnings, inventory, secrets } = input;
    const part = { documents, warnings, inventory, secrets };
    const result = this.#options.offer(part, outer);
    if (result.kind === 'accepted') this.#part = part;
    return result;
  }

  /** `tell`: that nothing of the newest state counts. */
  #bad(problem: string, outer: PolicySink, tell: () => void): void {
    const savedAt = this.#part === null ? this.#restore(outer) : null;
    if (savedAt === null) tell();
    const since = savedAt === null ? '' : ` (those of ${savedAt} are in force)`;
    if (this.#part !== null) this.#setStale(`${problem}${since}`);
  }

  /** When it was saved what is in force now; null: nothing is. */
  #restore(outer: PolicySink): string | null {
    const { lastGood, decode } = this.#options;
    const loaded = lastGood?.load();
    if (loaded?.kind !== 'found') return null;
    const decoded = safelyDecoded(loaded.bundle, decode);
    if (decoded.kind === 'rejected') return null;
    return this.#take(decoded.input, outer).kind === 'accepted' ? loaded.savedAt : null;
  }

  #setStale(problem: string | null): void {
    const sinceMs = this.#stale?.sinceMs ?? this.#options.wallMs();
    this.#stale = problem === null ? null : { part: 'files', sinceMs, problem };
    this.#options.onStale();
  }
}
