/**
 * Says of a policy that is enforced here as it stands where the API server refuses it: who tests policies in files
 * learns it before `kubectl apply` tells. Only warns.
 */

import type { Field } from '../field.ts';
import type { ObjectReader } from '../object_reader.ts';
import type { Schema, TextSchema } from './crd_schema.ts';

/** `field` is what the decoder took without a problem. */
export function checkAgainstCrd(reader: ObjectReader, field: Field, schema: Schema): void {
  switch (schema.kind) {
    case 'object':
      checkObject(reader, field, schema);
      return;
    case 'map':
      for (const [name, value] of reader.map(field)) {
        checkName(reader, value, name);
        if (!value.isEmpty) checkAgainstCrd(reader, value, schema.values);
      }
      return;
    case 'list':
      checkList(reader, field, schema);
      return;
    case 'text':
      checkText(reader, field, schema);
      return;
    case 'integer':
    case 'boolean':
    case 'any':
      return;
  }
}

function checkObject(
  reader: ObjectReader,
  field: Field,
  schema: Extract<Schema, { kind: 'object' }>,
): void {
  if (!field.isMap) {
    refuse(reader, field, `must be an object (found ${field.shown})`);
    return;
  }
  // The API server takes out what has no value before it looks.
  const fields = [...reader.map(field)].filter(([, value]) => !value.isEmpty);
  const given = new Set(fields.map(([name]) => name));
  for (const name of schema.required ?? []) {
    if (!given.has(name)) refuse(reader, field, `${name} is required`);
  }
  const { oneOf = [] } = schema;
  const found = oneOf.filter((name) => given.has(name));
  if (oneOf.length > 0 && found.length !== 1) {
    const shown = found.length === 0 ? 'none' : found.join(' and ');
    refuse(reader, field, `exactly one of ${oneOf.join(', ')} must be given (found ${shown})`);
  }
  for (const [name, value] of fields) {
    const known = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
    if (known !== undefined) checkAgainstCrd(reader, value, known);
  }
}

function checkList(
  reader: ObjectReader,
  field: Field,
  schema: Extract<Schema, { kind: 'list' }>,
): void {
  const items = reader.list(field);
  const { min = 0, max = Number.POSITIVE_INFINITY } = schema;
  if (items.length < min) refuse(reader, field, `must have at least ${min} item`);
  if (items.length > max) {
    refuse(reader, field, `must have at most ${max} items (found ${items.length})`);
  }
  const seen = new Set<unknown>();
  for (const item of items) {
    if (schema.isSet === true && seen.has(item.value)) {
      refuse(reader, item, `is there twice (found ${item.shown})`);
    }
    seen.add(item.value);
    checkAgainstCrd(reader, item, schema.items);
  }
}

function checkText(reader: ObjectReader, field: Field, schema: TextSchema): void {
  if (isRereadByKubectl(field)) {
    refuse(
      reader,
      field,
      `must be a string, and kubectl reads ${field.plain} without quotes as ${rereadAs(field.plain ?? '')}; write it in quotes: "${field.plain}"`,
    );
    return;
  }
  if (typeof field.value !== 'string') return;
  const { oneOf, minLength = 0, maxLength = Number.POSITIVE_INFINITY } = schema;
  const found = `found ${field.shown}`;
  if (oneOf !== undefined && !oneOf.includes(field.value)) {
    refuse(reader, field, `must be one of ${oneOf.join(', ')} (${found})`);
    return;
  }
  // By code point, as the API server counts.
  const length = [...field.value].length;
  if (length < minLength) refuse(reader, field, 'must not be empty');
  else if (length > maxLength) {
    refuse(reader, field, `must have at most ${maxLength} characters (found ${length})`);
  } else if (schema.matches?.(field.value) === false) {
    refuse(reader, field, `is not allowed (${found}; allowed: ${schema.allowed})`);
  }
}

/** A key without quotes that kubectl does not read as the text that it is. */
function checkName(reader: ObjectReader, field: Field, name: string): void {
  if (!field.isKeyPlain || !YAML_1_1_BOOLEAN.test(name)) return;
  refuse(
    reader,
    field,
    `kubectl reads the key ${name} without quotes as ${rereadAs(name)}; write it in quotes: "${name}"`,
  );
}

/** Booleans of YAML 1.1 that the decoder takes as texts. */
const YAML_1_1_BOOLEAN = /^[yYnN]$/;
/** Numbers of YAML 1.1 that are texts in YAML 1.2: with "_" between digits, binary ones. */
const YAML_1_1_NUMBER = /^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(\.[0-9_]*)?)$/;

function isRereadByKubectl({ plain, value }: Field): boolean {
  if (plain === null || typeof value !== 'string') return false;
  return YAML_1_1_BOOLEAN.test(plain) || YAML_1_1_NUMBER.test(plain);
}

function rereadAs(plain: string): string {
  if (!YAML_1_1_BOOLEAN.test(plain)) return 'a number';
  return /^y$/i.test(plain) ? 'true' : 'false';
}

function refuse(reader: ObjectReader, field: Field, message: string): void {
  reader.warn(
    field,
    `the API server refuses this (CRD of Cilium 1.19): ${message}`,
    'api-server-refuses',
  );
}
