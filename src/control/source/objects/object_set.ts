/**
 * The objects of an API, each with the last form of it that was good. They are many people's: a bad one is refused
 * alone and told with its name, and its own last good form stays in force. One that never had a good form is absent, as
 * under Cilium, or denies what it selects. Pure: no clock, no I/O; the same history gives the same set.
 */
import type { InvalidPolicy } from '../../../model/invalid_policy.ts';
import type { Inventory } from '../../../policy/resolve/inventory.ts';
import type { DecodeOptions } from '../../decode/context.ts';
import type { PolicyDocument } from '../../decode/policy_document.ts';
import { decodePolicyObject, type ObjectRef } from '../../decode/policy_object.ts';
import type { Problem } from '../../decode/problem.ts';
import type { PolicyInput, RefusedDocument, StandIn } from '../../set/policy_input.ts';
import { denyingForm, standInOf } from './stand_in.ts';

export interface ObjectSetOptions {
  readonly decode: DecodeOptions;
  readonly invalidPolicy: InvalidPolicy;
}

export interface ApiObject {
  readonly ref: ObjectRef;
  /** Of this form of it (`resourceVersion`): the same again is not decoded again. Null: not known. */
  readonly version: string | null;
  /** As `JSON.parse` gives it. */
  readonly object: unknown;
}

/** What an input has beside the objects. */
export interface Surroundings {
  readonly inventory: Inventory;
  readonly secrets: ReadonlyMap<string, string>;
}

/** Names an object: "CiliumNetworkPolicy shop/api". */
export type ObjectKey = string;

interface Form {
  readonly document: PolicyDocument;
  readonly warnings: readonly Problem[];
}

type Newest =
  /** `blame`: why it cannot be enforced beside the others; null: it can, as far as is known. */
  | { readonly kind: 'form'; readonly form: Form; readonly blame: readonly Problem[] | null }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

interface Entry {
  readonly ref: ObjectRef;
  readonly version: string | null;
  readonly newest: Newest;
  /** The last form that was in force. */
  readonly good: Form | null;
  /** Null: nothing stands in for it. */
  readonly standIn: PolicyDocument | null;
  /** Null: the newest form is in force, or will be. */
  readonly told: RefusedDocument | null;
}

export class ObjectSet {
  readonly #options: ObjectSetOptions;
  readonly #entries = new Map<ObjectKey, Entry>();

  constructor(options: ObjectSetOptions) {
    this.#options = options;
  }

  /** False: that form of it is known. */
  put({ ref, version, object }: ApiObject): boolean {
    const key = keyOf(ref);
    const before = this.#entries.get(key);
    // One that was deleted and made anew is another object, and the old one's form says nothing of it.
    const isSame = before !== undefined && before.ref.uid === ref.uid;
    if (isSame && version !== null && before.version === version) return false;
    const good = isSame ? before.good : null;
    const { decode, invalidPolicy } = this.#options;
    const decoded = decodePolicyObject(object, ref, decode);
    if (decoded.kind === 'document') {
      const newest = { kind: 'form', form: decoded, blame: null } as const;
      this.#entries.set(key, entryOf({ ref, version, newest, good, standIn: null }));
      return true;
    }
    const standIn =
      good === null && invalidPolicy === 'deny' ? standInOf(object, ref, decode) : null;
    const newest = { kind: 'refused', problems: decoded.problems } as const;
    this.#entries.set(key, entryOf({ ref, version, newest, good, standIn }));
    return true;
  }

  /** False: it was not there. */
  remove(ref: ObjectRef): boolean {
    return this.#entries.delete(keyOf(ref));
  }

  /** After a new listing: what is not in it is gone. */
  retain(refs: readonly ObjectRef[]): void {
    const listed = new Set(refs.map(keyOf));
    for (const key of this.#entries.keys()) if (!listed.has(key)) this.#entries.delete(key);
  }

  /** Objects whose newest form was decoded and is not in force; what was blamed before is among them. */
  pending(): readonly ObjectKey[] {
    return [...this.#entries].flatMap(([key, { newest, good }]) =>
      newest.kind === 'form' && newest.form !== good ? [key] : [],
    );
  }

  /** The newest form cannot be enforced beside the others; null: it may be tried again. */
  blame(key: ObjectKey, problems: readonly Problem[] | null): void {
    const entry = this.#entries.get(key);
    if (entry?.newest.kind !== 'form' || entry.newest.blame === problems) return;
    const newest = { ...entry.newest, blame: problems };
    const isDenied =
      problems !== null && entry.good === null && this.#options.invalidPolicy === 'deny';
    const standIn = isDenied ? denyingForm(newest.form.document) : null;
    this.#entries.set(key, entryOf({ ...entry, newest, standIn }));
  }

  /** The set of the last snapshot is in force: its forms are good ones. */
  settle(): void {
    for (const [key, entry] of this.#entries) {
      const { newest, good } = entry;
      if (newest.kind !== 'form' || newest.blame !== null || newest.form === good) continue;
      this.#entries.set(key, { ...entry, good: newest.form });
    }
  }

  /** `without`: whose newest forms are to be left out for once. */
  snapshot(
    { inventory, secrets }: Surroundings,
    without: ReadonlySet<ObjectKey> = NONE,
  ): PolicyInput {
    const documents: PolicyDocument[] = [];
    const warnings: Problem[] = [];
    const refused: RefusedDocument[] = [];
    for (const [key, entry] of this.#entries) {
      const form = formInForce(entry, without.has(key));
      if (form !== null) {
        documents.push(form.document);
        warnings.push(...form.warnings);
      } else if (entry.standIn !== null) {
        documents.push(entry.standIn);
      }
      if (entry.told !== null) refused.push(entry.told);
    }
    const hasNodeLabels = this.#options.decode.hasNodeLabels === true;
    const parts = [inventory, secrets, ...documents];
    return { documents, inventory, secrets, hasNodeLabels, warnings, refused, parts };
  }
}

const NONE: ReadonlySet<ObjectKey> = new Set();

export function keyOf({ apiKind, namespace, name }: ObjectRef): ObjectKey {
  return `${apiKind} ${namespace === null ? name : `${namespace}/${name}`}`;
}

function formInForce({ newest, good }: Entry, isLeftOut: boolean): Form | null {
  const isNewest = newest.kind === 'form' && newest.blame === null && !isLeftOut;
  return isNewest ? newest.form : good;
}

function entryOf(entry: Omit<Entry, 'told'>): Entry {
  const { ref, newest, good, standIn } = entry;
  const problems = newest.kind === 'refused' ? newest.problems : newest.blame;
  if (problems === null) return { ...entry, told: null };
  const inForce: StandIn = good !== null ? 'last-good' : standIn !== null ? 'deny' : 'absent';
  return { ...entry, told: { place: { kind: 'object', ...ref, field: '' }, problems, inForce } };
}
