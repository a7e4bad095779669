/** Rows as an aligned text table; colour codes do not count as width. */
const ANSI = /\u001b\[[0-9;]*m/g;

export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - width(cell)))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((count) => '-'.repeat(count)).join('  '));
  return `${lines.join('\n')}\n`;
}

function width(text: string): number {
  return text.replace(ANSI, '').length;
}
