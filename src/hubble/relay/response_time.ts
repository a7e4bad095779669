/** The time of a response of GetFlows, without a look at the rest: what a newer agent tells passes as it is. */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

const TIME = 1001;
const SECONDS = 1;
const NANOS = 2;
const NS_PER_SECOND = 1_000_000_000n;

/** 0 when it has none. Throws for what is no message. */
export function responseTimeNs(bytes: Uint8Array): bigint {
  const reader = new BinaryReader(bytes);
  let timeNs = 0n;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === TIME && type === WireType.LengthDelimited) timeNs = timestampNs(reader.bytes());
    else reader.skip(type, field);
  }
  return timeNs;
}

function timestampNs(bytes: Uint8Array): bigint {
  const reader = new BinaryReader(bytes);
  let seconds = 0n;
  let nanos = 0;
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === SECONDS && type === WireType.Varint) seconds = BigInt(reader.int64());
    else if (field === NANOS && type === WireType.Varint) nanos = reader.int32();
    else reader.skip(type, field);
  }
  return seconds * NS_PER_SECOND + BigInt(nanos);
}
