/** What the programs count and remember, for `redirect status` and the metrics. */
import { ipFromBytes } from '../../model/address.ts';
import { COUNTERS } from '../layout.ts';
import type { ReadableMap, Refusal } from './api.ts';

/** `names` in the order of the program's enum. */
export function readCounters<N extends string>(
  map: ReadableMap,
  names: readonly N[],
): Record<N, bigint> {
  const read = names.map((name, index) => [name, sumOverCpus(map, index)]);
  return Object.fromEntries(read) as Record<N, bigint>;
}

function sumOverCpus(map: ReadableMap, index: number): bigint {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  const values = map.lookup(key);
  let sum = 0n;
  for (let at = 0; values !== null && at < values.length; at += 8)
    sum += values.readBigUInt64LE(at);
  return sum;
}

/** The latest first. */
export function readRefusals(map: ReadableMap): Refusal[] {
  return [...map.entries()]
    .map(([, value]) => decodeRefusal(value))
    .sort((a, b) => (a.timeNs < b.timeNs ? 1 : -1));
}

function decodeRefusal(value: Buffer): Refusal {
  const bytes = value[38] === 4 ? 4 : 16;
  return {
    source: ipFromBytes(value.subarray(0, bytes)).text,
    destination: ipFromBytes(value.subarray(16, 16 + bytes)).text,
    reason: COUNTERS[value.readUInt32LE(32)] ?? 'malformed',
    destinationPort: value.readUInt16BE(36),
    protocol: value.readUInt8(39),
    timeNs: value.readBigUInt64LE(40),
    count: value.readBigUInt64LE(48),
    sourceIdentity: value.readUInt32LE(56),
    destinationIdentity: value.readUInt32LE(60),
  };
}
