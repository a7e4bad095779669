/**
 * What an API server holds a field of a Cilium object to. One tree of these (`crd_rules.ts`) is read twice: by
 * `check`, which says where Cilium's CRD refuses a policy, and by the printer of our own CRDs (`print_crds.ts`).
 */

export type Schema = ObjectSchema | MapSchema | ListSchema | TextSchema | PlainSchema;

/** Keywords of OpenAPI v3, as a CRD has them. */
export type OpenApi = Readonly<Record<string, unknown>>;

interface Node {
  /**
   * What the decoder refuses, too, and Cilium's CRD does not: for our CRDs only, as far as a structural schema can say
   * it. All of it must hold.
   */
  readonly own?: readonly OpenApi[];
}

export interface ObjectSchema extends Node {
  readonly kind: 'object';
  readonly fields: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  /** Exactly one of these must be there, with whatever value. */
  readonly oneOf?: readonly string[];
  /** Known, so that nobody takes them for slips, and refused by the decoder whatever they say. */
  readonly refused?: readonly string[];
}

export interface MapSchema {
  readonly kind: 'map';
  readonly values: Schema;
  /** Of our own rule beside the CRD, as a schema has no word for it: what keys are like. */
  readonly keys?: { readonly pattern: string; readonly allowed: string };
}

export interface ListSchema extends Node {
  readonly kind: 'list';
  readonly items: Schema;
  readonly min?: number;
  readonly max?: number;
  readonly isSet?: boolean;
}

export interface TextSchema extends Node {
  readonly kind: 'text';
  readonly oneOf?: readonly string[];
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly matches?: (text: string) => boolean;
  /** In words, for `matches`. */
  readonly allowed?: string;
  /** `matches` in the syntax of RE2; absent: `own` says it. */
  readonly pattern?: string;
  /** A whole number may stand in place of the text. */
  readonly orInteger?: IntegerRange;
}

/** Nothing of it is told by `check`, as the decoder refuses whatever the API server does. */
export type PlainSchema =
  | (Node & { readonly kind: 'integer'; readonly range: IntegerRange })
  | (Node & { readonly kind: 'boolean' })
  /** Of any type. */
  | (Node & { readonly kind: 'any' });

export interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

export const TEXT: TextSchema = { kind: 'text' };

export function object(
  fields: ObjectSchema['fields'],
  rest: Partial<ObjectSchema> = {},
): ObjectSchema {
  return { kind: 'object', fields, ...rest };
}

export function list(items: Schema, rest: Partial<ListSchema> = {}): ListSchema {
  return { kind: 'list', items, ...rest };
}

export function map(values: Schema, rest: Partial<MapSchema> = {}): MapSchema {
  return { kind: 'map', values, ...rest };
}

export function oneOf(...words: readonly string[]): TextSchema {
  return { kind: 'text', oneOf: words };
}

/** A text of which a pattern says all; one that RE2 reads as JavaScript does, and that takes linear time in both. */
export function patternText(
  allowed: string,
  pattern: RegExp,
  rest: Partial<TextSchema> = {},
): TextSchema {
  return {
    kind: 'text',
    matches: (text) => pattern.test(text),
    allowed,
    pattern: pattern.source,
    ...rest,
  };
}

export function integer(min: number, max: number): PlainSchema {
  return { kind: 'integer', range: { min, max } };
}
