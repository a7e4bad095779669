/**
 * proto3 JSON conventions over the YAML reader: field names in snake_case or camelCase, default
 * values for what is absent, enums by name or number, 64-bit integers as text or number.
 */
import type { DocumentContext } from '../context.ts';
import type { Field } from '../field.ts';
import type { Fields } from '../object_reader.ts';

/** The object's fields by snake_case name; unknown and doubled ones are problems. */
export function wireObject(
  context: DocumentContext,
  field: Field,
  known: readonly string[],
): Fields {
  const { reader } = context;
  const fields = new Map<string, Field>();
  const both = known.flatMap((name) => [name, camelCase(name)]);
  for (const [name, value] of reader.object(field, [...new Set(both)])) {
    const snake = known.find((one) => one === name || camelCase(one) === name) ?? name;
    if (fields.has(snake))
      reader.fail(value, `is given twice, as ${snake} and as ${camelCase(snake)}`);
    fields.set(snake, value);
  }
  return fields;
}

export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** "" when absent. */
export function wireText(context: DocumentContext, field: Field | undefined): string {
  return field === undefined ? '' : (context.reader.text(field) ?? '');
}

/** False when absent. */
export function wireBoolean(context: DocumentContext, field: Field | undefined): boolean {
  return field !== undefined && context.reader.boolean(field) === true;
}

/** 0 when absent. A number may be written as text, as proto3 JSON does for 64 bits. */
export function wireInteger(
  context: DocumentContext,
  field: Field | undefined,
  max: number,
): number {
  if (field === undefined) return 0;
  const number = wireNumber(field);
  if (number !== null && number <= max) return number;
  context.reader.fail(field, `must be a whole number from 0 to ${max} (found ${written(field)})`);
  return 0;
}

/**
 * A whole number as it is written, in plain digits; null for all else. 010 is 8 to YAML 1.1 and 10
 * to YAML 1.2, so neither is taken.
 */
export function wireNumber(field: Field): number | null {
  const text = typeof field.value === 'string' ? field.value : (field.plain ?? '');
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text)) return null;
  const number = Number(text);
  return number <= Number.MAX_SAFE_INTEGER ? number : null;
}

/** As it stands in the text: 010 is not shown as 10. */
export function written(field: Field): string {
  return typeof field.value === 'number' ? (field.plain ?? field.shown) : field.shown;
}

/** The first value when absent; `values` are in the order of their numbers. */
export function wireEnum<T>(
  context: DocumentContext,
  field: Field | undefined,
  values: readonly (readonly [string, T])[],
): T {
  const [first] = values;
  if (first === undefined) throw new Error('an enum has values');
  if (field === undefined) return first[1];
  const found =
    typeof field.value === 'number'
      ? values[wireNumber(field) ?? -1]
      : values.find(([name]) => name === field.value);
  if (found !== undefined) return found[1];
  context.reader.fail(
    field,
    `must be one of ${values.map(([name]) => name).join(', ')} (found ${written(field)})`,
  );
  return first[1];
}

export function wireList(context: DocumentContext, field: Field | undefined): readonly Field[] {
  return field === undefined ? [] : context.reader.list(field);
}
