/** What the programs count and remember, for `redirect status` and the metrics. */
import { ipFromBytes } from '../../model/address.ts';
import { COUNTERS, type CounterName } from '../layout.ts';
import type { ReadableMap, Refusal } from './api.ts';

export function readCounters(map: ReadableMap): Record<CounterName, bigint> {
  const read = COUNTERS.map((name, index) => [name, sumOverCpus(map, index)]);
  return Object.fromEntries(read) as Record<CounterName, bigint>;
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
    .map(([key, value]) => decodeRefusal(key, value))
    .sort((a, b) => (a.timeNs < b.timeNs ? 1 : -1));
}

function decodeRefusal(key: Buffer, value: Buffer): Refusal {
  const bytes = key[38] === 4 ? 4 : 16;
  return {
    source: ipFromBytes(key.subarray(0, bytes)).text,
    destination: ipFromBytes(key.subarray(16, 16 + bytes)).text,
    reason: COUNTERS[key.readUInt32LE(32)] ?? 'malformed',
    destinationPort: key.readUInt16BE(36),
    protocol: key.readUInt8(39),
    timeNs: value.readBigUInt64LE(0),
    count: value.readBigUInt64LE(8),
    sourceIdentity: value.readUInt32LE(16),
    destinationIdentity: value.readUInt32LE(20),
  };
}
