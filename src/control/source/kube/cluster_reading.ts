/**
 * All that decides in a cluster, read once: for tools, which answer for one moment. What cannot be read and could change
 * an answer is a failure; what could hardly is told.
 */
import type { KubeFailure } from '../../../kube/client.ts';
import type { KubeKind } from '../../../kube/kind.ts';
import { nameKeyOf, type ObjectNameKey, type SeenObject } from '../../../kube/seen_object.ts';
import { POLICY_KINDS, type PolicyKindName } from '../../../model/kube_policy_kinds.ts';
import type { LabelFilter } from '../../../policy/label_filter.ts';
import type { Inventory } from '../../../policy/resolve/inventory.ts';
import { decodeSecret, secretsNamedBy } from '../../decode/kube/secret.ts';
import type { PolicyDocument } from '../../decode/policy_document.ts';
import type { Problem } from '../../decode/problem.ts';
import type { ApiObject } from '../objects/object_set.ts';
import { CLUSTER_KINDS, type ClusterKind, clusterKindsOf } from './cluster_kinds.ts';
import { ClusterState } from './cluster_state.ts';
import { SECRET_KIND } from './named_secrets.ts';
import { apiObject, POLICY_KUBE_KINDS } from './policy_queue.ts';

export type Listed = { readonly kind: 'listed' } | { readonly kind: 'absent' } | KubeFailure;

/** Lists the objects of one kind. */
export interface ObjectLister {
  /** Of `absent` and failures the sink hears nothing that counts. */
  list(
    kind: KubeKind,
    /** Null: of all namespaces, of all names. */
    of: { readonly namespace: string | null; readonly name: string | null },
    sink: ListSink,
  ): Promise<Listed>;
}

export interface ListSink {
  put(seen: SeenObject): void;
  /** At the end. What was put and is not among them is gone. */
  listed(keys: ReadonlySet<ObjectNameKey>): void;
}

export interface ReadingOptions {
  readonly lister: ObjectLister;
  readonly cluster: string;
  readonly hasNodeLabels: boolean;
  readonly labelFilter: LabelFilter;
  readonly nodeLabelFilter: LabelFilter;
  /** Called as objects come, with how many there are so far. */
  readonly onProgress: (objectCount: number) => void;
}

export interface ClusterReading {
  readonly kind: 'read';
  readonly policies: readonly ApiObject[];
  readonly inventory: Inventory;
  /** Of objects that are no policies. */
  readonly problems: readonly Problem[];
  /** What could not be read and why, and what an answer takes for granted instead; one line each. */
  readonly missing: readonly string[];
}

export interface ReadingFailure {
  readonly kind: 'failed';
  /** One line. */
  readonly message: string;
}

export async function readCluster(
  options: ReadingOptions,
): Promise<ClusterReading | ReadingFailure> {
  const reader = new Reader(options);
  const results = await Promise.all([
    ...POLICY_KINDS.map((kind) => reader.readPolicies(kind)),
    ...clusterKindsOf('own').map((kind) => reader.readFacts(kind)),
  ]);
  const failures = results.filter((one) => one !== null);
  const [unreachable] = failures.filter(({ failure }) => failure.kind === 'unreachable');
  // Whoever is not there is not there for any kind.
  if (unreachable !== undefined) return { kind: 'failed', message: unreachable.failure.message };
  const needed = failures.filter(({ without }) => without === null);
  if (needed.length > 0) return { kind: 'failed', message: refusedText(needed) };
  return reader.reading(failures.map(missingText));
}

interface Failed {
  readonly plural: string;
  readonly failure: KubeFailure;
  /** What an answer takes for granted then; null: there is no answer without them. */
  readonly without: string | null;
}

/** Without them there are answers, which are right for all that they are not about. */
const OPTIONAL: Partial<Record<ClusterKind, string>> = {
  Node: 'addresses of nodes count as those of the world',
  Service: 'toServices selects nobody, and nobody is known as kube-apiserver',
  EndpointSlice: 'toServices selects nobody, and nobody is known as kube-apiserver',
};

class Reader {
  readonly #options: ReadingOptions;
  readonly #state: ClusterState;
  readonly #policies = new Map<PolicyKindName, ReadonlyMap<ObjectNameKey, ApiObject>>();
  #count = 0;

  constructor(options: ReadingOptions) {
    const { cluster, hasNodeLabels, labelFilter, nodeLabelFilter } = options;
    this.#options = options;
    this.#state = new ClusterState({
      ...{ cluster, hasNodeLabels, labelFilter, nodeLabelFilter },
      nodeName: null,
      identities: 'own',
    });
  }

  readPolicies(name: PolicyKindName): Promise<Failed | null> {
    const own = new Map<ObjectNameKey, ApiObject>();
    this.#policies.set(name, own);
    return this.#read(POLICY_KUBE_KINDS[name], null, {
      put: (seen) => void own.set(nameKeyOf(seen), apiObject(name, seen)),
      listed: (keys) => {
        for (const key of own.keys()) if (!keys.has(key)) own.delete(key);
      },
    });
  }

  readFacts(name: ClusterKind): Promise<Failed | null> {
    const without = OPTIONAL[name] ?? null;
    return this.#read(CLUSTER_KINDS[name], without, {
      put: (seen) => this.#state.put(name, seen),
      listed: (keys) => this.#state.listed(name, keys),
    });
  }

  reading(missing: readonly string[]): ClusterReading {
    return {
      kind: 'read',
      policies: [...this.#policies.values()].flatMap((own) => [...own.values()]),
      inventory: this.#state.inventory(),
      problems: this.#state.problems(),
      missing: [...new Set(missing)].sort(),
    };
  }

  /** In the first version that is served. */
  async #read(
    versions: readonly KubeKind[],
    without: string | null,
    sink: ListSink,
  ): Promise<Failed | null> {
    const put = (seen: SeenObject): void => {
      sink.put(seen);
      this.#count += 1;
      this.#options.onProgress(this.#count);
    };
    for (const kind of versions) {
      const listed = await this.#options.lister.list(kind, ALL, { ...sink, put });
      if (listed.kind === 'listed') return null;
      if (listed.kind !== 'absent') return { plural: kind.plural, failure: listed, without };
    }
    return null;
  }
}

const ALL = { namespace: null, name: null };

function missingText({ plural, failure, without }: Failed): string {
  return `${plural} cannot be read (${failure.message}): ${without}`;
}

function refusedText(failed: readonly Failed[]): string {
  const plurals = failed.map(({ plural }) => plural).join(', ');
  const [first] = failed;
  return (
    `the API server does not let us list ${plurals}, and without them an answer could be wrong ` +
    `(${first?.failure.message ?? ''}); it takes the verb list on them in all namespaces`
  );
}

export interface SecretReading {
  /** "namespace/name" → its value, as in the secrets file. */
  readonly values: ReadonlyMap<string, string>;
  readonly missing: readonly string[];
  readonly problems: readonly Problem[];
}

/** Those that policies name, and no others. A rule that compares with one that is not read matches nothing. */
export async function readNamedSecrets(
  documents: readonly PolicyDocument[],
  lister: ObjectLister,
): Promise<SecretReading> {
  const values = new Map<string, string>();
  const missing: string[] = [];
  const problems: Problem[] = [];
  for (const secret of secretsNamedBy(documents)) {
    const found = new Map<ObjectNameKey, SeenObject>();
    const listed = await lister.list(SECRET_KIND, secret, {
      put: (seen) => void found.set(nameKeyOf(seen), seen),
      listed: (keys) => {
        for (const key of found.keys()) if (!keys.has(key)) found.delete(key);
      },
    });
    const text = nameKeyOf(secret);
    if (listed.kind === 'refused' || listed.kind === 'unreachable') {
      missing.push(`secret ${text} cannot be read (${listed.message}): ${MATCHES_NOTHING}`);
      continue;
    }
    const seen = found.get(text);
    if (seen === undefined) continue;
    const decoded = decodeSecret(seen.object, seen);
    if (decoded.kind === 'facts') values.set(text, decoded.facts.value);
    else problems.push(...decoded.problems);
  }
  return { values, missing, problems };
}

const MATCHES_NOTHING = 'a rule that compares with it matches nothing';
