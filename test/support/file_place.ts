import { type FilePlace, formatPlace, type Place } from '../../src/control/decode/place.ts';

/** The place of something that was read from a file; a test that finds it elsewhere fails. */
export function filePlace(place: Place | undefined): FilePlace {
  if (place?.kind === 'file') return place;
  throw new Error(`not in a file: ${place === undefined ? 'nowhere' : formatPlace(place)}`);
}

/** "LINE:COLUMN". */
export function lineAndColumn(place: Place): string {
  const { line, column } = filePlace(place);
  return `${line}:${column}`;
}
