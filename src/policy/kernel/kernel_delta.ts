/**
 * What batches of identities change in a table that a kernel has already, so that it need not be given another one.
 * Pure. Any packet's verdict hangs on at most one of these changes: of two sides, one at most is no workload of this
 * node, and what changes for workloads is another table. So each change may come into force by itself, in any order
 * but one: an identity's verdicts are there as long as an address is.
 */
import type { IpPrefix } from '../../model/address.ts';
import { IDENTITY_WORLD, type Identity } from '../../model/identity.ts';
import type { PolicySnapshot, Who } from '../compiled/snapshot.ts';
import type { IdentityBatch } from '../identity/delta.ts';
import type { Ipcache } from '../identity/ipcache.ts';
import type { KernelTable } from './kernel_table.ts';
import type { KernelVerdict } from './kernel_verdict.ts';

export interface SlotVerdict {
  readonly slot: number;
  readonly identity: Identity;
  readonly verdict: KernelVerdict;
}

/** In the order in which it is to be written. */
export interface KernelDelta {
  readonly verdicts: readonly SlotVerdict[];
  readonly addresses: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly goneAddresses: readonly IpPrefix[];
  readonly goneVerdicts: readonly SlotVerdict[];
}

/** `table`: made of `before`, or of an earlier snapshot with deltas since. Null: another table is needed. */
export function kernelDelta(
  table: KernelTable,
  moved: {
    readonly before: PolicySnapshot;
    readonly after: PolicySnapshot;
    readonly batches: readonly IdentityBatch[];
  },
): KernelDelta | null {
  const { before, after, batches } = moved;
  if (before.who === null || after.who === null) return null;
  if (before.who.layout !== after.who.layout) return null;
  if (JSON.stringify(before.node.workloads) !== JSON.stringify(after.node.workloads)) return null;
  const { identities, prefixes, endpoints } = touchedBy(batches);
  // Its identity may be the same, and its policy another: that of other named ports.
  if (after.node.workloads.some(({ name }) => endpoints.has(name))) return null;
  const verdicts: SlotVerdict[] = [];
  const goneVerdicts: SlotVerdict[] = [];
  for (const identity of identities) {
    const was = before.who.roster.entry(identity);
    const is = after.who.roster.entry(identity);
    // The number means others now: for two endpoints of this node both halves would change, one after the other.
    if (was !== null && is !== null && was !== is) return null;
    if ((was === null) === (is === null)) continue;
    const { remotes } = is === null ? before.who : after.who;
    const exceptions = table.slotIndex.exceptionsOf(remotes.of(identity));
    if (exceptions === null) return null;
    const list = is === null ? goneVerdicts : verdicts;
    for (const [slot, verdict] of exceptions) list.push({ slot, identity, verdict });
  }
  const narrowing = new Narrowing(table, { before: before.who, after: after.who });
  const addresses: { readonly prefix: IpPrefix; readonly identity: Identity }[] = [];
  const goneAddresses: IpPrefix[] = [];
  for (const prefix of prefixes.values()) {
    const identity = after.who.roster.ipcache.exact(prefix);
    if (identity === before.who.roster.ipcache.exact(prefix)) continue;
    if (narrowing.isAt(prefix)) return null;
    if (identity === null) goneAddresses.push(prefix);
    else addresses.push({ prefix, identity });
  }
  return { verdicts, addresses, goneAddresses, goneVerdicts };
}

/**
 * Where addresses may do less than before. A flow that passes in the kernel is asked again when the generation is
 * another, and only then: it would go on by the verdict of who had its address when it began.
 */
class Narrowing {
  readonly #table: KernelTable;
  readonly #moved: { readonly before: Who; readonly after: Who };
  readonly #known = new Map<string, boolean>();

  constructor(table: KernelTable, moved: { readonly before: Who; readonly after: Who }) {
    this.#table = table;
    this.#moved = moved;
  }

  isAt(prefix: IpPrefix): boolean {
    const { before, after } = this.#moved;
    const had = ownerOf(before.roster.ipcache, prefix);
    const has = ownerOf(after.roster.ipcache, prefix);
    if (had === has) return false;
    const key = `${had} ${has}`;
    let isNarrower = this.#known.get(key);
    if (isNarrower === undefined) {
      isNarrower = this.#isNarrower(had, has);
      this.#known.set(key, isNarrower);
    }
    return isNarrower;
  }

  #isNarrower(had: Identity, has: Identity): boolean {
    const { slotIndex, slots } = this.#table;
    const was = slotIndex.exceptionsOf(this.#moved.before.remotes.of(had));
    const is = slotIndex.exceptionsOf(this.#moved.after.remotes.of(has));
    if (was === null || is === null) return true;
    // What everybody gets in a slot is unknown here, but it is nothing that the slot lists.
    const isLess = (before: KernelVerdict | undefined, slot: number): boolean =>
      before !== is.get(slot) &&
      (before === 'allow' || before === undefined) &&
      is.get(slot) !== 'allow';
    return (
      [...was].some(([slot, verdict]) => isLess(verdict, slot)) ||
      [...is.keys()].some((slot) => isLess(was.get(slot), slot)) ||
      // Rules that name their remotes by number: no selector leads to them.
      slots.some((slot, index) => slot.get(had) === 'allow' && is.get(index + 1) !== 'allow')
    );
  }
}

/** Who has the addresses that no longer prefix gives to others; nobody's are the world's. */
function ownerOf(ipcache: Ipcache, prefix: IpPrefix): Identity {
  for (let { length } = prefix; length >= 0; length--) {
    const identity = ipcache.exact({ ...prefix, length });
    if (identity !== null) return identity;
  }
  return IDENTITY_WORLD;
}

function touchedBy(batches: readonly IdentityBatch[]): {
  readonly identities: ReadonlySet<Identity>;
  readonly prefixes: ReadonlyMap<string, IpPrefix>;
  readonly endpoints: ReadonlySet<string>;
} {
  const identities = new Set<Identity>();
  const prefixes = new Map<string, IpPrefix>();
  const endpoints = new Set<string>();
  for (const delta of batches.flatMap(({ deltas }) => deltas)) {
    switch (delta.kind) {
      case 'add-identity':
      case 'remove-identity':
        identities.add(delta.identity);
        break;
      case 'upsert-address':
      case 'remove-address':
        prefixes.set(delta.prefix.text, delta.prefix);
        break;
      case 'upsert-endpoint':
        endpoints.add(delta.endpoint.name);
        break;
      case 'remove-endpoint':
        endpoints.add(delta.name);
        break;
    }
  }
  return { identities, prefixes, endpoints };
}
