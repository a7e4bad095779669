/** A schema as OpenAPI v3 in the structural form that a CRD must have; and rules in CEL for what a schema cannot say. */
import type { ListSchema, ObjectSchema, OpenApi, Schema, TextSchema } from './crd_schema.ts';

/**
 * Fields that nobody knows stay where they are (`x-kubernetes-preserve-unknown-fields`). The API server would else
 * take them away without a word, and with a misspelt `toPorts` the restriction that it was to be. What stays is
 * refused: at once by the rule beside the CRD, and by the decoder in any case.
 */
const KEEP_UNKNOWN = { 'x-kubernetes-preserve-unknown-fields': true } as const;

export function openApiOf(schema: Schema): OpenApi {
  const own = schema.kind === 'map' ? [] : (schema.own ?? []);
  switch (schema.kind) {
    case 'object':
      return withAll({ type: 'object', ...objectKeywords(schema) }, [...own, ...refusals(schema)]);
    case 'map':
      return { type: 'object', additionalProperties: openApiOf(schema.values) };
    case 'list':
      return withAll({ type: 'array', ...listKeywords(schema) }, own);
    case 'text':
      return textOf(schema);
    case 'integer': {
      const { min, max } = schema.range;
      return withAll({ type: 'integer', format: 'int32', minimum: min, maximum: max }, own);
    }
    case 'boolean':
      return withAll({ type: 'boolean' }, own);
    case 'any':
      return withAll({ ...KEEP_UNKNOWN }, own);
  }
}

function objectKeywords({ fields, required, oneOf, refused = [] }: ObjectSchema): OpenApi {
  const known = Object.entries(fields).map(([name, field]) => [name, openApiOf(field)]);
  const unwanted = refused.filter((name) => fields[name] === undefined);
  return {
    ...KEEP_UNKNOWN,
    properties: Object.fromEntries([...known, ...unwanted.map((name) => [name, KEEP_UNKNOWN])]),
    ...(required === undefined ? {} : { required }),
    ...(oneOf === undefined ? {} : { oneOf: oneOf.map((name) => ({ required: [name] })) }),
  };
}

function refusals({ refused = [] }: ObjectSchema): readonly OpenApi[] {
  return refused.map((name) => ({ not: { required: [name] } }));
}

/** `isSet` as a rule of the list type would cost a merge by elements; nobody merges server names. */
function listKeywords({ items, min, max, isSet }: ListSchema): OpenApi {
  return {
    items: openApiOf(items),
    ...(min === undefined ? {} : { minItems: min }),
    ...(max === undefined ? {} : { maxItems: max }),
    ...(isSet === true ? { 'x-kubernetes-list-type': 'set' } : {}),
  };
}

function textOf({
  oneOf,
  minLength,
  maxLength,
  pattern,
  orInteger,
  own = [],
}: TextSchema): OpenApi {
  const keywords = {
    ...(oneOf === undefined ? {} : { enum: oneOf }),
    ...(minLength === undefined ? {} : { minLength }),
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(pattern === undefined ? {} : { pattern }),
  };
  if (orInteger === undefined) return withAll({ type: 'string', ...keywords }, own);
  return withAll(
    {
      'x-kubernetes-int-or-string': true,
      minimum: orInteger.min,
      maximum: orInteger.max,
      ...keywords,
    },
    [{ anyOf: [{ type: 'integer' }, { type: 'string' }] }, ...own],
  );
}

/** A keyword that does not stand there yet stands beside the others; the rest must hold as well. */
function withAll(schema: OpenApi, own: readonly OpenApi[]): OpenApi {
  return own.length === 0 ? schema : { ...schema, allOf: own };
}

/** A rule in CEL about the names of fields, which a schema cannot hold to anything. */
export interface NameRule {
  readonly expression: string;
  /** "spec.ingress[].toPorts[]: unknown field (allowed: ports, rules)". */
  readonly message: string;
}

interface At {
  /** The value, in CEL. */
  readonly expression: string;
  /** The same for a person; "" for the object. */
  readonly path: string;
  /** How many variables are in use. */
  readonly depth: number;
}

/** Of all objects and maps within. */
export function nameRules(schema: Schema, at: At): readonly NameRule[] {
  switch (schema.kind) {
    case 'list':
      return itemRules(schema, at);
    case 'map':
      return schema.keys === undefined ? [] : [keyRule(schema.keys, at)];
    case 'object':
      return objectRules(schema, at);
    default:
      return [];
  }
}

function itemRules({ items }: ListSchema, { expression, path, depth }: At): readonly NameRule[] {
  const item = `i${depth}`;
  const rules = nameRules(items, { expression: item, path: `${path}[]`, depth: depth + 1 });
  return rules.map((rule) => ({
    ...rule,
    expression: `${expression}.all(${item}, ${rule.expression})`,
  }));
}

function keyRule(
  { pattern, allowed }: { readonly pattern: string; readonly allowed: string },
  { expression, path }: At,
): NameRule {
  return {
    expression: `${expression}.all(key, key.matches('${pattern}'))`,
    message: `${path}: a key is not allowed (allowed: ${allowed})`,
  };
}

function objectRules({ fields }: ObjectSchema, at: At): readonly NameRule[] {
  const { expression, path, depth } = at;
  const below = Object.entries(fields).flatMap(([name, field]) => {
    const value = `${expression}.${name}`;
    const within = { expression: value, path: path === '' ? name : `${path}.${name}`, depth };
    return nameRules(field, within).map((rule) => ({
      ...rule,
      expression: `(!has(${value}) || ${rule.expression})`,
    }));
  });
  const names = Object.keys(fields);
  const known = names.map((name) => `'${name}'`).join(', ');
  return [
    {
      expression: `${expression}.all(name, name in [${known}])`,
      message: `${path}${path === '' ? '' : ': '}unknown field (allowed: ${names.join(', ')})`,
    },
    ...below,
  ];
}
