/**
 * Addresses that names taught, as they come and go beside a set that stays: which identity each gets and which are used no
 * more, by looking at those alone. Says what `buildIdentityTable` says.
 */
import type { IpAddress, IpPrefix, IpText } from '../../model/address.ts';
import type { Identity } from '../../model/identity.ts';
import type { IdentityFacts } from '../../policy/identity/ledger.ts';
import type { Roster } from '../../policy/identity/roster.ts';
import type {
  AllocationRequest,
  IdentityAllocator,
  TakenIdentities,
} from '../../policy/resolve/identity_allocator.ts';
import type { IdentityTable } from '../../policy/resolve/identity_table.ts';
import type { LearnedAddress } from '../../policy/resolve/inventory.ts';
import { type LearnedGroup, learnedGroup } from '../../policy/resolve/learned_addresses.ts';
import { fullPrefix } from '../../policy/resolve/prefixes.ts';
import type { ChangedItems } from './edits.ts';

export interface PlannedLearned {
  readonly kept: readonly IdentityFacts[];
  readonly gone: readonly Identity[];
  readonly goneRequests: readonly AllocationRequest[];
  readonly addresses: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly goneAddresses: readonly IpPrefix[];
  commit(): void;
}

/** One object a group: there are as many addresses as there are few groups. */
interface GroupUse {
  readonly identity: Identity;
  readonly group: LearnedGroup;
  readonly count: number;
}

/** What one step changes, before it is done. */
interface Step {
  /** Null: names do not change who it is any more. */
  readonly groups: Map<IpText, LearnedGroup | null>;
  readonly overridden: Map<IpText, Identity>;
  readonly counts: Map<string, number>;
  readonly fresh: Map<string, LearnedGroup>;
}

export class MovingLearned {
  readonly #allocator: IdentityAllocator;
  readonly #groups: Map<IpText, LearnedGroup>;
  readonly #uses = new Map<string, GroupUse>();
  /** Addresses that names do not change: somebody's in the cluster. */
  readonly #skipped = new Set<IpText>();
  /** Who has an address that has a prefix of its own, without its names. */
  readonly #overridden = new Map<IpText, Identity>();

  constructor(
    { learned, ipcache }: Pick<IdentityTable, 'learned' | 'ipcache'>,
    parts: {
      readonly allocator: IdentityAllocator;
      readonly items: readonly LearnedAddress[];
      /** Texts of prefixes that rules and the inventory name. */
      readonly prefixes: Iterable<string>;
    },
  ) {
    const { groups, base } = learned;
    this.#allocator = parts.allocator;
    this.#groups = new Map(groups);
    for (const { address } of parts.items) {
      const group = groups.get(address.text);
      if (group === undefined) this.#skipped.add(address.text);
      else this.#count(group, ipcache.exact(fullPrefix(address)) as Identity, 1);
    }
    for (const text of parts.prefixes) {
      const ip = text.slice(0, text.lastIndexOf('/')) as IpText;
      const identity = groups.has(ip) ? base.lookup(ip) : null;
      if (identity !== null) this.#overridden.set(ip, identity);
    }
  }

  get isEmpty(): boolean {
    return this.#groups.size === 0 && this.#skipped.size === 0;
  }

  has(ip: IpText): boolean {
    return this.#groups.has(ip) || this.#skipped.has(ip);
  }

  /** Null: no number is left. Changes nothing before `commit`. */
  plan(
    { gone, come }: ChangedItems<LearnedAddress>,
    parts: {
      /** As it was before, where no address in the change is anybody else's. */
      readonly roster: Roster;
      readonly isByHand: (identity: Identity) => boolean;
      readonly taken: TakenIdentities;
    },
  ): PlannedLearned | null {
    if (gone.length === 0 && come.length === 0) return NOTHING;
    const step: Step = {
      ...{ groups: new Map(), overridden: new Map() },
      ...{ counts: new Map(), fresh: new Map() },
    };
    for (const { address } of gone) this.#leave(step, address);
    for (const item of come) this.#come(step, item, parts);
    const requests = Array.from(step.fresh.values(), ({ request }) => request);
    const given = this.#allocator.allocate(requests, parts.taken);
    return given === null ? null : this.#planned(step, { given, gone, come });
  }

  #leave({ groups, counts }: Step, { text }: IpAddress): void {
    groups.set(text, null);
    const key = this.#groups.get(text)?.request.key;
    if (key !== undefined) counts.set(key, (counts.get(key) ?? 0) - 1);
  }

  #come(
    { groups, overridden, counts, fresh }: Step,
    { address, labels }: LearnedAddress,
    { roster, isByHand }: { readonly roster: Roster; isByHand(identity: Identity): boolean },
  ): void {
    const prefix = fullPrefix(address);
    const { text } = address;
    const own = this.#groups.has(text)
      ? (this.#overridden.get(text) ?? null)
      : roster.ipcache.exact(prefix);
    const cover =
      own === null ? roster.ipcache.cover(address, prefix.length - 1) : { prefix, identity: own };
    const entry = cover === null ? null : roster.entry(cover.identity);
    const isHand = cover !== null && isByHand(cover.identity);
    const found = learnedGroup(address, labels, { cover, entry, isByHand: isHand });
    const known = found === null ? undefined : this.#uses.get(found.request.key)?.group;
    const group = known ?? (found === null ? null : (fresh.get(found.request.key) ?? found));
    groups.set(text, group);
    if (group === null) return;
    if (own !== null) overridden.set(text, own);
    const { key } = group.request;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (!this.#uses.has(key)) fresh.set(key, group);
  }

  #planned(
    step: Step,
    {
      given,
      gone,
      come,
    }: ChangedItems<LearnedAddress> & { readonly given: ReadonlyMap<string, Identity> },
  ): PlannedLearned {
    const identityOf = ({ request: { key } }: LearnedGroup): Identity =>
      this.#uses.get(key)?.identity ?? (given.get(key) as Identity);
    const addresses = come.flatMap(({ address }) => {
      const group = step.groups.get(address.text) ?? null;
      return group === null ? [] : [{ prefix: fullPrefix(address), identity: identityOf(group) }];
    });
    const goneAddresses: IpPrefix[] = [];
    for (const { address } of gone) {
      const { text } = address;
      const isStill = (step.groups.get(text) ?? null) !== null;
      if (isStill || !this.#groups.has(text)) continue;
      const own = this.#overridden.get(text);
      if (own === undefined) goneAddresses.push(fullPrefix(address));
      else addresses.push({ prefix: fullPrefix(address), identity: own });
    }
    const unused = [...step.counts].flatMap(([key, by]) => {
      const use = this.#uses.get(key);
      return use !== undefined && use.count + by === 0 ? [use] : [];
    });
    return {
      kept: Array.from(step.fresh.values(), (group) => ({
        identity: identityOf(group),
        labels: group.labels,
        prefixes: group.prefixes,
      })),
      gone: unused.map(({ identity }) => identity),
      goneRequests: unused.map(({ group }) => group.request),
      addresses,
      goneAddresses,
      commit: () => this.#commit(step, { gone, come, identityOf }),
    };
  }

  #commit(
    { groups, overridden }: Step,
    {
      gone,
      come,
      identityOf,
    }: ChangedItems<LearnedAddress> & { identityOf(group: LearnedGroup): Identity },
  ): void {
    const before = new Map<string, Identity>();
    for (const group of groups.values()) {
      if (group !== null) before.set(group.request.key, identityOf(group));
    }
    for (const { address } of gone) {
      const { text } = address;
      const group = this.#groups.get(text);
      if (group !== undefined) this.#count(group, 0 as Identity, -1);
      this.#groups.delete(text);
      this.#skipped.delete(text);
      if (!overridden.has(text)) this.#overridden.delete(text);
    }
    for (const { address } of come) {
      const { text } = address;
      const group = groups.get(text) ?? null;
      if (group === null) {
        this.#skipped.add(text);
        continue;
      }
      this.#groups.set(text, group);
      this.#count(group, before.get(group.request.key) as Identity, 1);
    }
    for (const [text, identity] of overridden) this.#overridden.set(text, identity);
  }

  /** `identity`: of one that nobody has yet. */
  #count(group: LearnedGroup, identity: Identity, by: 1 | -1): void {
    const { key } = group.request;
    const known = this.#uses.get(key);
    const count = (known?.count ?? 0) + by;
    if (count === 0) this.#uses.delete(key);
    else if (known !== undefined) this.#uses.set(key, { ...known, count });
    else this.#uses.set(key, { identity, group, count });
  }
}

const NOTHING: PlannedLearned = {
  ...{ kept: [], gone: [], goneRequests: [], addresses: [], goneAddresses: [] },
  commit: () => {},
};
