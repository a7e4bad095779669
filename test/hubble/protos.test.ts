/** The generated code is of the .proto files: held against them by another parser, so that no compiler is needed. */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DescEnum, DescField, DescFile, DescMessage, DescService } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { file_flow_flow } from '../../src/hubble/generated/flow/flow_pb.ts';
import { file_health_health } from '../../src/hubble/generated/health/health_pb.ts';
import { file_observer_observer } from '../../src/hubble/generated/observer/observer_pb.ts';
import { file_peer_peer } from '../../src/hubble/generated/peer/peer_pb.ts';
import { file_reflection_reflection } from '../../src/hubble/generated/reflection/reflection_pb.ts';
import { file_relay_relay } from '../../src/hubble/generated/relay/relay_pb.ts';

const PROTOS = join(dirname(fileURLToPath(import.meta.url)), '../../src/hubble/proto');
// It comes with grpc-js, and its own types are of no use here.
const require = createRequire(import.meta.url);
const protobuf = require('protobufjs') as Protobuf;
const GENERATED: Readonly<Record<string, DescFile>> = {
  'flow/flow.proto': file_flow_flow,
  'health/health.proto': file_health_health,
  'observer/observer.proto': file_observer_observer,
  'peer/peer.proto': file_peer_peer,
  'reflection/reflection.proto': file_reflection_reflection,
  'relay/relay.proto': file_relay_relay,
};

interface Protobuf {
  readonly Root: new () => ParsedRoot;
}

interface ParsedRoot extends Parsed {
  resolvePath: (origin: string, target: string) => string;
  loadSync(files: readonly string[], options: { keepCase: true }): void;
}

interface Parsed {
  readonly fullName: string;
  readonly nestedArray?: readonly Parsed[];
  readonly values?: Readonly<Record<string, number>>;
  readonly fieldsArray?: readonly ParsedField[];
  readonly methodsArray?: readonly ParsedMethod[];
}

interface ParsedField {
  readonly name: string;
  readonly id: number;
  readonly type: string;
  readonly repeated: boolean;
  readonly partOf: { readonly name: string } | null;
}

interface ParsedMethod {
  readonly name: string;
  readonly requestType: string;
  readonly responseType: string;
  readonly responseStream?: boolean;
}

describe('generated code', () => {
  it('is there for each .proto file', () => {
    const files = readdirSync(PROTOS, { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => file.endsWith('.proto')).sort()).toEqual(Object.keys(GENERATED));
  });

  it('has the members of the files: names, numbers, types', () => {
    const root = new protobuf.Root();
    root.resolvePath = (_origin, target) =>
      target.startsWith('google/')
        ? join(dirname(require.resolve('protobufjs')), target)
        : join(PROTOS, target);
    root.loadSync(Object.keys(GENERATED), { keepCase: true });
    const parsed = [...linesOfParsed(root)].sort();
    const generated = Object.values(GENERATED).flatMap((file) => [...linesOfFile(file)]);
    expect(generated.sort()).toEqual(parsed);
    expect(parsed.length).toBeGreaterThan(300);
  });
});

function* linesOfParsed(parent: Parsed): Generator<string> {
  for (const child of parent.nestedArray ?? []) {
    const name = child.fullName.slice(1);
    if (name.startsWith('google')) continue;
    for (const [value, number] of Object.entries(child.values ?? {})) {
      yield `${name} ${value} ${number}`;
    }
    for (const { name: field, id, type, repeated, partOf } of child.fieldsArray ?? []) {
      const many = repeated ? 'repeated ' : '';
      yield `${name} ${field} ${id} ${many}${lastWord(type)} ${partOf?.name ?? ''}`;
    }
    for (const method of child.methodsArray ?? []) {
      const { requestType, responseType, responseStream = false } = method;
      const types = `${lastWord(requestType)} ${lastWord(responseType)}`;
      yield `${name} ${method.name} ${types} ${responseStream}`;
    }
    yield* linesOfParsed(child);
  }
}

function* linesOfFile({ messages, enums, services }: DescFile): Generator<string> {
  for (const one of enums) yield* linesOfEnum(one);
  for (const one of messages) yield* linesOfMessage(one);
  for (const one of services) yield* linesOfService(one);
}

function* linesOfMessage(message: DescMessage): Generator<string> {
  for (const field of message.fields) {
    const many = field.fieldKind === 'list' ? 'repeated ' : '';
    const type = `${many}${typeOf(field)}`;
    yield `${message.typeName} ${field.name} ${field.number} ${type} ${field.oneof?.name ?? ''}`;
  }
  for (const one of message.nestedEnums) yield* linesOfEnum(one);
  for (const one of message.nestedMessages) yield* linesOfMessage(one);
}

function* linesOfEnum({ typeName, values }: DescEnum): Generator<string> {
  for (const { name, number } of values) yield `${typeName} ${name} ${number}`;
}

function* linesOfService({ typeName, methods }: DescService): Generator<string> {
  for (const { name, input, output, methodKind } of methods) {
    const types = `${lastWord(input.typeName)} ${lastWord(output.typeName)}`;
    yield `${typeName} ${name} ${types} ${/server|bidi/.test(methodKind)}`;
  }
}

function typeOf(field: DescField): string {
  const { message, enum: enumType } = field;
  if (message) return lastWord(message.typeName);
  if (enumType) return lastWord(enumType.typeName);
  return ScalarType[field.scalar as ScalarType].toLowerCase();
}

function lastWord(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
