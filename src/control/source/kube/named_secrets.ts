/**
 * The secrets that policies name, and no others: each is followed by its name, where it is; or all of one namespace
 * are, to which Cilium's operator copies them. Values are kept as the engine compares them, and told to nobody.
 */
import type { KubeKind } from '../../../kube/kind.ts';
import { nameKeyOf, type ObjectName, type SeenObject } from '../../../kube/seen_object.ts';
import type { Decoded } from '../../decode/kube/fact_reader.ts';
import {
  decodeSecret,
  placeOfSecret,
  type SecretFacts,
  type SecretName,
  secretsNamedBy,
} from '../../decode/kube/secret.ts';
import type { PolicyDocument } from '../../decode/policy_document.ts';
import type { Problem } from '../../decode/problem.ts';
import { everyOne, type Follow, type Followed } from './follow.ts';

export interface NamedSecretsOptions {
  /** Null: each is read where it is. */
  readonly namespace: string | null;
  /** Watches of single secrets at once. */
  readonly countMax: number;
  readonly follow: Follow;
}

/** "shop/token" → its value, as in the secrets file. */
export type SecretValues = ReadonlyMap<string, string>;

export const SECRET_KIND: KubeKind = {
  group: '',
  version: 'v1',
  plural: 'secrets',
  kind: 'Secret',
  isNamespaced: true,
};

export class NamedSecrets {
  readonly #options: NamedSecretsOptions;
  #wanted: readonly SecretName[] = [];
  /** By name of a followed secret; of a whole namespace by "". */
  readonly #stops = new Map<string, () => void>();
  /** By "namespace/name" of the object. */
  readonly #found = new Map<string, Decoded<SecretFacts>>();
  #values: SecretValues = new Map();

  constructor(options: NamedSecretsOptions) {
    this.#options = options;
  }

  /** From now on those that these policies name are followed. */
  want(documents: readonly PolicyDocument[]): void {
    this.#wanted = secretsNamedBy(documents);
    const followed = this.#followed();
    for (const [key, stop] of this.#stops) {
      if (followed.has(key)) continue;
      stop();
      this.#stops.delete(key);
      this.#found.delete(key);
    }
    for (const [key, one] of followed) {
      if (!this.#stops.has(key)) this.#stops.set(key, this.#options.follow(one));
    }
  }

  /** The very same while none is another. */
  values(): SecretValues {
    const entries = this.#wanted.flatMap((name): readonly (readonly [string, string])[] => {
      const found = this.#foundAs(name);
      return found?.kind === 'facts' ? [[nameKeyOf(name), found.facts.value]] : [];
    });
    const isSame =
      entries.length === this.#values.size &&
      entries.every(([name, text]) => this.#values.get(name) === text);
    if (!isSame) this.#values = new Map(entries);
    return this.#values;
  }

  /** Of those that are wanted and cannot be used. A rule that compares with one of them matches nothing. */
  problems(): readonly Problem[] {
    const { countMax, namespace } = this.#options;
    const left = namespace === null ? this.#wanted.slice(countMax) : [];
    return [
      ...this.#wanted.flatMap((name) => {
        const found = this.#foundAs(name);
        return found?.kind === 'refused' ? found.problems : [];
      }),
      ...left.map((name) =>
        problemOf(name, `is not read: policies name more than ${countMax} (kubeSecretCountMax)`),
      ),
    ];
  }

  stop(): void {
    for (const stop of this.#stops.values()) stop();
    this.#stops.clear();
  }

  /** By what `#stops` calls them. */
  #followed(): ReadonlyMap<string, Followed> {
    const { namespace, countMax } = this.#options;
    const sink = {
      put: (seen: SeenObject): void => {
        this.#found.set(nameKeyOf(seen), decodeSecret(seen.object, seen));
      },
      removed: (name: ObjectName): void => void this.#found.delete(nameKeyOf(name)),
      health: (): void => {},
    };
    if (namespace !== null) {
      const listed = (keys: ReadonlySet<string>): void => {
        for (const key of this.#found.keys()) if (!keys.has(key)) this.#found.delete(key);
      };
      const all = { ...everyOne(SECRET_KIND, { ...sink, listed }), namespace };
      return this.#wanted.length === 0 ? new Map() : new Map([['', all]]);
    }
    return new Map(
      this.#wanted.slice(0, countMax).map((name) => {
        const key = nameKeyOf(name);
        const listed = (keys: ReadonlySet<string>): void => {
          if (!keys.has(key)) this.#found.delete(key);
        };
        return [key, { kind: SECRET_KIND, ...name, sink: { ...sink, listed } }];
      }),
    );
  }

  /** Null: it is not there, as far as is known. */
  #foundAs(name: SecretName): Decoded<SecretFacts> | null {
    const { namespace } = this.#options;
    // One of that namespace itself is no copy.
    const place = name.namespace === namespace ? name : placeOfSecret(name, namespace);
    const found = this.#found.get(nameKeyOf(place)) ?? null;
    const original = found?.kind === 'facts' ? found.facts.copyOf : null;
    return original === null || nameKeyOf(original) === nameKeyOf(name) ? found : null;
  }
}

function problemOf({ namespace, name }: SecretName, message: string): Problem {
  const place = {
    kind: 'object',
    apiKind: 'Secret',
    namespace,
    name,
    uid: null,
    field: '',
  } as const;
  return { place, field: '', message };
}
