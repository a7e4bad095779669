/**
 * Seats of endpoints that have gone. The programs give each holder of connections a share of each table
 * (`bpf/shares.h`), and there is room for the shares of so many: who is gone must not keep one.
 */
import type { Datapath, MapEntry } from './kernel/api.ts';
import { decodeSeatKey, HOLD_HOLDER_AT, SEAT_TUPLE_BYTES } from './layout.ts';

/** How many there were. Call it when what is in force no longer knows them. */
export function freeSeats(maps: Datapath['maps']): number {
  const present = new Set<number>();
  for (const key of maps.endpoints.keys()) present.add(key.readUInt32LE(4));
  // All at once before the first goes: a key that is gone is no place to go on from.
  const gone: MapEntry[] = [];
  for (const entry of maps.seats.entries()) {
    if (!present.has(decodeSeatKey(entry[0]).endpoint)) gone.push(entry);
  }
  for (const [key, seat] of gone) {
    const { table } = decodeSeatKey(key);
    const tuple = seat.subarray(0, SEAT_TUPLE_BYTES);
    const held = table === null ? null : maps[table].lookup(tuple);
    // The connection may be another's by now, with a seat of its own.
    if (table !== null && held?.readUInt32LE(HOLD_HOLDER_AT) === key.readUInt32LE(0)) {
      maps[table].delete(tuple);
    }
    maps.seats.delete(key);
  }
  return gone.length;
}
