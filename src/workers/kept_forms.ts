/**
 * What the supervisor keeps of the set in force for a thread that goes on where another has ended: the whole of it, and
 * behind it what differs since, so that a pod that comes costs a few hundred bytes, and a policy not much more than its own. Bytes, which nobody but such a
 * thread looks into. Of a set that has texts it is the texts, each time.
 */
import { deserialize, serialize } from 'node:v8';
import type { PolicyDocument } from '../control/decode/policy_document.ts';
import { type Edit, edited, editsBetween } from '../control/set/edits.ts';
import type { PolicyInput } from '../control/set/policy_input.ts';
import type { SourceBundle } from '../control/source/files/source_bundle.ts';
import type { OfferedSet } from '../control/source/source.ts';
import { parseIp } from '../model/address.ts';
import { labelSetKey } from '../policy/labels.ts';
import type { Inventory, InventoryEndpoint } from '../policy/resolve/inventory.ts';

/** The first of it is whole; the others are `moved`. */
export type KeptForms = readonly Uint8Array[];

export interface SentForm {
  /** False: it is what differs from those before it. */
  readonly isWhole: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export type RestoredForm =
  | { readonly kind: 'texts'; readonly texts: SourceBundle }
  | { readonly kind: 'input'; readonly input: PolicyInput };

type Form =
  | { readonly kind: 'texts'; readonly texts: SourceBundle }
  | {
      readonly kind: 'input';
      readonly input: Policies;
      readonly inventory: Omit<Inventory, 'endpoints'>;
      readonly endpoints: PackedEndpoints;
    }
  | {
      readonly kind: 'moved';
      /** Null: the policies are those before. */
      readonly policies: MovedPolicies | null;
      readonly edits: { readonly [Kind in MovedKind]: readonly Moved<Inventory[Kind]>[] };
      readonly endpoints: readonly Moved<PackedEndpoints>[];
    };

type MovedKind = 'identities' | 'cidrs' | 'services';

interface MovedPolicies {
  readonly documents: readonly Edit<PolicyDocument>[];
  readonly others: Omit<PolicyInput, 'parts' | 'inventory' | 'documents'>;
}

/** What goes is known already. */
interface Moved<Come> {
  readonly at: number;
  readonly goneCount: number;
  readonly come: Come;
}

/** Of what many share, each has a number. */
interface PackedEndpoints {
  readonly labels: readonly (readonly string[])[];
  readonly namedPorts: readonly InventoryEndpoint['namedPorts'][];
  readonly rows: readonly PackedEndpoint[];
}

type PackedEndpoint = readonly [
  name: string,
  ips: readonly string[],
  labels: number,
  namedPorts: number,
  ...rest: readonly [
    identity: InventoryEndpoint['identity'],
    endpointId: number,
    isLocal: boolean,
    hostInterface: string | null,
    podUid: string | null,
  ],
];

/** A buffer each. */
const MOVED_COUNT_MAX = 10_000;

export class FormSender {
  #told: PolicyInput | null = null;
  #wholeBytes = 0;
  #movedBytes = 0;
  #movedCount = 0;

  /** Whole when it is the first, when it is texts, and when what differs has become more than that. */
  next(offered: OfferedSet): SentForm {
    const told = this.#told;
    const moved = told === null ? null : movedOf(told, offered);
    if (moved === null) return this.#whole(offered);
    const bytes = bytesOf(moved);
    this.#movedBytes += bytes.byteLength;
    this.#movedCount += 1;
    const isMuch = this.#movedBytes > this.#wholeBytes || this.#movedCount > MOVED_COUNT_MAX;
    if (isMuch) return this.#whole(offered);
    this.#told = offered.input;
    return { isWhole: false, bytes };
  }

  #whole(offered: OfferedSet): SentForm {
    const bytes = bytesOf(wholeOf(offered));
    this.#told = offered.texts === null ? offered.input : null;
    this.#wholeBytes = bytes.byteLength;
    this.#movedBytes = 0;
    this.#movedCount = 0;
    return { isWhole: true, bytes };
  }
}

/** Throws for what `FormSender` did not make. */
export function restoredForm(forms: KeptForms): RestoredForm {
  const [first, ...others] = forms.map((bytes) => deserialize(bytes) as Form);
  if (first === undefined || first.kind === 'moved')
    throw new Error('a form without its beginning');
  if (first.kind === 'texts') return first;
  let policies = first.input;
  let inventory: Inventory = { ...first.inventory, endpoints: unpacked(first.endpoints) };
  for (const form of others) {
    if (form.kind !== 'moved') throw new Error('a form behind another one');
    policies = policiesAfter(policies, form.policies);
    const { identities, cidrs, services } = form.edits;
    inventory = {
      ...inventory,
      endpoints: after(
        inventory.endpoints,
        form.endpoints.map((moved) => ({ ...moved, come: unpacked(moved.come) })),
      ),
      identities: after(inventory.identities, identities),
      cidrs: after(inventory.cidrs, cidrs),
      services: after(inventory.services, services),
    };
  }
  return { kind: 'input', input: { ...policies, inventory, parts: [inventory] } };
}

type Policies = Omit<PolicyInput, 'parts' | 'inventory'>;

function policiesAfter(before: Policies, moved: MovedPolicies | null): Policies {
  if (moved === null) return before;
  return { ...moved.others, documents: edited(before.documents, moved.documents) };
}

function wholeOf({ input, texts }: OfferedSet): Form {
  if (texts !== null) return { kind: 'texts', texts };
  const { inventory, parts: _, ...rest } = input;
  const { endpoints, ...others } = inventory;
  return { kind: 'input', input: rest, inventory: others, endpoints: packed(endpoints) };
}

/** Null: only the whole of it says what differs. */
function movedOf(told: PolicyInput, { input, texts }: OfferedSet): Form | null {
  const { inventory: before } = told;
  const { inventory: after } = input;
  const isSame =
    texts === null &&
    before.cluster === after.cluster &&
    before.here === after.here &&
    before.listeners === after.listeners;
  if (!isSame) return null;
  return {
    kind: 'moved',
    policies: movedPolicies(told, input),
    edits: {
      identities: movedBetween(before.identities, after.identities),
      cidrs: movedBetween(before.cidrs, after.cidrs),
      services: movedBetween(before.services, after.services),
    },
    endpoints: movedBetween(before.endpoints, after.endpoints).map((moved) => ({
      ...moved,
      come: packed(moved.come),
    })),
  };
}

function movedPolicies(told: PolicyInput, input: PolicyInput): MovedPolicies | null {
  const edits = editsBetween(told.documents, input.documents);
  const isSame =
    edits.length === 0 &&
    told.secrets === input.secrets &&
    told.hasNodeLabels === input.hasNodeLabels;
  if (isSame) return null;
  const { inventory: _, parts: __, documents: ___, ...others } = input;
  return { documents: edits, others };
}

function movedBetween<Item extends object>(
  before: readonly Item[],
  after: readonly Item[],
): readonly Moved<readonly Item[]>[] {
  return editsBetween(before, after).map(({ at, gone, come }) => ({
    ...{ at, come },
    goneCount: gone.length,
  }));
}

function after<Item>(
  before: readonly Item[],
  moved: readonly Moved<readonly Item[]>[],
): readonly Item[] {
  const edits = moved.map(({ at, goneCount, come }) => ({
    ...{ at, come },
    gone: before.slice(at, at + goneCount),
  }));
  return edited(before, edits);
}

function packed(endpoints: readonly InventoryEndpoint[]): PackedEndpoints {
  const labels = new Numbered<readonly string[]>();
  const namedPorts = new Numbered<InventoryEndpoint['namedPorts']>();
  const rows = endpoints.map(
    (one): PackedEndpoint => [
      one.name,
      one.ips.map(({ text }) => text),
      labels.of(labelSetKey(one.labels), one.labels),
      namedPorts.of(JSON.stringify(one.namedPorts), one.namedPorts),
      one.identity,
      one.endpointId,
      one.isLocal,
      one.interface,
      one.podUid,
    ],
  );
  return { labels: labels.items, namedPorts: namedPorts.items, rows };
}

function unpacked({ labels, namedPorts, rows }: PackedEndpoints): readonly InventoryEndpoint[] {
  return rows.map(
    ([name, ips, labelsAt, portsAt, identity, endpointId, isLocal, host, podUid]) => ({
      name,
      ips: ips.map(known(parseIp)),
      labels: known((at: number) => labels[at])(labelsAt),
      identity,
      endpointId,
      namedPorts: known((at: number) => namedPorts[at])(portsAt),
      isLocal,
      interface: host,
      podUid,
    }),
  );
}

class Numbered<Item> {
  readonly items: Item[] = [];
  readonly #numbers = new Map<string, number>();

  of(key: string, item: Item): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.items.push(item) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

function known<From, To>(find: (from: From) => To | null | undefined): (from: From) => To {
  return (from) => {
    const found = find(from);
    if (found === null || found === undefined) throw new Error('a form that is not whole');
    return found;
  };
}

/** In a buffer of their own, which can be given away whole. */
function bytesOf(form: Form): Uint8Array<ArrayBuffer> {
  return new Uint8Array(serialize(form));
}
