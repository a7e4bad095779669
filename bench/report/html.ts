/** Text as HTML or SVG text, or as an attribute's value in double quotes. */
export function escapeHtml(text: string): string {
  return text
    .toWellFormed()
    .replace(UNWRITABLE, '\u{fffd}')
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** What neither HTML nor XML can hold, escaped or not. */
const UNWRITABLE = /(?![\t\n])\p{Cc}|\p{Noncharacter_Code_Point}/gu;

/** Fit for an id and a link to it: no two texts become the same. */
export function idOf(...parts: readonly string[]): string {
  return parts
    .map((part) =>
      part.replace(/[^A-Za-z0-9-]/gu, (character) => `_${character.codePointAt(0)?.toString(16)}_`),
    )
    .join('--');
}
