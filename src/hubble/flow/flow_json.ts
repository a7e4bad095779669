/**
 * JSON as Cilium's clients and exporter write it: protobuf's form, with the names of the .proto files. Enums are words,
 * 64-bit numbers are texts, and what has its default is left out.
 */
import {
  createRegistry,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  toJson,
} from '@bufbuild/protobuf';
import { StructSchema } from '@bufbuild/protobuf/wkt';

/** What may be in `extensions`. */
const registry = createRegistry(StructSchema);

export function messageJson<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): JsonObject {
  return toJson(schema, message, { useProtoFieldName: true, registry }) as JsonObject;
}

/** Throws for what is no such message. What only a later version of Cilium has is left out. */
export function messageOfJson<Desc extends DescMessage>(
  schema: Desc,
  json: JsonValue,
): MessageShape<Desc> {
  return fromJson(schema, json, { ignoreUnknownFields: true, registry });
}
