/**
 * Which labels of a workload are part of its identity, as the agent decides it (pkg/labelsfilter). A selector that
 * asks for any other label never finds it.
 */
import { LABEL_SOURCE_RESERVED } from './labels.ts';

export interface LabelPattern {
  /** A label that it matches stays out of the identity, unless a pattern that takes labels in matches more of the key. */
  readonly isIgnored: boolean;
  /** "": a label of any source. */
  readonly source: string;
  /** How much of the key matches, from its first character on; null: it does not match there. */
  lengthAt(key: string): number | null;
}

export interface LabelFilterOptions {
  readonly patterns: readonly LabelPattern[];
  /** Only labels that a pattern takes in are part of an identity. */
  readonly isWhitelist: boolean;
}

export class LabelFilter {
  readonly #options: LabelFilterOptions;
  /** Objects of a cluster share a few hundred keys. */
  readonly #known = new Map<string, boolean>();

  constructor(options: LabelFilterOptions) {
    this.#options = options;
  }

  isPartOfIdentity(source: string, key: string): boolean {
    const name = `${source}:${key}`;
    let isPart = this.#known.get(name);
    if (isPart === undefined) {
      isPart = this.#decide(source, key);
      if (this.#known.size >= KNOWN_COUNT_MAX) this.#known.clear();
      this.#known.set(name, isPart);
    }
    return isPart;
  }

  /** The longest pattern that takes it in, against the shortest that keeps it out (filterLabels). */
  #decide(source: string, key: string): boolean {
    let included = 0;
    let ignored = 0;
    for (const pattern of this.#options.patterns) {
      if (pattern.source !== '' && pattern.source !== source) continue;
      const length = pattern.lengthAt(key);
      if (length === null) continue;
      if (!pattern.isIgnored) included = Math.max(included, length);
      else if (ignored === 0 || length < ignored) ignored = length;
    }
    return (!this.#options.isWhitelist && ignored === 0) || included > ignored;
  }
}

const KNOWN_COUNT_MAX = 10_000;

/** A key that begins with the text. */
function prefix(text: string, isIgnored: boolean): LabelPattern {
  return {
    isIgnored,
    source: '',
    lengthAt: (key) => (key.startsWith(text) ? text.length : null),
  };
}

/** "TEXT.*": a key that begins with the text, all of it. */
function whole(text: string, kind: Pick<LabelPattern, 'isIgnored' | 'source'>): LabelPattern {
  return { ...kind, lengthAt: (key) => (key.startsWith(text) ? key.length : null) };
}

/** ".*TEXT": up to the last place where the text stands. */
function upTo(text: string, isIgnored: boolean): LabelPattern {
  return {
    isIgnored,
    source: '',
    lengthAt: (key) => {
      const at = key.lastIndexOf(text);
      return at === -1 ? null : at + text.length;
    },
  };
}

/** Those of the agent (defaultLabelPrefixCfg). */
export const DEFAULT_LABEL_PATTERNS: readonly LabelPattern[] = [
  whole('', { isIgnored: false, source: LABEL_SOURCE_RESERVED }),
  ...[
    'io.kubernetes.pod.namespace',
    'io.cilium.k8s.namespace.labels',
    'app.kubernetes.io',
    'io.cilium.k8s.policy.cluster',
    'io.cilium.k8s.policy.serviceaccount',
  ].map((text) => prefix(text, false)),
  ...[
    'io.kubernetes',
    'kubernetes.io',
    'statefulset.kubernetes.io/pod-name',
    'apps.kubernetes.io/pod-index',
    'batch.kubernetes.io/job-completion-index',
    'batch.kubernetes.io/controller-uid',
    'k8s.io',
    'pod-template-generation',
    'pod-template-hash',
    'controller-revision-hash',
    'controller-uid',
    'etcd_node',
    'topology.kubernetes.io',
  ].map((text) => prefix(text, true)),
  upTo('beta.kubernetes.io', true),
  whole('annotation', { isIgnored: true, source: '' }),
];

/** Of an agent without a filter of its user. */
export const DEFAULT_LABEL_FILTER = new LabelFilter({
  patterns: DEFAULT_LABEL_PATTERNS,
  isWhitelist: false,
});
