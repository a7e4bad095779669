/** Rows as an aligned text table; colours do not count as width. */
import { shownWidth } from './terminal.ts';

export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows].map((row) => row.map(cellText));
  const widths = header.map((_, column) =>
    Math.max(...all.map((row) => shownWidth(row[column] ?? ''))),
  );
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - shownWidth(cell)))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((count) => '-'.repeat(count)).join('  '));
  return `${lines.join('\n')}\n`;
}

/** A cell stays in its row. */
function cellText(text: string): string {
  return text.replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}
