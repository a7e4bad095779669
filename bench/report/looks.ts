/**
 * How a subject looks, in every plot and table of a report the same: a colour by its name, and another dash
 * and mark for its variants, which are named "haproxy, no log". Never told by colour alone.
 */
export interface Looks {
  readonly of: (name: string) => Look;
  /** Else it is a part of a figure, or another word, and looks neutral. */
  readonly isSubject: (name: string) => boolean;
}

export interface Look {
  /** Class of the palette in the style sheet. */
  readonly colour: string;
  readonly dashes: string;
  readonly mark: Mark;
  readonly opacity: number;
}

export type Mark = 'disc' | 'square' | 'triangle' | 'diamond';

export const COLOUR_COUNT = 8;
export const NEUTRAL_COUNT = 4;

const MARKS: readonly Mark[] = ['disc', 'square', 'triangle', 'diamond'];
const DASHES = ['', '6 4', '2 3', '9 3 2 3'];
const OPACITY_STEP_MAX = 0.45;
const OPACITY_MIN = 0.28;
const LAPS = 3;

export function makeLooks(subjects: Iterable<string>, others: Iterable<string> = []): Looks {
  const families = familiesOf(subjects);
  const order = [...families.keys()];
  const neutrals = [...new Set(others)];
  const isSubject = (name: string): boolean =>
    families.get(familyOf(name))?.includes(name) ?? false;
  const of = (name: string): Look => {
    if (!isSubject(name)) return neutral(Math.max(0, neutrals.indexOf(name)));
    const family = order.indexOf(familyOf(name));
    const variant = families.get(familyOf(name))?.indexOf(name) ?? 0;
    const lap = variant + Math.floor(family / COLOUR_COUNT);
    return {
      colour: `c${family % COLOUR_COUNT}`,
      dashes: DASHES[lap % DASHES.length] ?? '',
      mark: MARKS[(family + lap) % MARKS.length] ?? 'disc',
      opacity: opacityOf(lap, LAPS),
    };
  };
  return { of, isSubject };
}

/** Of the nth of so many parts of something that has one colour. */
export function opacityOf(n: number, count: number): number {
  const step = Math.min(OPACITY_STEP_MAX, (1 - OPACITY_MIN) / Math.max(1, count - 1));
  return Math.max(OPACITY_MIN, 1 - n * step);
}

function neutral(index: number): Look {
  const lap = Math.floor(index / NEUTRAL_COUNT);
  return {
    colour: `n${index % NEUTRAL_COUNT}`,
    dashes: DASHES[lap % DASHES.length] ?? '',
    mark: MARKS[index % MARKS.length] ?? 'disc',
    opacity: opacityOf(lap, LAPS),
  };
}

function familiesOf(names: Iterable<string>): ReadonlyMap<string, readonly string[]> {
  const families = new Map<string, string[]>();
  for (const name of names) {
    const members = families.get(familyOf(name)) ?? [];
    if (!members.includes(name)) members.push(name);
    families.set(familyOf(name), members);
  }
  return families;
}

function familyOf(name: string): string {
  const comma = name.indexOf(',');
  return comma < 0 ? name : name.slice(0, comma);
}
