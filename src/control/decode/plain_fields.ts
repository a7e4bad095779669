/**
 * An object that a program sent, as `JSON.parse` gives it, in the form that decoders read. It is decoded as its JSON
 * text would be: texts are in quotes, numbers and booleans are not. Keys that stand twice, anchors, tags and what
 * YAML's readers do not agree on are concerns of texts, so none of them is here.
 */
import { entryPath, type Field, type FieldReader, itemPath, shownScalar } from './field.ts';
import type { Place } from './place.ts';
import type { Problem } from './problem.ts';

/** `placeOf`: where the field of that path stands. */
export function readPlain(value: unknown, placeOf: (path: string) => Place): FieldReader {
  return new PlainReader(value, placeOf);
}

class PlainReader implements FieldReader {
  readonly problems: Problem[] = [];
  readonly #told = new Set<string>();
  readonly #value: unknown;
  readonly #placeOf: (path: string) => Place;

  constructor(value: unknown, placeOf: (path: string) => Place) {
    this.#value = value;
    this.#placeOf = placeOf;
  }

  root(): Field {
    return new PlainField('', this.#value);
  }

  entries(field: Field): readonly (readonly [string, Field])[] {
    const { content } = plainField(field);
    if (content.kind !== 'map') {
      this.fail(field, `must be a map (found ${field.shown})`);
      return [];
    }
    return content.entries.map(
      ([key, value]) => [key, new PlainField(entryPath(field.path, key), value)] as const,
    );
  }

  items(field: Field): readonly Field[] {
    const { content } = plainField(field);
    if (content.kind !== 'list') {
      this.fail(field, `must be a list (found ${field.shown})`);
      return [];
    }
    return content.items.map((value, index) => new PlainField(itemPath(field.path, index), value));
  }

  fail(field: Field, message: string): void {
    // A field may be read more than once; what is wrong with it is told once.
    const key = `${field.path} ${message}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.problems.push({ place: this.place(field), field: field.path, message });
  }

  place(field: Field): Place {
    return this.#placeOf(field.path);
  }
}

type Content =
  | { readonly kind: 'map'; readonly entries: readonly (readonly [string, unknown])[] }
  | { readonly kind: 'list'; readonly items: readonly unknown[] }
  | { readonly kind: 'scalar'; readonly value: string | number | boolean | null };

class PlainField implements Field {
  readonly path: string;
  readonly content: Content;
  readonly isKeyPlain = false;

  constructor(path: string, value: unknown) {
    this.path = path;
    this.content = contentOf(value);
  }

  get value(): unknown {
    return this.content.kind === 'scalar' ? this.content.value : undefined;
  }

  get isMap(): boolean {
    return this.content.kind === 'map';
  }

  get isList(): boolean {
    return this.content.kind === 'list';
  }

  get isEmpty(): boolean {
    return this.content.kind === 'scalar' && this.content.value === null;
  }

  get shown(): string {
    if (this.content.kind === 'scalar') return shownScalar(this.content.value);
    return this.content.kind === 'map' ? 'a map' : 'a list';
  }

  get plain(): string | null {
    const { value } = this;
    return value === undefined || typeof value === 'string' ? null : JSON.stringify(value);
  }
}

/** As JSON would have it: what is undefined is not there, and a number that is none is null. */
function contentOf(value: unknown): Content {
  if (Array.isArray(value)) return { kind: 'list', items: value };
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return { kind: 'scalar', value };
    case 'number':
      return { kind: 'scalar', value: Number.isFinite(value) ? value : null };
    case 'object':
      if (value === null) return { kind: 'scalar', value };
      return {
        kind: 'map',
        entries: Object.entries(value).filter(([, one]) => one !== undefined),
      };
    case 'undefined':
      return { kind: 'scalar', value: null };
    default:
      // No JSON has it. To leave it out could drop a condition, and a policy with fewer conditions allows more.
      throw new TypeError(`a ${typeof value} is no value of JSON`);
  }
}

/** Fields are read by the reader that made them. */
function plainField(field: Field): PlainField {
  if (field instanceof PlainField) return field;
  throw new TypeError(`${field.path} is a field of another reader`);
}
