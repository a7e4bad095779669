/** Methods of a service, for grpc-js, from the descriptor that the generator wrote. */
import {
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from '@bufbuild/protobuf';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

/** `name`: where it is not the descriptor's own, as of an older version with the same messages. */
export function serviceDefinition(
  service: DescService,
  name: string = service.typeName,
): ServiceDefinition {
  const methods = service.methods.map((method) => [method.name, methodDefinition(name, method)]);
  return Object.fromEntries(methods) as ServiceDefinition;
}

function methodDefinition(
  service: string,
  { name, input, output, methodKind }: DescMethod,
): MethodDefinition<Message, Message> {
  return {
    path: `/${service}/${name}`,
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: (message) => bytesOf(input, message),
    requestDeserialize: (bytes) => fromBinary(input, bytes),
    responseSerialize: (message) => bytesOf(output, message),
    responseDeserialize: (bytes) => fromBinary(output, bytes),
  };
}

function bytesOf(schema: DescMessage, message: Message): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
