/**
 * All that decides in a cluster, read once: for tools, which answer for one moment. What cannot be read and could change
 * an answer is a failure; what could hardly is told.
 */
import type { KubeFailure } from '../../../kube/client.ts';
import type { KubeKind } from '../../../kube/kind.ts';
import { nameKeyOf, type ObjectNameKey, type SeenObject } from '../../../kube/seen_object.ts';
import type { PolicyKindName } from '../../../model/kube_policy_kinds.ts';
import type { LabelFilter } from '../../../policy/label_filter.ts';
import type { Inventory } from '../../../policy/resolve/inventory.ts';
import type { PolicyDocument } from '../../decode/policy_document.ts';
import type { Problem } from '../../decode/problem.ts';
import type { ApiObject } from '../objects/object_set.ts';
import {
  CLUSTER_KINDS,
  type ClusterKind,
  clusterKindsOf,
  type IdentitySource,
} from './cluster_kinds.ts';
import { ClusterState } from './cluster_state.ts';
import { type Followed, followedText } from './follow.ts';
import { NamedSecrets } from './named_secrets.ts';
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
  readonly identities: IdentitySource;
  readonly policyKinds: readonly PolicyKindName[];
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
    ...options.policyKinds.map((kind) => reader.readPolicies(kind)),
    ...clusterKindsOf(options.identities).map((kind) => reader.readFacts(kind)),
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

const AS_DIALLED = 'addresses of Services are judged as dialled, or have no backend';

/** Without them there are answers, which are right for all that they are not about. */
const OPTIONAL: Partial<Record<ClusterKind, string>> = {
  Node: 'addresses of nodes count as those of the world',
  Service: `toServices selects nobody, nobody is known as kube-apiserver, and ${AS_DIALLED}`,
  EndpointSlice: `toServices selects nobody, nobody is known as kube-apiserver, and ${AS_DIALLED}`,
};

class Reader {
  readonly #options: ReadingOptions;
  readonly #state: ClusterState;
  readonly #policies = new Map<PolicyKindName, ReadonlyMap<ObjectNameKey, ApiObject>>();
  #count = 0;

  constructor(options: ReadingOptions) {
    const { cluster, identities, hasNodeLabels, labelFilter, nodeLabelFilter } = options;
    this.#options = options;
    this.#state = new ClusterState({
      ...{ cluster, identities, hasNodeLabels, labelFilter, nodeLabelFilter },
      nodeName: null,
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

export interface SecretsReadingOptions {
  readonly lister: ObjectLister;
  /** Null: each is read where it is. */
  readonly namespace: string | null;
  readonly countMax: number;
}

/** Lists that are under way at once. */
const SECRET_LISTS_MAX = 16;

/**
 * Those that policies name, and no others, where and as a proxy reads them. A rule that compares with one that is not
 * read matches nothing.
 */
export async function readNamedSecrets(
  documents: readonly PolicyDocument[],
  { lister, namespace, countMax }: SecretsReadingOptions,
): Promise<SecretReading> {
  const wanted: Followed[] = [];
  const secrets = new NamedSecrets({
    ...{ namespace, countMax },
    follow: (followed) => {
      wanted.push(followed);
      return () => {};
    },
  });
  secrets.want(documents);
  const missing: string[] = [];
  const left = wanted.values();
  const listAll = async (): Promise<void> => {
    for (const followed of left) {
      const { kind, sink } = followed;
      const listed = await lister.list(kind, followed, sink);
      if (listed.kind === 'listed' || listed.kind === 'absent') continue;
      missing.push(
        `${followedText(followed)} cannot be read (${listed.message}): ${MATCHES_NOTHING}`,
      );
    }
  };
  await Promise.all(Array.from({ length: SECRET_LISTS_MAX }, listAll));
  return { values: secrets.values(), missing: missing.sort(), problems: secrets.problems() };
}

const MATCHES_NOTHING = 'a rule that compares with it matches nothing';
