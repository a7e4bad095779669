/**
 * How Sallyport is in a cluster, as far as its API says: on which nodes it runs and whether it is ready there, and what
 * became of policies. What a proxy does not write there (its revision, its counters) only that proxy tells.
 */
import { nameKeyOf, type SeenObject } from '../../kube/seen_object.ts';
import { compareText } from '../../policy/labels.ts';
import { ENFORCED, VALID } from '../report/policy_conditions.ts';

export interface ClusterStatus {
  /** At least one proxy runs, and all that run are ready. */
  readonly ready: boolean;
  /** By name. */
  readonly proxies: readonly ProxyStatus[];
  /** Nodes without a proxy; null: nodes could not be read. */
  readonly nodesWithout: readonly string[] | null;
  /** Pods with an address of their own, on all nodes. */
  readonly podCount: number;
  readonly policies: PoliciesStatus;
}

export interface ProxyStatus {
  readonly node: string;
  /** "namespace/name". */
  readonly pod: string;
  readonly ready: boolean;
  /** Why not; null when it is ready. */
  readonly reason: string | null;
  readonly image: string;
  readonly restartCount: number;
  /** Pods of the node with an address of their own. */
  readonly podCount: number;
}

export interface PoliciesStatus {
  readonly count: number;
  readonly inForceCount: number;
  readonly refused: readonly { readonly object: string; readonly message: string }[];
  /** No proxy has said anything of their newest form. */
  readonly unsaidCount: number;
}

type Fields = Readonly<Record<string, unknown>>;

/** Labels of the pods of the DaemonSet in the chart, whatever it is to be called there, and in the kustomization. */
const PROXY_LABELS = [
  ['app.kubernetes.io/part-of', 'sallyport'],
  ['app.kubernetes.io/component', 'node'],
] as const;

/** As the API is asked for them. */
export const PROXY_SELECTOR = PROXY_LABELS.map(([key, value]) => `${key}=${value}`).join(',');

/** The webhook of the same release is none. */
export function isProxy(labels: Readonly<Record<string, unknown>>): boolean {
  return PROXY_LABELS.every(([key, value]) => labels[key] === value);
}

export class ClusterStatusReader {
  readonly #proxies: Omit<ProxyStatus, 'podCount'>[] = [];
  readonly #podCounts = new Map<string, number>();
  readonly #nodes = new Set<string>();
  readonly #refused: { readonly object: string; readonly message: string }[] = [];
  #podCount = 0;
  #policyCount = 0;
  #inForceCount = 0;
  #unsaidCount = 0;

  pod(seen: SeenObject): void {
    const pod = fieldsOf(seen.object);
    const spec = fieldsOf(pod['spec']);
    const status = fieldsOf(pod['status']);
    const node = textOf(spec['nodeName']);
    const labels = fieldsOf(fieldsOf(pod['metadata'])['labels']);
    if (isProxy(labels) && node !== '') {
      this.#proxies.push(proxyOf(nameKeyOf(seen), node, status));
    }
    if (spec['hostNetwork'] === true || textOf(status['podIP']) === '') return;
    this.#podCount += 1;
    this.#podCounts.set(node, (this.#podCounts.get(node) ?? 0) + 1);
  }

  node({ name }: SeenObject): void {
    this.#nodes.add(name);
  }

  policy(kind: string, seen: SeenObject): void {
    this.#policyCount += 1;
    const said = saidOf(fieldsOf(seen.object));
    if (said === null) this.#unsaidCount += 1;
    else if (said['status'] === 'True') this.#inForceCount += 1;
    else {
      const message = textOf(said['message']) || 'it does not say why';
      this.#refused.push({ object: `${kind} ${nameKeyOf(seen)}`, message });
    }
  }

  /** `hasNodes`: they could be read. */
  result({ hasNodes }: { readonly hasNodes: boolean }): ClusterStatus {
    const proxies = this.#proxies
      .map((proxy) => ({ ...proxy, podCount: this.#podCounts.get(proxy.node) ?? 0 }))
      .sort((a, b) => compareText(a.node, b.node) || compareText(a.pod, b.pod));
    const having = new Set(proxies.map(({ node }) => node));
    return {
      ready: proxies.length > 0 && proxies.every(({ ready }) => ready),
      proxies,
      nodesWithout: hasNodes
        ? [...this.#nodes].filter((name) => !having.has(name)).sort(compareText)
        : null,
      podCount: this.#podCount,
      policies: {
        count: this.#policyCount,
        inForceCount: this.#inForceCount,
        refused: this.#refused.toSorted((a, b) => compareText(a.object, b.object)),
        unsaidCount: this.#unsaidCount,
      },
    };
  }
}

/** What a proxy has said of the newest form; null: nothing. */
function saidOf(policy: Fields): Fields | null {
  const generation = fieldsOf(policy['metadata'])['generation'];
  const conditions = listOf(fieldsOf(policy['status'])['conditions']);
  const own = (type: string): Fields | undefined =>
    conditions.find((one) => one['type'] === type && textOf(one['reason']).endsWith(REASON_END));
  const said = own(ENFORCED) ?? own(VALID);
  if (said === undefined) return null;
  const isOld =
    typeof generation === 'number' &&
    typeof said['observedGeneration'] === 'number' &&
    said['observedGeneration'] < generation;
  return isOld ? null : said;
}

/** Cilium's operator writes `Valid`, too, with reasons of its own. */
const REASON_END = 'BySallyport';

function proxyOf(pod: string, node: string, status: Fields): Omit<ProxyStatus, 'podCount'> {
  const containers = listOf(status['containerStatuses']);
  const ready = conditionOf(status, 'Ready');
  const isReady = ready?.['status'] === 'True';
  return {
    ...{ node, pod, ready: isReady },
    reason: isReady ? null : whyNot(status, containers, ready),
    image: textOf(
      containers.find(({ name }) => name === 'proxy')?.['image'] ?? containers[0]?.['image'],
    ),
    restartCount: containers.reduce((sum, one) => sum + numberOf(one['restartCount']), 0),
  };
}

/** The container that waits or ended says most. */
function whyNot(status: Fields, containers: readonly Fields[], ready: Fields | undefined): string {
  for (const container of [...listOf(status['initContainerStatuses']), ...containers]) {
    const state = fieldsOf(container['state']);
    for (const kind of ['waiting', 'terminated'] as const) {
      const { reason, message } = fieldsOf(state[kind]);
      const isDone = kind === 'terminated' && fieldsOf(state[kind])['exitCode'] === 0;
      if (textOf(reason) === '' || isDone) continue;
      const more = textOf(message).split('\n', 1)[0] ?? '';
      const why = more === '' ? textOf(reason) : `${textOf(reason)}: ${more}`;
      return `${textOf(container['name'])}: ${why}`;
    }
  }
  const phase = textOf(status['reason']) || textOf(status['phase']) || 'unknown';
  return textOf(ready?.['message']) || phase;
}

function conditionOf(status: Fields, type: string): Fields | undefined {
  return listOf(status['conditions']).find((one) => one['type'] === type);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
