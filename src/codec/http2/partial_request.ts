/** What a decoded request head says of itself that was refused: for the record only. */
import { type PartialRequest, partialRequest } from '../../model/partial_request.ts';
import { isGrpcType } from '../grpc/content_type.ts';
import type { HpackDecoder } from './hpack_decoder.ts';

/** The first of each; of a head beyond its bounds, what stands at its beginning. */
export function partialRequestOf({ fields }: HpackDecoder): PartialRequest {
  const authority = firstValue(fields, ':authority');
  return partialRequest({
    version: 'HTTP/2',
    method: firstValue(fields, ':method'),
    authority: authority === '' ? firstValue(fields, 'host') : authority,
    path: firstValue(fields, ':path'),
  });
}

/** Whether an answer is to be one of gRPC. */
export function isGrpcRequest({ fields }: HpackDecoder): boolean {
  return isGrpcType(firstValue(fields, 'content-type'));
}

function firstValue(fields: readonly string[], name: string): string {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (fields[i] === name) return fields[i + 1] as string;
  }
  return '';
}
