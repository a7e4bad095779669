/**
 * The configuration in effect in the words of the file: what `GET /config` answers. The decoded values go back to
 * what one would write, so that the answer can be compared with the file, and would load as one.
 */
import { formatSocketAddress, type SocketAddress } from '../model/address.ts';
import type { ConfigValues } from './declaration.ts';

export type FileValue =
  | null
  | boolean
  | number
  | string
  | readonly FileValue[]
  | { readonly [key: string]: FileValue };

/** Every field with its value, also those that are defaults; null where there is none. */
export function printValues(values: ConfigValues): FileValue {
  return printed(values);
}

function printed(value: unknown): FileValue {
  if (Array.isArray(value)) return value.map(printed);
  if (typeof value !== 'object' || value === null) return value as FileValue;
  const fields = value as Readonly<Record<string, unknown>>;
  if (isAddress(fields)) return formatSocketAddress(fields.ip, fields.port);
  if (typeof fields['kind'] === 'string') return printedKind(fields);
  // A prefix keeps the text that it was read from.
  if (typeof fields['text'] === 'string') return fields['text'];
  return Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, printed(one)]));
}

/** A choice of forms: `{ kind: 'unix', path }`, `{ kind: 'fixed', address }`, `{ kind: 'stdout' }`. */
function printedKind({ kind, ...rest }: Readonly<Record<string, unknown>>): FileValue {
  if (kind === 'unix') return `unix:${String(rest['path'])}`;
  const [only] = Object.values(rest);
  return only === undefined ? String(kind) : printed(only);
}

function isAddress(
  value: Readonly<Record<string, unknown>>,
): value is SocketAddress & typeof value {
  return typeof value['ip'] === 'string' && typeof value['port'] === 'number';
}
