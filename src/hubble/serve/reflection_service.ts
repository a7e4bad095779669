/** Server reflection: what tools such as grpcurl ask, to know what they can ask. */
import { create, type DescFile, type Message, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { type ServerDuplexStream, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '../generated/reflection/reflection_pb.ts';

type Answer = ServerReflectionResponse['messageResponse'];

export function reflectionMethods(roots: readonly DescFile[]): UntypedServiceImplementation {
  const files = new Map<string, DescFile>();
  for (const root of roots) addFiles(files, root);
  const services = roots.flatMap((root) => root.services.map(({ typeName }) => typeName));
  return {
    ServerReflectionInfo: (call: ServerDuplexStream<ServerReflectionRequest, Message>) => {
      call.on('data', (request: ServerReflectionRequest) => {
        // A client that does not read is not answered: it asks on when it has read.
        if (!call.write(answerTo(request, files, services))) {
          call.pause();
          call.once('drain', () => call.resume());
        }
      });
      call.on('end', () => call.end());
      call.on('error', () => call.end());
    },
  };
}

/** With all that it imports. */
function addFiles(files: Map<string, DescFile>, file: DescFile): void {
  if (files.has(nameOf(file))) return;
  files.set(nameOf(file), file);
  for (const imported of file.dependencies) addFiles(files, imported);
}

function nameOf(file: DescFile): string {
  return `${file.name}.proto`;
}

function answerTo(
  request: ServerReflectionRequest,
  files: ReadonlyMap<string, DescFile>,
  services: readonly string[],
): ServerReflectionResponse {
  return create(ServerReflectionResponseSchema, {
    validHost: request.host,
    originalRequest: request,
    messageResponse: responseOf(request, files, services),
  });
}

function responseOf(
  { messageRequest: asked }: ServerReflectionRequest,
  files: ReadonlyMap<string, DescFile>,
  services: readonly string[],
): Answer {
  switch (asked.case) {
    case 'listServices':
      return make({ case: 'listServicesResponse', value: { service: services.map(named) } });
    case 'fileByFilename':
      return described(files.get(asked.value));
    case 'fileContainingSymbol':
      return described([...files.values()].find((file) => hasSymbol(file, asked.value)));
    case 'fileContainingExtension':
    case 'allExtensionNumbersOfType':
      return failed(status.NOT_FOUND, 'there are no extensions');
    default:
      return failed(status.INVALID_ARGUMENT, 'nothing is asked');
  }
}

function described(file: DescFile | undefined): Answer {
  if (file === undefined) return failed(status.NOT_FOUND, 'not found');
  const bytes = toBinary(FileDescriptorProtoSchema, file.proto);
  return make({ case: 'fileDescriptorResponse', value: { fileDescriptorProto: [bytes] } });
}

function failed(errorCode: number, errorMessage: string): Answer {
  return make({ case: 'errorResponse', value: { errorCode, errorMessage } });
}

type AnswerInit = NonNullable<
  NonNullable<
    Parameters<typeof create<typeof ServerReflectionResponseSchema>>[1]
  >['messageResponse']
>;

function make(messageResponse: AnswerInit): Answer {
  return create(ServerReflectionResponseSchema, { messageResponse }).messageResponse;
}

function named(name: string): { name: string } {
  return { name };
}

/** A service, a method of it, a message or an enum, also one within another. */
function hasSymbol({ services, messages, enums }: DescFile, symbol: string): boolean {
  const isOrHolds = ({ typeName }: { readonly typeName: string }): boolean =>
    symbol === typeName || symbol.startsWith(`${typeName}.`);
  return [...services, ...messages, ...enums].some(isOrHolds);
}
