/** Which fields of a flow are told: `source.pod_name,IP,l7`, by the names of the .proto file (google.protobuf.FieldMask). */
import { create, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { type Flow, FlowSchema } from '../generated/flow/flow_pb.ts';

export type FieldMaskResult =
  | { readonly kind: 'mask'; readonly apply: (flow: Flow) => Flow }
  | { readonly kind: 'error'; readonly message: string };

/** Without a path every field is told. */
export function compileFieldMask(paths: readonly string[]): FieldMaskResult {
  if (paths.length === 0) return { kind: 'mask', apply: (flow) => flow };
  const root: Wanted = new Map();
  for (const path of paths) {
    if (!addPath(root, FlowSchema, path.split('.'))) {
      return { kind: 'error', message: `a flow has no field "${path}"` };
    }
  }
  return { kind: 'mask', apply: (flow) => masked(FlowSchema, flow, root) as Flow };
}

/** Null: all of the field. */
type Wanted = Map<DescField, Wanted | null>;

function addPath(wanted: Wanted, schema: DescMessage, steps: readonly string[]): boolean {
  const [step, ...rest] = steps;
  const field = schema.fields.find(({ name }) => name === step);
  if (field === undefined) return false;
  if (rest.length === 0) {
    wanted.set(field, null);
    return true;
  }
  if (field.fieldKind !== 'message') return false;
  const below = wanted.get(field);
  // All of it is wanted already.
  const within: Wanted = below ?? new Map();
  if (!addPath(within, field.message, rest)) return false;
  if (below !== null) wanted.set(field, within);
  return true;
}

type Fields = Record<string, unknown>;

function masked(schema: DescMessage, message: Message, wanted: Wanted): Message {
  const from = message as unknown as Fields;
  const made = create(schema);
  const to = made as unknown as Fields;
  for (const [field, within] of wanted) {
    const { oneof, localName } = field;
    if (oneof !== undefined) {
      const one = from[oneof.localName] as { readonly case?: string; readonly value?: unknown };
      if (one.case !== localName) continue;
      to[oneof.localName] = { case: localName, value: fieldValue(field, one.value, within) };
      continue;
    }
    const value = from[localName];
    if (value !== undefined) to[localName] = fieldValue(field, value, within);
  }
  return made;
}

function fieldValue(field: DescField, value: unknown, within: Wanted | null): unknown {
  if (within === null || field.fieldKind !== 'message') return value;
  return masked(field.message, value as Message, within);
}
