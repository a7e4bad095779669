/**
 * Where something stands that a user gave us, and the one way to say it: to a person as text, to a program as JSON.
 * A file has lines. An object of an API and a resource of xDS have a name and fields instead.
 */

export type Place =
  | FilePlace
  | ObjectPlace
  | {
      readonly kind: 'resource';
      readonly typeUrl: string;
      readonly name: string;
      /** See `ObjectPlace.field`. */
      readonly field: string;
    }
  /** Nothing less than the whole set: what is wrong with it is wrong with no single document. */
  | { readonly kind: 'set' };

export interface FilePlace {
  readonly kind: 'file';
  /** As the user named it. */
  readonly path: string;
  /** From 1; 0: the whole file. */
  readonly line: number;
  readonly column: number;
}

export interface ObjectPlace {
  readonly kind: 'object';
  /** "CiliumNetworkPolicy". */
  readonly apiKind: string;
  /** Null for clusterwide kinds. */
  readonly namespace: string | null;
  readonly name: string;
  /** Null when the API gave none. Tells an object from one of the same name that was there before. */
  readonly uid: string | null;
  /** "spec.ingress[0]"; "" for the whole object. */
  readonly field: string;
}

export const WHOLE_SET: Place = Object.freeze({ kind: 'set' });

/** "FILE:LINE:COLUMN", "CiliumNetworkPolicy shop/api: spec.ingress[0]", "the policy set". */
export function formatPlace(place: Place): string {
  const field = place.kind === 'object' || place.kind === 'resource' ? place.field : '';
  return field === '' ? formatHolder(place) : `${formatHolder(place)}: ${field}`;
}

/** As `formatPlace`, without the field: for a text that names the field itself. */
export function formatHolder(place: Place): string {
  switch (place.kind) {
    case 'file':
      return place.line === 0 ? place.path : `${place.path}:${place.line}:${place.column}`;
    case 'object': {
      const { apiKind, namespace, name } = place;
      return `${apiKind} ${namespace === null ? name : `${namespace}/${name}`}`;
    }
    case 'resource':
      return `${place.typeUrl} ${place.name}`;
    case 'set':
      return 'the policy set';
  }
}

/** The fields of a place in the JSON of a finding. `path`, `line` and `column` are in all of them. */
export function placeFields(place: Place): Readonly<Record<string, unknown>> {
  switch (place.kind) {
    case 'file': {
      const { path, line, column } = place;
      return { path, line, column };
    }
    case 'object': {
      const { apiKind, namespace, name, uid } = place;
      return { ...withoutLine(place), object: { kind: apiKind, namespace, name, uid } };
    }
    case 'resource': {
      const { typeUrl, name } = place;
      return { ...withoutLine(place), resource: { typeUrl, name } };
    }
    case 'set':
      return withoutLine(place);
  }
}

function withoutLine(place: Place): Readonly<Record<string, unknown>> {
  return { path: formatHolder(place), line: 0, column: 0 };
}

/** By file or object, then by line and column. Zero for two fields of one object. */
export function comparePlaces(a: Place, b: Place): number {
  const [nameOfA, nameOfB] = [sortName(a), sortName(b)];
  if (nameOfA !== nameOfB) return nameOfA < nameOfB ? -1 : 1;
  if (a.kind !== 'file' || b.kind !== 'file') return 0;
  return a.line - b.line || a.column - b.column;
}

function sortName(place: Place): string {
  return place.kind === 'file' ? place.path : formatHolder(place);
}
