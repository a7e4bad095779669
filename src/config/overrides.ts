/**
 * Flags and environment variables laid over the file: each becomes a value at a field's path, with
 * its own name as origin. The names of the variables follow from the declaration
 * (`limits.headBytesMax` is SALLYPORT_LIMITS_HEAD_BYTES_MAX).
 */
import { nearestName } from '../model/nearest.ts';
import { CONFIG_FIELD } from './declaration.ts';
import type { Field } from './field.ts';
import type { ConfigProblem, Located, LocatedField, Origin } from './located.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface FlagOverride {
  /** As the user wrote it, for messages: "--workers". */
  readonly flag: string;
  /** "limits.headBytesMax". */
  readonly field: string;
  readonly value: string | readonly string[];
}

/** Names the configuration file when no flag does. */
export const CONFIG_VARIABLE = 'SALLYPORT_CONFIG';

const PREFIX = 'SALLYPORT_';

/** Kubernetes gives every pod such variables for a Service named "sallyport" or "sallyport-...". */
const SERVICE_VARIABLE =
  /_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT$|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/;

/** Every field that a flag or a variable can set: path → field. */
export function settableFields(): ReadonlyMap<string, Field<unknown>> {
  const found = new Map<string, Field<unknown>>();
  const walk = (field: Field<unknown>, path: string): void => {
    if (field.members === null) {
      if (field.element?.members == null) found.set(path, field);
      return;
    }
    for (const [name, member] of Object.entries(field.members)) {
      walk(member.field, path === '' ? name : `${path}.${name}`);
    }
  };
  walk(CONFIG_FIELD, '');
  return found;
}

/** "limits.headBytesMax" → "SALLYPORT_LIMITS_HEAD_BYTES_MAX". */
export function variableName(path: string): string {
  const words = path.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('.', '_');
  return `${PREFIX}${words.toUpperCase()}`;
}

export function overlayEnvironment(root: Located, env: Environment): readonly ConfigProblem[] {
  const paths = new Map([...settableFields().keys()].map((path) => [variableName(path), path]));
  const problems: ConfigProblem[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || name === CONFIG_VARIABLE || value === undefined) continue;
    const path = paths.get(name);
    const origin: Origin = { kind: 'variable', name };
    if (path !== undefined) {
      overlay(root, path, { value, origin });
    } else if (!SERVICE_VARIABLE.test(name)) {
      problems.push({ origin, field: '', message: `unknown variable${hint(name, paths.keys())}` });
    }
  }
  return problems;
}

export function overlayFlags(
  root: Located,
  flags: readonly FlagOverride[],
): readonly ConfigProblem[] {
  const fields = settableFields();
  const problems: ConfigProblem[] = [];
  for (const { flag, field, value } of flags) {
    const origin: Origin = { kind: 'flag', name: flag };
    if (!fields.has(field)) {
      const message =
        field.startsWith('listeners') || field === ''
          ? 'listeners are set in the file only'
          : `unknown field${hint(field, fields.keys())}`;
      problems.push({ origin, field, message });
    } else {
      overlay(root, field, located(value, origin));
    }
  }
  return problems;
}

function located(value: string | readonly string[], origin: Origin): Located {
  if (typeof value === 'string') return { value, origin };
  return { value: value.map((text) => ({ value: text, origin })), origin };
}

/** A mapping in between that is missing is made; one that is something else is left to the decoder. */
function overlay(root: Located, path: string, value: Located): void {
  const steps = path.split('.');
  let fields = root.value;
  for (const step of steps.slice(0, -1)) {
    if (!(fields instanceof Map)) return;
    const found = fields.get(step);
    // "kubernetes:" alone is there, and says nothing.
    const isThere = found !== undefined && found.value.value !== null;
    const next: LocatedField = isThere ? found : emptyMapping(value.origin);
    fields.set(step, next);
    fields = next.value.value;
  }
  const last = steps.at(-1);
  if (fields instanceof Map && last !== undefined) {
    fields.set(last, { keyOrigin: value.origin, value });
  }
}

function emptyMapping(origin: Origin): LocatedField {
  return { keyOrigin: origin, value: { value: new Map(), origin } };
}

function hint(name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known);
  return nearest === null ? '' : `; did you mean ${nearest}?`;
}
