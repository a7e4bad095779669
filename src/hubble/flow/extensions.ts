/**
 * What Hubble has no field for: everything else that `GET /flows` tells, in `Flow.extensions`. A Struct is known to
 * every client, so that none fails to print it.
 */
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { type Any, anyPack, StructSchema } from '@bufbuild/protobuf/wkt';
import type { Flow } from '../../model/flow.ts';
import { flowDocument } from '../../observe/flow/flow_document.ts';

/** Told by fields of Hubble's. */
const TOLD: ReadonlySet<string> = new Set([
  ...['id', 'node', 'time', 'verdict', 'direction', 'source', 'destination', 'transport'],
  ...['isReply', 'http', 'dns', 'trace', 'revision', 'source_service', 'destination_service'],
]);

export function extensionsOf(flow: Flow): Any {
  const rest = Object.entries(flowDocument(flow)).filter(([name]) => !TOLD.has(name));
  return anyPack(StructSchema, fromJson(StructSchema, Object.fromEntries(rest) as JsonObject));
}
