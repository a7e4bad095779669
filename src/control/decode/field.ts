/**
 * What decoders read: a value with its place, and what it looks like to the person who wrote it. `yaml_fields.ts` is
 * one form of it, with files, lines, anchors and quotes; `plain_fields.ts` is another, of objects that a program sent.
 */
import type { Place } from './place.ts';
import type { Problem } from './problem.ts';

/** A value and where it stands. */
export interface Field {
  /** "endpoints[0].ip"; "" for the whole document. */
  readonly path: string;
  /** Of a scalar; undefined for maps and lists. */
  readonly value: unknown;
  readonly isMap: boolean;
  readonly isList: boolean;
  readonly isEmpty: boolean;
  /** What was found, in few words. */
  readonly shown: string;
  /** A scalar as it was written without quotes; null for a text in quotes, for maps and for lists. */
  readonly plain: string | null;
  /** Of an entry of a map: its key stands without quotes, and some readers may take it for no text. */
  readonly isKeyPlain: boolean;
}

/** Reads one document. Collects problems and never throws for what a user wrote. */
export interface FieldReader {
  readonly problems: Problem[];
  /** Null when the document as a whole cannot be read. */
  root(): Field | null;
  /** Entries of a map, in order; a problem and none when it is no map. */
  entries(field: Field): readonly (readonly [string, Field])[];
  /** Items of a list; a problem and none when it is no list. */
  items(field: Field): readonly Field[];
  fail(field: Field, message: string): void;
  place(field: Field): Place;
}

const SHOWN_MAX = 60;

/** `Field.shown` of a scalar. */
export function shownScalar(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  const text = typeof value === 'bigint' ? value.toString() : JSON.stringify(value);
  return text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX - 3)}...` : text;
}

export function entryPath(parent: string, key: string): string {
  return parent === '' ? key : `${parent}.${key}`;
}

export function itemPath(parent: string, index: number): string {
  return `${parent}[${index}]`;
}
