/** Figures and tables for people. */

/** The first column to the left, the others to the right but for the last two. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const isText = (column: number): boolean => column === 0 || column >= head.length - 2;
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return isText(column) ? cell.padEnd(width) : cell.padStart(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function durationText(nanos: number): string {
  if (!Number.isFinite(nanos)) return '-';
  if (nanos >= 1e6) return `${(nanos / 1e6).toFixed(1)} ms`;
  return nanos >= 1e5 ? `${(nanos / 1e3).toFixed(0)} µs` : `${nanos.toFixed(0)} ns`;
}

export function figureText(figure: number): string {
  if (!Number.isFinite(figure)) return '-';
  return figure.toFixed(figure >= 100 ? 0 : figure >= 10 ? 1 : 2);
}
