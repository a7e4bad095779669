/**
 * Who the other side of a question is: turns names, addresses and label lists into identities. A
 * label list that nobody has gets an identity of its own, for which the snapshot is built again, so
 * that rules which would select it do.
 */
import { effectiveIdentity, IDENTITY_WORLD, type Identity } from '../../model/identity.ts';
import type { PolicySnapshot } from '../../policy/compiled/snapshot.ts';
import { canonicalLabel, labelSetKey, sortedLabels } from '../../policy/labels.ts';
import { completeLabels } from '../../policy/resolve/endpoint_labels.ts';
import type { Problem } from '../decode/problem.ts';
import { type BuildOptions, type BuiltSnapshot, buildSnapshot } from '../set/build_snapshot.ts';
import type { PolicySet } from '../set/policy_set.ts';
import type { RemoteRef } from './question.ts';

export type QuestionContextResult =
  | { readonly kind: 'ok'; readonly context: QuestionContext }
  | { readonly kind: 'rejected'; readonly problems: readonly Problem[] };

export type IdentityResult =
  | { readonly kind: 'identity'; readonly identity: Identity }
  | { readonly kind: 'error'; readonly message: string };

/** The namespace of a label list that names none, as of an object that names none. */
const DEFAULT_NAMESPACE = 'default';

export function openQuestions(set: PolicySet, options: BuildOptions): QuestionContextResult {
  const built = buildSnapshot(set, options);
  if (built.kind === 'rejected') return built;
  return { kind: 'ok', context: new QuestionContext(set, { options, built }) };
}

export class QuestionContext {
  readonly #set: PolicySet;
  readonly #options: BuildOptions;
  /** By label set, oldest first. */
  readonly #extra = new Map<string, readonly string[]>();
  #built: BuiltSnapshot;

  constructor(set: PolicySet, parts: { options: BuildOptions; built: BuiltSnapshot }) {
    this.#set = set;
    this.#options = parts.options;
    this.#built = parts.built;
  }

  /** Ask for it after `identityOf`, which may have built it anew. */
  get snapshot(): PolicySnapshot {
    return this.#built.snapshot;
  }

  get set(): PolicySet {
    return this.#set;
  }

  /** With the table of identities, warnings, and which policies select which endpoint. */
  get built(): BuiltSnapshot {
    return this.#built;
  }

  /** 0 and an address that nobody knows are the world; a name that nobody knows is an error. */
  identityOf(remote: RemoteRef): IdentityResult {
    const { table } = this.#built;
    switch (remote.kind) {
      case 'identity':
        return { kind: 'identity', identity: effectiveIdentity(remote.identity) };
      case 'ip':
        return { kind: 'identity', identity: table.ipcache.lookup(remote.ip) ?? IDENTITY_WORLD };
      case 'name': {
        const identity = table.identityOfEndpoint(remote.name);
        if (identity !== null) return { kind: 'identity', identity };
        return { kind: 'error', message: `no endpoint is named "${remote.name}"` };
      }
      case 'service':
        return {
          kind: 'error',
          message: `the Service ${remote.name} is several, and one was asked`,
        };
      case 'labels':
        return this.#identityForLabels(remote.labels);
    }
  }

  #identityForLabels(texts: readonly string[]): IdentityResult {
    const labels: string[] = [];
    for (const text of texts) {
      const label = canonicalLabel(text);
      if (label === null) return { kind: 'error', message: `"${text}" is no label` };
      labels.push(label);
    }
    const exact = this.#built.table.identityOfLabels(sortedLabels(labels));
    if (exact !== null) return { kind: 'identity', identity: exact };
    const { cluster } = this.#set.inventory;
    const complete = completeLabels(labels, { namespace: DEFAULT_NAMESPACE, cluster });
    const known = this.#built.table.identityOfLabels(complete);
    if (known !== null) return { kind: 'identity', identity: known };
    return this.#learn(complete);
  }

  #learn(labels: readonly string[]): IdentityResult {
    const [oldest] = this.#extra.keys();
    const { askedLabelSetCountMax } = this.#options.limits;
    if (this.#extra.size >= askedLabelSetCountMax && oldest !== undefined) {
      this.#extra.delete(oldest);
    }
    this.#extra.set(labelSetKey(labels), labels);
    const built = buildSnapshot(this.#set, {
      ...this.#options,
      extraLabels: [...this.#extra.values()],
    });
    if (built.kind === 'rejected') {
      this.#extra.delete(labelSetKey(labels));
      return { kind: 'error', message: built.problems.map(({ message }) => message).join('; ') };
    }
    this.#built = built;
    const identity = built.table.identityOfLabels(labels);
    if (identity === null) return { kind: 'error', message: 'the labels have no identity' };
    return { kind: 'identity', identity };
  }
}
