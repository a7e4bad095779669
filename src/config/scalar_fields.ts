/** Fields of one value: texts, numbers, quantities with units, switches, choices, addresses, paths. */
import { parsePrefix, parseSocketAddress, type SocketAddress } from '../model/address.ts';
import { type Field, INVALID, isFromText, type JsonSchema, wrongType } from './field.ts';
import type { Located } from './located.ts';

export interface Range {
  readonly min: number;
  readonly max: number;
}

export function switchField(): Field<boolean> {
  return {
    ...scalar({ type: 'boolean' }, 'true or false'),
    decode: (located, context) => {
      const { value } = located;
      if (typeof value === 'boolean') return value;
      if (isFromText(located.origin) && value === 'true') return true;
      if (isFromText(located.origin) && value === 'false') return false;
      return wrongType(located, context, 'true or false');
    },
  };
}

export function integerField(range: Range): Field<number> {
  const form = `an integer from ${range.min} to ${range.max}`;
  return {
    ...scalar({ type: 'integer', minimum: range.min, maximum: range.max }, form),
    decode: (located, context) => {
      const value = numberOf(located);
      if (value === null || !Number.isInteger(value) || !isWithin(value, range)) {
        return wrongType(located, context, form);
      }
      return value;
    },
  };
}

export function fractionField(range: Range): Field<number> {
  const form = `a number from ${range.min} to ${range.max}`;
  return {
    ...scalar({ type: 'number', minimum: range.min, maximum: range.max }, form),
    decode: (located, context) => {
      const value = numberOf(located);
      return value === null || !isWithin(value, range) ? wrongType(located, context, form) : value;
    },
  };
}

const UNITS = {
  milliseconds: {
    pattern: /^(0|[1-9][0-9]{0,8})(ms|s|m|h)$/,
    factors: { ms: 1, s: 1000, m: 60_000, h: 3_600_000 },
    examples: '500ms, 10s, 5m or 1h',
  },
  bytes: {
    pattern: /^(0|[1-9][0-9]{0,8})(B|KiB|MiB|GiB)$/,
    factors: { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 },
    examples: '64KiB or 1MiB',
  },
} as const;

/** An integer, or a text with a unit whose value is within the same range. */
export function quantityField(range: Range, unit: keyof typeof UNITS): Field<number> {
  const { pattern, factors, examples } = UNITS[unit];
  const form = `an integer from ${range.min} to ${range.max} (${unit}) or a text such as ${examples}`;
  const schema = {
    anyOf: [
      { type: 'integer', minimum: range.min, maximum: range.max },
      { type: 'string', pattern: pattern.source },
    ],
  };
  return {
    ...scalar(schema, form),
    decode: (located, context) => {
      const match = typeof located.value === 'string' ? pattern.exec(located.value) : null;
      const factor = new Map(Object.entries(factors)).get(match?.[2] ?? '');
      const value =
        match === null || factor === undefined ? numberOf(located) : Number(match[1]) * factor;
      if (value === null || !Number.isInteger(value) || !isWithin(value, range)) {
        return wrongType(located, context, form);
      }
      return value;
    },
  };
}

/** A text that matches the whole of `pattern`, which must be anchored at both ends. */
export function textField(pattern: RegExp, form: string): Field<string> {
  return {
    ...scalar({ type: 'string', pattern: pattern.source }, form),
    decode: (located, context) => {
      const { value } = located;
      const isValid = typeof value === 'string' && pattern.test(value);
      return isValid ? value : wrongType(located, context, form);
    },
  };
}

export function choiceField<const Choice extends string>(
  choices: readonly Choice[],
): Field<Choice> {
  const form = choices.length === 1 ? `"${choices[0]}"` : `one of ${choices.join(', ')}`;
  return {
    ...scalar({ enum: choices }, form),
    decode: (located, context) => {
      const found = choices.find((choice) => choice === located.value);
      return found ?? wrongType(located, context, form);
    },
  };
}

/** A path, made absolute. */
export function pathField(): Field<string> {
  const inner = textField(/^[^\u0000]+$/, 'a path');
  return {
    ...inner,
    decode: (located, context) => {
      const value = inner.decode(located, context);
      return value === INVALID ? INVALID : context.resolvePath(value, located.origin);
    },
  };
}

/** IPv4:port or [IPv6]:port. */
export function socketAddressField(options: {
  readonly allowPortZero: boolean;
}): Field<SocketAddress> {
  const form = 'an address with a port, such as 127.0.0.1:8080 or [::1]:8080';
  const inner = textField(options.allowPortZero ? SOCKET_ADDRESS : SOCKET_ADDRESS_WITH_PORT, form);
  return {
    ...inner,
    decode: (located, context) => {
      const text = inner.decode(located, context);
      if (text === INVALID) return INVALID;
      return parseSocketAddress(text) ?? wrongType(located, context, form);
    },
  };
}

/** Canonical text of an address or CIDR. */
export function prefixField(): Field<string> {
  const form = 'an address or CIDR, such as 10.0.0.0/8 or fd00::1';
  const inner = textField(/^[0-9a-fA-F.:]{2,45}(?:\/[0-9]{1,3})?$/, form);
  return {
    ...inner,
    decode: (located, context) => {
      const text = inner.decode(located, context);
      if (text === INVALID) return INVALID;
      const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
      return prefix?.text ?? wrongType(located, context, form);
    },
  };
}

export interface Alternative<T> {
  /** True when the value is meant to be of this alternative; the last one needs none. */
  readonly isMeant: (located: Located) => boolean;
  readonly field: Field<T>;
}

/** The first alternative that is meant decodes the value, so that its message is about it. */
export function eitherField<T>(alternatives: readonly Alternative<T>[]): Field<T> {
  const form = alternatives.map(({ field }) => field.form).join(', or ');
  return {
    ...scalar({ anyOf: alternatives.map(({ field }) => field.schema) }, form),
    decode: (located, context) => {
      const meant = alternatives.find(({ isMeant }) => isMeant(located));
      return meant === undefined
        ? wrongType(located, context, form)
        : meant.field.decode(located, context);
    },
  };
}

/** The same field with its value turned into another type. */
export function mapped<From, To>(field: Field<From>, turn: (value: From) => To): Field<To> {
  return {
    ...field,
    decode: (located, context) => {
      const value = field.decode(located, context);
      return value === INVALID ? INVALID : turn(value);
    },
  };
}

function scalar(schema: JsonSchema, form: string): Omit<Field<never>, 'decode'> {
  return { schema, form, members: null, isList: false, element: null };
}

/** A number; from a flag or a variable also its text. */
function numberOf(located: Located): number | null {
  const { value, origin } = located;
  if (typeof value === 'number') return value;
  const isNumeral = typeof value === 'string' && /^-?[0-9]{1,16}(\.[0-9]{1,16})?$/.test(value);
  return isNumeral && isFromText(origin) ? Number(value) : null;
}

function isWithin(value: number, range: Range): boolean {
  return value >= range.min && value <= range.max;
}

// An IPv6 address is only outlined here (and so in the JSON Schema); parseSocketAddress reads it.
const SOCKET_ADDRESS =
  /^(?:(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])|\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]):(?:0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$/;

const SOCKET_ADDRESS_WITH_PORT =
  /^(?:(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])|\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]):(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$/;
