/**
 * Building blocks of the configuration's declaration. A `Field` says at once how a value is decoded
 * into its type, what the JSON Schema says of it and how the reference describes it, so that the
 * three cannot differ.
 */
import { nearestName } from '../model/nearest.ts';
import type { ConfigProblem, Located, LocatedField, Origin } from './located.ts';

/** Stands for a value that was not valid; the problem was reported. */
export const INVALID = Symbol('invalid');

export interface Field<T> {
  readonly schema: JsonSchema;
  /** For messages and the reference: "an integer from 1 to 256". */
  readonly form: string;
  /** Of a mapping; null for anything else. */
  readonly members: Members | null;
  /** Values of flags and variables are texts; a list among them is separated by commas. */
  readonly isList: boolean;
  /** Of a list: its elements' field. */
  readonly element: Field<unknown> | null;
  decode(located: Located, context: DecodeContext): T | typeof INVALID;
}

export type JsonSchema = { readonly [Key in string]: unknown };

export interface Member<T> {
  readonly field: Field<T>;
  readonly about: string;
  readonly isRequired: boolean;
  /** As it would be written in the file; undefined when there is none. */
  readonly default: unknown;
  /** Given in the default's place when there is neither a value nor a default. */
  readonly absent: T | undefined;
}

export type Members = Readonly<Record<string, Member<unknown>>>;

export class DecodeContext {
  readonly problems: ConfigProblem[] = [];
  /** Relative paths in the file start at the file's directory, others at the working directory. */
  readonly resolvePath: (path: string, origin: Origin) => string;
  readonly #path: string[] = [];

  constructor(resolvePath: (path: string, origin: Origin) => string) {
    this.resolvePath = resolvePath;
  }

  within<T>(step: string, work: () => T): T {
    this.#path.push(step);
    try {
      return work();
    } finally {
      this.#path.pop();
    }
  }

  reject(origin: Origin, message: string): typeof INVALID {
    const field = this.#path.join('').replace(/^\./, '');
    this.problems.push({ origin, field, message });
    return INVALID;
  }
}

export function required<T>(field: Field<T>, about: string): Member<T> {
  return { field, about, isRequired: true, default: undefined, absent: undefined };
}

/** `value` is written as in the file and decoded by the field itself. */
export function optional<T>(field: Field<T>, about: string, value: unknown): Member<T> {
  return { field, about, isRequired: false, default: value, absent: undefined };
}

/** Null when absent; nothing is written for it. */
export function absentAsNull<T>(field: Field<T>, about: string): Member<T | null> {
  return { field, about, isRequired: false, default: undefined, absent: null };
}

export type Decoded<M extends Members> = {
  readonly [Name in keyof M]: M[Name] extends Member<infer T> ? T : never;
};

/** A mapping of exactly these members; an unknown one is an error. */
export function mapping<M extends Members>(members: M): Field<Decoded<M>> {
  const names = Object.keys(members);
  const properties = Object.fromEntries(
    Object.entries(members).map(([name, member]) => [name, memberSchema(member)]),
  );
  const requiredNames = names.filter((name) => members[name]?.isRequired === true);
  return {
    schema: {
      type: 'object',
      properties,
      ...(requiredNames.length > 0 ? { required: requiredNames } : {}),
      additionalProperties: false,
    },
    form: 'a mapping',
    members,
    isList: false,
    element: null,
    decode: (located, context) => {
      if (!(located.value instanceof Map)) return wrongType(located, context, 'a mapping');
      const isKnown = rejectUnknown(located.value, names, context);
      const decoded = decodeMembers(members, located.value, { context, origin: located.origin });
      if (!isKnown || decoded === INVALID) return INVALID;
      return decoded as Decoded<M>;
    },
  };
}

/** A mapping that is there and says nothing ("kubernetes:") is one without members. */
export function nullAsEmpty<T>(field: Field<T>): Field<T> {
  return {
    ...field,
    schema: { ...field.schema, type: ['object', 'null'] },
    decode: (located, context) => {
      const { value, origin } = located;
      return field.decode(value === null ? { value: new Map(), origin } : located, context);
    },
  };
}

export function list<T>(
  item: Field<T>,
  options: { readonly countMin: number },
): Field<readonly T[]> {
  const { countMin } = options;
  return {
    schema: { type: 'array', items: item.schema, ...(countMin > 0 ? { minItems: countMin } : {}) },
    form: `a list, each ${item.form}`,
    members: null,
    isList: true,
    element: item,
    decode: (located, context) => {
      const items = listItems(located);
      if (items === null) return wrongType(located, context, 'a list');
      if (items.length < countMin) {
        return context.reject(located.origin, `must have at least ${countMin} element`);
      }
      const decoded: T[] = [];
      let isValid = true;
      for (const [index, element] of items.entries()) {
        const value = context.within(`[${index}]`, () => item.decode(element, context));
        if (value === INVALID) isValid = false;
        else decoded.push(value);
      }
      return isValid ? decoded : INVALID;
    },
  };
}

/** The message of every value of a wrong type: what was found and what is allowed. */
export function wrongType(located: Located, context: DecodeContext, form: string): typeof INVALID {
  return context.reject(located.origin, `must be ${form}; found ${describe(located)}`);
}

export function describe(located: Located): string {
  const { value } = located;
  if (value === null) return 'nothing';
  if (value instanceof Map) return 'a mapping';
  if (typeof value === 'object') return 'a list';
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** A plain value (a default) in the form that fields decode. */
export function locate(value: unknown, origin: Origin): Located {
  if (Array.isArray(value)) return { value: value.map((item) => locate(item, origin)), origin };
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([name, item]): [string, LocatedField] => [
      name,
      { keyOrigin: origin, value: locate(item, origin) },
    ]);
    return { value: new Map(fields), origin };
  }
  return { value: value as string | number | boolean | null, origin };
}

export function isFromText(origin: Origin): boolean {
  return origin.kind === 'flag' || origin.kind === 'variable';
}

function memberSchema(member: Member<unknown>): JsonSchema {
  return {
    description: member.about,
    ...member.field.schema,
    ...(member.default === undefined ? {} : { default: member.default }),
  };
}

function rejectUnknown(
  fields: ReadonlyMap<string, LocatedField>,
  names: readonly string[],
  context: DecodeContext,
): boolean {
  let isKnown = true;
  for (const [name, { keyOrigin }] of fields) {
    if (names.includes(name)) continue;
    isKnown = false;
    const nearest = nearestName(name, names);
    const hint = nearest === null ? `known are ${names.join(', ')}` : `did you mean ${nearest}?`;
    context.within(`.${name}`, () => context.reject(keyOrigin, `unknown field; ${hint}`));
  }
  return isKnown;
}

function decodeMembers(
  members: Members,
  fields: ReadonlyMap<string, LocatedField>,
  from: { readonly context: DecodeContext; readonly origin: Origin },
): Readonly<Record<string, unknown>> | typeof INVALID {
  const { context, origin } = from;
  const decoded: Record<string, unknown> = {};
  let isValid = true;
  for (const [name, member] of Object.entries(members)) {
    const given = fields.get(name)?.value;
    const value = context.within(`.${name}`, () => {
      if (given !== undefined) return member.field.decode(given, context);
      if (member.isRequired) return context.reject(origin, 'is missing');
      if (member.default === undefined) return member.absent;
      return member.field.decode(locate(member.default, { kind: 'default' }), context);
    });
    if (value === INVALID) isValid = false;
    else decoded[name] = value;
  }
  return isValid ? decoded : INVALID;
}

function listItems(located: Located): readonly Located[] | null {
  const { value, origin } = located;
  if (typeof value === 'string' && isFromText(origin)) {
    const texts = value === '' ? [] : value.split(',');
    return texts.map((text) => ({ value: text.trim(), origin }));
  }
  return Array.isArray(value) ? (value as readonly Located[]) : null;
}
