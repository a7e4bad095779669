/**
 * Typed reading of decoded fields: each function gives the value or null, and adds a problem that
 * names the place, what was found and what is allowed. Null in YAML counts as absent, as in
 * Kubernetes.
 */
import { nearestName } from '../../model/nearest.ts';
import type { FindingId } from '../../policy/lint/finding_kinds.ts';
import type { Field, FieldReader } from './field.ts';
import { formatPlace, type Place } from './place.ts';
import type { Problem } from './problem.ts';

/** The fields of one object by name; absent and null ones are not in it. */
export type Fields = ReadonlyMap<string, Field>;

export interface ReadOptions {
  /** What unknown names are refused for, with a better message than the list of known ones. */
  readonly refused?: ReadonlyMap<string, string>;
  /** Of what may be without a value and no word is lost about it. */
  readonly silent?: ReadonlySet<string>;
}

/**
 * What YAML 1.1 (go-yaml, and so kubectl) takes for a boolean and YAML 1.2 for a text. Not y and n,
 * on which its readers do not agree.
 */
const YAML_1_1_BOOLEAN = /^(yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$/;

export class ObjectReader {
  readonly warnings: Problem[] = [];
  readonly #warned = new Set<string>();
  readonly #fields: FieldReader;

  constructor(fields: FieldReader) {
    this.#fields = fields;
  }

  get problems(): readonly Problem[] {
    return this.#fields.problems;
  }

  fail(field: Field, message: string): null {
    this.#fields.fail(field, message);
    return null;
  }

  /** `id`: the kind of finding that it is, by which it can be ignored. */
  warn(field: Field, message: string, id: FindingId = 'advice'): void {
    const place = this.#fields.place(field);
    const key = `${formatPlace(place)} ${field.path} ${message}`;
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    this.warnings.push({ place, field: field.path, message, id });
  }

  /** Says of the warnings from the `first` on whose they are, as they were told before it was known. */
  attributeWarnings(first: number, policy: string): void {
    for (let i = first; i < this.warnings.length; i++) {
      this.warnings[i] = { ...(this.warnings[i] as Problem), policy };
    }
  }

  place(field: Field): Place {
    return this.#fields.place(field);
  }

  /** The object's fields; unknown names are problems. */
  object(field: Field, known: readonly string[], options: ReadOptions = {}): Fields {
    const fields = new Map<string, Field>();
    for (const [name, value] of this.#fields.entries(field)) {
      if (known.includes(name)) {
        if (!value.isEmpty) fields.set(name, value);
        // A condition left blank allows more than its author may think.
        else if (options.silent?.has(name) !== true) {
          this.warn(value, 'has no value and so counts as absent', 'null-pruned');
        }
      } else {
        this.fail(value, this.#unknown(name, known, options));
      }
    }
    return fields;
  }

  /** All fields of an object whose names are the user's. */
  map(field: Field): Fields {
    return new Map(this.#fields.entries(field));
  }

  /** False, with a problem, for the key of an entry that YAML 1.1 (kubectl) reads as true or false. */
  isName(name: string, entry: Field): boolean {
    if (!entry.isKeyPlain || !YAML_1_1_BOOLEAN.test(name)) return true;
    this.fail(
      entry,
      `the key ${name} without quotes is true or false to kubectl; write it in quotes: "${name}"`,
    );
    return false;
  }

  list(field: Field): readonly Field[] {
    return this.#fields.items(field);
  }

  text(field: Field): string | null {
    if (typeof field.value === 'string') {
      if (field.plain === null || !YAML_1_1_BOOLEAN.test(field.plain)) return field.value;
      return this.fail(
        field,
        `must be a string, and ${field.plain} without quotes is true or false to kubectl; write it in quotes: "${field.plain}"`,
      );
    }
    const hint =
      field.plain === null || field.isEmpty ? '' : `; write it in quotes: "${field.plain}"`;
    return this.fail(field, `must be a string (found ${field.plain ?? field.shown}${hint})`);
  }

  texts(field: Field): readonly string[] {
    return this.list(field).flatMap((item) => this.text(item) ?? []);
  }

  boolean(field: Field): boolean | null {
    if (typeof field.value === 'boolean') return field.value;
    return this.fail(field, `must be true or false (found ${field.shown})`);
  }

  integer(field: Field, min: number, max: number): number | null {
    const { value } = field;
    // YAML 1.1 reads 010 as 8, YAML 1.2 as 10: neither is taken.
    const isOctal = field.plain !== null && /^[-+]?0[0-9oOxXbB]/.test(field.plain);
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      // -0 is 0, whose text has no sign.
      if (!isOctal) return value + 0;
    }
    return this.fail(
      field,
      `must be a whole number from ${min} to ${max} (found ${field.plain ?? field.shown})`,
    );
  }

  oneOf<const T extends string>(field: Field, allowed: readonly T[]): T | null {
    const found = allowed.find((value) => value === field.value);
    if (found !== undefined) return found;
    const isUnquoted =
      typeof field.value === 'boolean' && allowed.some((one) => one === field.plain);
    const hint = isUnquoted ? '; write it in quotes' : '';
    return this.fail(field, `must be one of ${allowed.join(', ')} (found ${field.shown}${hint})`);
  }

  #unknown(name: string, known: readonly string[], options: ReadOptions): string {
    const refused = options.refused?.get(name);
    if (refused !== undefined) return refused;
    const nearest = nearestName(name, known);
    const hint = nearest === null ? '' : `; did you mean ${nearest}?`;
    return `unknown field "${name}"${hint} (allowed: ${known.join(', ')})`;
  }
}
