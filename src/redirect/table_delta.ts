/**
 * Changes of the tables in force, under their own generation. The order is what keeps everything judged as before or as
 * after: verdicts of an identity are there before an address is its, or a Service leads to it, and go after both. A
 * loader that dies in between leaves some of the changes made; the next one writes everything anew.
 */
import type { IpPrefix } from '../model/address.ts';
import type { Identity } from '../model/identity.ts';
import type { BehindChanges } from './behind.ts';
import type { MapEntry } from './kernel/api.ts';
import { encodeAddressKey, encodeVerdict, encodeVerdictKey } from './layout.ts';
import { addressValue, behindEntries, behindKey, type PlannedVerdict, VERDICTS } from './plan.ts';

export interface TableDelta {
  readonly verdicts: readonly PlacedVerdict[];
  readonly addresses: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly goneAddresses: readonly IpPrefix[];
  readonly goneVerdicts: readonly Omit<PlacedVerdict, 'verdict'>[];
  readonly labelsOf: (identity: Identity) => readonly string[];
  readonly behind: BehindChanges;
}

/** Nobody is another one: only Services lead to others. */
export function servicesDelta(behind: BehindChanges): TableDelta {
  const none = { verdicts: [], addresses: [], goneAddresses: [], goneVerdicts: [] };
  return { ...none, behind, labelsOf: () => [] };
}

export interface PlacedVerdict {
  readonly slot: number;
  readonly identity: Identity;
  readonly verdict: PlannedVerdict;
}

type DeltaMap = 'verdicts' | 'addresses' | 'behind';

export type TableWrite =
  | { readonly map: DeltaMap; readonly entries: readonly MapEntry[] }
  | { readonly map: DeltaMap; readonly goneKeys: readonly Buffer[] }
  /** What was judged by Services before is asked again. */
  | { readonly map: 'settings' };

/** In the order in which they are to be made. */
export function writesOf(
  delta: TableDelta,
  generation: number,
  serial: number,
): readonly TableWrite[] {
  const { verdicts, addresses, goneAddresses, goneVerdicts, labelsOf, behind } = delta;
  return [
    {
      map: 'verdicts',
      entries: verdicts.map(
        ({ slot, identity, verdict }): MapEntry => [
          encodeVerdictKey(generation, slot, identity),
          encodeVerdict(VERDICTS[verdict]),
        ],
      ),
    },
    {
      map: 'addresses',
      entries: innermostFirst(addresses, ({ prefix }) => prefix).map(({ prefix, identity }) => {
        return [encodeAddressKey(generation, prefix), addressValue({ labelsOf }, identity, 0)];
      }),
    },
    ...behindWrites(behind, generation, serial),
    {
      map: 'addresses',
      goneKeys: innermostFirst(goneAddresses, (prefix) => prefix)
        .toReversed()
        .map((prefix) => encodeAddressKey(generation, prefix)),
    },
    {
      map: 'verdicts',
      goneKeys: goneVerdicts.map(({ slot, identity }) =>
        encodeVerdictKey(generation, slot, identity),
      ),
    },
  ];
}

function behindWrites(
  { written, gone }: BehindChanges,
  generation: number,
  serial: number,
): readonly TableWrite[] {
  if (written.length + gone.length === 0) return [];
  return [
    { map: 'behind', entries: [...behindEntries(written, generation, serial)] },
    { map: 'behind', goneKeys: gone.map((one) => behindKey(one, generation)) },
    { map: 'settings' },
  ];
}

/**
 * A prefix may lie in another one that changes, too. What comes is written from the inside out, and what goes from the
 * outside in: so an address goes from who had it to who has it, and is nobody else's in between.
 */
function innermostFirst<Item>(
  items: readonly Item[],
  prefixOf: (item: Item) => IpPrefix,
): readonly Item[] {
  return items.toSorted((a, b) => prefixOf(b).length - prefixOf(a).length);
}
