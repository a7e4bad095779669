/**
 * What pods of one template share: labels, service account and names of ports. It is kept once for all of them, so a
 * pod costs little more than its addresses, and the label of a namespace is worked out once for each template.
 */
import type { LabelFilter } from '../../../policy/label_filter.ts';
import type { NamedPort } from '../../../policy/resolve/inventory.ts';
import type { Labels } from '../../decode/kube/fact_reader.ts';
import {
  joinedLabels,
  labelsOfNamespace,
  labelsOfServiceAccount,
  ownLabelsOfPod,
} from '../../decode/kube/identity_labels.ts';
import type { PodFacts } from '../../decode/kube/pod.ts';

export interface PodTemplate {
  readonly key: string;
  readonly ownLabels: readonly string[];
  readonly namedPorts: readonly NamedPort[];
  podCount: number;
  /** With those of the namespace; null: to be worked out. */
  labels: readonly string[] | null;
}

export interface LabelOptions {
  readonly cluster: string;
  readonly filter: LabelFilter;
}

/** A namespace that somebody has named: it may not be there yet, or be gone before what is in it. */
export class NamespaceTemplates {
  readonly name: string;
  /** Keys of what is in it. */
  readonly members = new Set<string>();
  readonly #options: LabelOptions;
  readonly #templates = new Map<string, PodTemplate>();
  /** Null: its labels are not known. */
  #labels: readonly string[] | null = null;

  constructor(name: string, options: LabelOptions) {
    this.name = name;
    this.#options = options;
  }

  get isKnown(): boolean {
    return this.#labels !== null;
  }

  /** Of whatever is in it; null: they are not known. */
  get labels(): readonly string[] | null {
    return this.#labels;
  }

  /** Null: it is not there. False: nothing changed for what is in it. */
  setLabels(labels: Labels | null): boolean {
    const { cluster, filter } = this.#options;
    const next =
      labels === null ? null : labelsOfNamespace({ name: this.name, labels, cluster }, filter);
    if (next?.join(SEPARATOR) === this.#labels?.join(SEPARATOR)) return false;
    this.#labels = next;
    for (const template of this.#templates.values()) template.labels = null;
    return true;
  }

  /** Whoever acquires one releases it. */
  acquire(facts: PodFacts): PodTemplate {
    const { filter } = this.#options;
    const ownLabels = joinedLabels(
      ownLabelsOfPod(facts.labels, filter),
      labelsOfServiceAccount(facts.serviceAccount, filter),
    );
    const ports = facts.namedPorts.map(({ name, port, protocol }) => `${name}=${port}${protocol}`);
    const key = [...ownLabels, '', ...ports].join(SEPARATOR);
    let template = this.#templates.get(key);
    if (template === undefined) {
      template = { key, ownLabels, namedPorts: facts.namedPorts, podCount: 0, labels: null };
      this.#templates.set(key, template);
    }
    template.podCount++;
    return template;
  }

  release(template: PodTemplate): void {
    template.podCount--;
    if (template.podCount === 0) this.#templates.delete(template.key);
  }

  /** Null: the labels of the namespace are not known. */
  labelsOf(template: PodTemplate): readonly string[] | null {
    if (this.#labels === null) return null;
    template.labels ??= joinedLabels(this.#labels, template.ownLabels);
    return template.labels;
  }
}

/** Of no label and no name of a port. */
const SEPARATOR = '\n';
