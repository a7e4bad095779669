/**
 * Changes of the tables in force, under their own generation. The order is what keeps everything judged as before or as
 * after: verdicts of an identity are there before an address is its, and go after its addresses. A loader that dies in
 * between leaves some of the changes made; the next one writes everything anew.
 */
import type { IpPrefix } from '../model/address.ts';
import type { Identity } from '../model/identity.ts';
import type { MapEntry } from './kernel/api.ts';
import {
  encodeAddress,
  encodeAddressKey,
  encodeVerdict,
  encodeVerdictKey,
  identityCheck,
} from './layout.ts';
import { type PlannedVerdict, VERDICTS } from './plan.ts';

export interface TableDelta {
  readonly verdicts: readonly PlacedVerdict[];
  readonly addresses: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly goneAddresses: readonly IpPrefix[];
  readonly goneVerdicts: readonly Omit<PlacedVerdict, 'verdict'>[];
  readonly labelsOf: (identity: Identity) => readonly string[];
}

export interface PlacedVerdict {
  readonly slot: number;
  readonly identity: Identity;
  readonly verdict: PlannedVerdict;
}

export type TableWrite =
  | { readonly map: 'verdicts' | 'addresses'; readonly entries: readonly MapEntry[] }
  | { readonly map: 'verdicts' | 'addresses'; readonly goneKeys: readonly Buffer[] };

/** In the order in which they are to be made. */
export function writesOf(delta: TableDelta, generation: number): readonly TableWrite[] {
  const { verdicts, addresses, goneAddresses, goneVerdicts, labelsOf } = delta;
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
        const check = identityCheck(labelsOf(identity));
        return [
          encodeAddressKey(generation, prefix),
          encodeAddress({ identity, check, endpoint: 0 }),
        ];
      }),
    },
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
