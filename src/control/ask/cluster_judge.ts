/**
 * Judges of what is in a cluster, and of that with files laid over it. A bad object is refused alone, as a proxy with a
 * source of objects does it.
 */
import type { InvalidPolicy } from '../../model/invalid_policy.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';
import type { PolicyDocument } from '../decode/policy_document.ts';
import type { Problem, Rejected } from '../decode/problem.ts';
import { rejected } from '../decode/problem.ts';
import type { Accepted } from '../set/policy_checker.ts';
import type { PolicyInput, RefusedDocument } from '../set/policy_input.ts';
import { ObjectOffers } from '../source/objects/object_offers.ts';
import { type ApiObject, ObjectSet, type Surroundings } from '../source/objects/object_set.ts';
import type { OfferedSet, PolicySink } from '../source/source.ts';
import { type AcceptedJudge, createJudge, type JudgeOptions } from './judge.ts';

export interface JudgedSet {
  readonly kind: 'judged';
  readonly accepted: AcceptedJudge;
  readonly input: PolicyInput;
}

export interface ClusterContents {
  readonly policies: readonly ApiObject[];
  readonly inventory: Inventory;
  /** Of files beside them that a configuration names. */
  readonly documents: readonly PolicyDocument[];
  readonly warnings: readonly Problem[];
}

export interface ClusterJudgeOptions extends JudgeOptions {
  readonly hasNodeLabels: boolean;
  readonly invalidPolicy: InvalidPolicy;
}

/** Of files that are laid over what is in the cluster. */
export interface LaidOver {
  readonly documents: readonly PolicyDocument[];
  readonly warnings: readonly Problem[];
  /** Name → value; those of the cluster, too. */
  readonly secrets: ReadonlyMap<string, string>;
}

export class ClusterJudge {
  readonly #options: JudgeOptions;
  readonly #set: ObjectSet;
  readonly #offers: ObjectOffers;
  /** Without secrets. */
  readonly #surroundings: Surroundings;

  constructor(contents: ClusterContents, options: ClusterJudgeOptions) {
    const { limits, regexEngine, hasNodeLabels, invalidPolicy } = options;
    const { inventory, documents, warnings } = contents;
    this.#options = options;
    this.#surroundings = { inventory, documents, warnings, secrets: NO_SECRETS };
    this.#set = new ObjectSet({
      decode: { limits, regexEngine, hasNodeLabels },
      invalidPolicy,
    });
    this.#offers = new ObjectOffers(this.#set, this.#surroundings);
    // Nobody is offered them yet.
    for (const object of contents.policies) this.#offers.put(object);
    this.#offers.synced(contents.policies.map(({ ref }) => ref));
  }

  /** The bound on policies leaves some out, so nothing can be said. */
  get leftCount(): number {
    return this.#set.leftCount;
  }

  /** Of the cluster alone. Decoded, whether they can be enforced beside each other or not. */
  documents(): readonly PolicyDocument[] {
    return this.#set.snapshot({ ...this.#surroundings, documents: [] }).documents;
  }

  /** What is in the cluster. */
  judge(secrets: ReadonlyMap<string, string>): JudgedSet | Rejected {
    return this.judgeWith({ documents: [], warnings: [], secrets });
  }

  /** Ask for it after `judge`. Nothing of the files counts if they cannot be enforced beside what is in the cluster. */
  judgeWith({ documents, warnings, secrets }: LaidOver): JudgedSet | Rejected {
    const own = new Set(documents.map(({ kind, name }) => `${kind} ${name}`));
    const kept = this.#surroundings.documents.filter(
      ({ kind, name }) => !own.has(`${kind} ${name}`),
    );
    const surroundings = {
      documents: [...kept, ...documents],
      warnings: [...this.#surroundings.warnings, ...warnings],
      secrets,
    };
    const sink = new JudgeSink(this.#options);
    const result = this.#offers.offerIn(surroundings, sink);
    if (result.kind === 'rejected') return result;
    if (sink.judged === null) throw new Error('a set was accepted that was not judged');
    return sink.judged;
  }
}

const NO_SECRETS: ReadonlyMap<string, string> = new Map();

/** What an object that is refused is told as: its files' names are taken on purpose. */
export function refusedAlone(
  { refused }: PolicyInput,
  files: LaidOver | null,
): readonly RefusedDocument[] {
  const own = new Set((files?.documents ?? []).map(({ kind, name }) => `${kind} ${name}`));
  return refused.filter(({ place }) => {
    if (place.kind !== 'object') return true;
    const { apiKind, namespace, name } = place;
    return !own.has(`${apiKind} ${namespace === null ? name : `${namespace}/${name}`}`);
  });
}

class JudgeSink implements PolicySink {
  readonly #options: JudgeOptions;
  judged: JudgedSet | null = null;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  attempt({ input }: OfferedSet): Accepted | Rejected {
    const accepted = createJudge(input, this.#options);
    if (accepted.kind === 'rejected') return accepted;
    this.judged = { kind: 'judged', accepted, input };
    const { set, warnings, judge } = accepted;
    const { resolved } = judge;
    const { isEmpty } = set;
    const { refused } = input;
    const rest = { isWhoSame: false, isEmpty, warnings, refused };
    return { kind: 'accepted', revision: 1, set: resolved, ...rest };
  }

  offer(offered: OfferedSet): Accepted | Rejected {
    return this.attempt(offered);
  }

  check(input: PolicyInput): Rejected | null {
    const created = createJudge(input, this.#options);
    return created.kind === 'rejected' ? rejected(created.problems) : null;
  }

  reading(): void {}
  refused(): void {}
  failed(): void {}
  moving(): void {}
  delayed(): void {}
  health(): void {}
  notice(): void {}
}
