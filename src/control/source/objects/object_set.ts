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
  /** Of this form of it: the same again is not decoded again. Null: not known. */
  readonly version: string | null;
  /** As `JSON.parse` gives it. */
  readonly object: unknown;
}

/** Last good forms, as they were before this process or thread. */
export interface GoodObject {
  readonly ref: ObjectRef;
  readonly object: unknown;
}

/** An object with what is in force of it, as it can be put again later. */
export interface StoredObject extends ApiObject {
  /** The last good form; null: it never had one. */
  readonly good: unknown;
}

/** What an input has beside the objects. */
export interface Surroundings {
  readonly inventory: Inventory;
  readonly secrets: ReadonlyMap<string, string>;
  /** Of files. An object of the kind and name of one of them is refused. */
  readonly documents: readonly PolicyDocument[];
  readonly warnings: readonly Problem[];
}

/** Names an object: "CiliumNetworkPolicy shop/api". */
export type ObjectKey = string;

interface Form {
  readonly document: PolicyDocument;
  readonly warnings: readonly Problem[];
  /** What it was decoded from. */
  readonly object: unknown;
}

type Newest =
  /** `blame`: why it cannot be enforced beside the others; null: it can, as far as is known. */
  | { readonly kind: 'form'; readonly form: Form; readonly blame: readonly Problem[] | null }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

interface Entry {
  readonly ref: ObjectRef;
  readonly version: string | null;
  /** As it was put last. */
  readonly object: unknown;
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
  /** Of the entries as they are: most changes of a cluster are none of its policies. */
  #pending: readonly ObjectKey[] | null = null;
  #contents: Contents | null = null;
  /** Of objects that have not been put yet. */
  readonly #seeds = new Map<ObjectKey, GoodObject>();
  /** Those that there was no room for. */
  readonly #left = new Set<ObjectKey>();
  /** Those that files have, with what is told of them. */
  #shadowed: ReadonlyMap<ObjectKey, RefusedDocument> = new Map();

  constructor(options: ObjectSetOptions) {
    this.#options = options;
  }

  /** How many there was no room for. While there is one, a set without it is not what the API says. */
  get leftCount(): number {
    return this.#left.size;
  }

  /** There may be room now for those that were left out: they have to be put again. */
  get hasRoomAgain(): boolean {
    return this.#left.size > 0 && this.#entries.size + this.#left.size <= this.#countMax;
  }

  /** Good forms of before, for objects that will be put. */
  seed(objects: readonly GoodObject[]): void {
    for (const object of objects) this.#seeds.set(keyOf(object.ref), object);
  }

  /** False: that form of it is known. */
  put({ ref, version, object }: ApiObject): boolean {
    const key = keyOf(ref);
    const before = this.#entries.get(key);
    if (before === undefined && this.#entries.size >= this.#countMax) {
      this.#left.add(key);
      return true;
    }
    this.#left.delete(key);
    // One that was deleted and made anew is another object, and the old one's form says nothing of it.
    const isSame = before !== undefined && before.ref.uid === ref.uid;
    if (isSame && version !== null && before.version === version) return false;
    const kept = isSame ? before.good : null;
    const { decode, invalidPolicy } = this.#options;
    const decoded = decodePolicyObject(object, ref, decode);
    if (decoded.kind === 'document') {
      const newest = { kind: 'form', form: { ...decoded, object }, blame: null } as const;
      this.#set(key, entryOf({ ref, version, object, newest, good: kept, standIn: null }));
      return true;
    }
    const good = kept ?? this.#seedOf(ref);
    const standIn =
      good === null && invalidPolicy === 'deny' ? standInOf(object, ref, decode) : null;
    const newest = { kind: 'refused', problems: decoded.problems } as const;
    this.#set(key, entryOf({ ref, version, object, newest, good, standIn }));
    return true;
  }

  /** False: it was not there. */
  remove(ref: ObjectRef): boolean {
    const key = keyOf(ref);
    this.#seeds.delete(key);
    return this.#left.delete(key) || this.#delete(key);
  }

  /** After a new listing: what is not in it is gone. */
  retain(refs: readonly ObjectRef[]): void {
    const listed = new Set(refs.map(keyOf));
    for (const key of this.#entries.keys()) if (!listed.has(key)) this.#delete(key);
    for (const key of this.#left) if (!listed.has(key)) this.#left.delete(key);
  }

  /** What these documents of files are called belongs to them. */
  shadow(documents: readonly PolicyDocument[]): void {
    const keys = documents.map(({ kind, name }) => `${kind} ${name}`);
    const shadowed = new Map<ObjectKey, RefusedDocument>();
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry === undefined) continue;
      shadowed.set(key, this.#shadowed.get(key) ?? shadowedBy(entry.ref));
    }
    this.#shadowed = shadowed;
  }

  /** Good forms of before take part in what is tried from now on: their newest forms may not be good. */
  growSeeds(): void {
    if (this.#seeds.size === 0) return;
    for (const [key, entry] of this.#entries) {
      const good = entry.good ?? this.#seedOf(entry.ref);
      if (good !== entry.good) this.#set(key, entryOf({ ...entry, good }));
    }
  }

  /** Objects whose newest form was decoded and is not in force; what was blamed before is among them. */
  pending(): readonly ObjectKey[] {
    this.#pending ??= [...this.#entries].flatMap(([key, { newest, good }]) =>
      newest.kind === 'form' && newest.form !== good ? [key] : [],
    );
    return this.#shadowed.size === 0
      ? this.#pending
      : this.#pending.filter((key) => !this.#shadowed.has(key));
  }

  /** The newest form cannot be enforced beside the others; null: it may be tried again. */
  blame(key: ObjectKey, problems: readonly Problem[] | null): void {
    const entry = this.#entries.get(key);
    if (entry?.newest.kind !== 'form' || entry.newest.blame === problems) return;
    const newest = { ...entry.newest, blame: problems };
    const isDenied =
      problems !== null && entry.good === null && this.#options.invalidPolicy === 'deny';
    const standIn = isDenied ? denyingForm(newest.form.document) : null;
    this.#set(key, entryOf({ ...entry, newest, standIn }));
  }

  /** The set of the last snapshot is in force: its forms are good ones. */
  settle(): void {
    this.#seeds.clear();
    for (const key of this.pending()) {
      const entry = this.#entries.get(key);
      if (entry?.newest.kind !== 'form' || entry.newest.blame !== null) continue;
      this.#set(key, { ...entry, good: entry.newest.form });
    }
  }

  stored(): readonly StoredObject[] {
    return [...this.#entries.values()].map(({ ref, version, object, good }) => ({
      ref,
      version,
      object,
      good: good === null ? null : good.object,
    }));
  }

  /** Of those alone whose newest form is another: nobody can read it from the API any more. */
  lostForms(): readonly GoodObject[] {
    return [...this.#entries.values()].flatMap(({ ref, good, newest }) => {
      const isNewest = newest.kind === 'form' && newest.form === good;
      return good === null || isNewest ? [] : [{ ref, object: good.object }];
    });
  }

  /** Those whose newest form is not in force. */
  refused(): readonly RefusedDocument[] {
    const told = [...this.#entries].flatMap(([key, { told }]) =>
      told === null || this.#shadowed.has(key) ? [] : [told],
    );
    return [...this.#shadowed.values(), ...told];
  }

  /** What denies what refused objects select. */
  standIns(): readonly { readonly refused: RefusedDocument; readonly document: PolicyDocument }[] {
    return [...this.#entries].flatMap(([key, { told, good, standIn }]) => {
      const isDenied = told !== null && good === null && standIn !== null;
      return isDenied && !this.#shadowed.has(key) ? [{ refused: told, document: standIn }] : [];
    });
  }

  /** `without`: whose newest forms are to be left out for once. */
  snapshot(surroundings: Surroundings, without: ReadonlySet<ObjectKey> = NONE): PolicyInput {
    const { inventory, secrets } = surroundings;
    const isKept = without.size === 0 && this.#shadowed.size === 0;
    const known = isKept && isAmong(surroundings, this.#contents) ? this.#contents : null;
    const contents = known ?? this.#contentsIn(surroundings, without);
    if (isKept) this.#contents = contents;
    const { documents, warnings, refused } = contents;
    const hasNodeLabels = this.#options.decode.hasNodeLabels === true;
    const parts = [inventory, secrets, ...documents];
    const rest = { warnings, refused, areConflictsDenied: true, parts };
    return { documents, inventory, secrets, hasNodeLabels, ...rest };
  }

  #contentsIn(surroundings: Surroundings, without: ReadonlySet<ObjectKey>): Contents {
    const documents: PolicyDocument[] = [...surroundings.documents];
    const warnings: Problem[] = [...surroundings.warnings];
    const refused: RefusedDocument[] = [...this.#shadowed.values()];
    for (const [key, entry] of this.#entries) {
      if (this.#shadowed.has(key)) continue;
      const form = formInForce(entry, without.has(key));
      if (form !== null) {
        documents.push(form.document);
        warnings.push(...form.warnings);
      } else if (entry.standIn !== null) {
        documents.push(entry.standIn);
      }
      if (entry.told !== null) refused.push(entry.told);
    }
    return { surroundings, documents, warnings, refused };
  }

  #set(key: ObjectKey, entry: Entry): void {
    this.#entries.set(key, entry);
    this.#forget();
  }

  #delete(key: ObjectKey): boolean {
    this.#forget();
    return this.#entries.delete(key);
  }

  #forget(): void {
    this.#pending = null;
    this.#contents = null;
  }

  get #countMax(): number {
    return this.#options.decode.limits.kubePolicyCountMax;
  }

  #seedOf(ref: ObjectRef): Form | null {
    const seed = this.#seeds.get(keyOf(ref));
    if (seed === undefined || seed.ref.uid !== ref.uid) return null;
    const decoded = decodePolicyObject(seed.object, ref, this.#options.decode);
    return decoded.kind === 'document' ? { ...decoded, object: seed.object } : null;
  }
}

/** What a snapshot has of the objects, and of the files beside them. */
interface Contents {
  readonly surroundings: Pick<Surroundings, 'documents' | 'warnings'>;
  readonly documents: readonly PolicyDocument[];
  readonly warnings: readonly Problem[];
  readonly refused: readonly RefusedDocument[];
}

function isAmong({ documents, warnings }: Surroundings, contents: Contents | null): boolean {
  const known = contents?.surroundings;
  return known?.documents === documents && known.warnings === warnings;
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

function shadowedBy(ref: ObjectRef): RefusedDocument {
  const place = { kind: 'object', ...ref, field: '' } as const;
  const message = 'a policy file has one of this kind and name, which is in force in its place';
  return { place, problems: [{ place, field: '', message }], inForce: 'absent' };
}
