/**
 * A plot as a <figure> with inline SVG: no script, no font, no image of anywhere else; colours are classes of
 * the page's style sheet, so that it reads in light and in dark. Any finite points give a plot; what has no
 * place on its axis is counted below it.
 */
import { escapeHtml } from './html.ts';
import { type Look, type Looks, opacityOf } from './looks.ts';
import { drawBars } from './plot_bars.ts';
import { drawLines, markAt } from './plot_lines.ts';
import type { Plot, Series } from './report.ts';
import { isNumber } from './summary.ts';

/** What the parts of a plot draw. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly svg: string;
  /** Points that have no place: zero on a logarithmic axis, a bar without a category. */
  readonly omitted: number;
}

/** `id`: unique in the page. */
export function renderPlot(plot: Plot, looks: Looks, id: string): string {
  const drawn = { ...plot, series: plot.series.map(finitePoints) };
  const { svg, width, height, omitted } =
    plot.kind === 'lines' ? drawLines(drawn, looks) : drawBars(drawn, looks);
  return `<figure class="plot" id="${id}">
<figcaption>${escapeHtml(plot.title)}</figcaption>
<div class="drawing"><svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}-title ${id}-desc">
<title id="${id}-title">${escapeHtml(plot.title)}</title>
<desc id="${id}-desc">${escapeHtml(descriptionOf(drawn))}</desc>
${svg}</svg></div>
${legend(plot, looks)}${omittedNote(omitted)}</figure>
`;
}

function finitePoints({ name, points }: Series): Series {
  return { name, points: points.filter((point) => point.every(isNumber)) };
}

/** For whoever cannot see it. */
function descriptionOf({ kind, x, y, series }: Plot): string {
  const axes = `${kind === 'lines' ? 'Lines' : 'Bars'}: ${y.label} by ${x.label}.`;
  const ranges = series.map(({ name, points }) => {
    const values = points.map(([, value]) => value).sort((a, b) => a - b);
    const [least, most] = [values[0], values[values.length - 1]];
    if (least === undefined || most === undefined) return `${name}: nothing measured.`;
    return `${name}: ${valueText(least)} to ${valueText(most)}.`;
  });
  return [axes, ...ranges].join(' ');
}

/** Four digits: for the text that comes up under the pointer. */
export function valueText(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e9 || size < 1e-4)) return value.toExponential(2);
  return value.toLocaleString('en-US', { maximumSignificantDigits: 4 });
}

function legend({ kind, series, x }: Plot, looks: Looks): string {
  const isByCategory = kind !== 'lines' && hasSubjectRows(x.categories, looks);
  if (isByCategory && series.length < 2) return '';
  const items = series.map(({ name }, i) => {
    const look: Look = isByCategory
      ? { ...looks.of(''), opacity: opacityOf(i, series.length) }
      : looks.of(name);
    const key = kind === 'lines' ? lineKey(look) : barKey(look);
    return `<li><svg viewBox="0 0 30 12" aria-hidden="true">${key}</svg>${escapeHtml(name)}</li>\n`;
  });
  return `<ul class="legend">\n${items.join('')}</ul>\n`;
}

/** Bars that are subjects have their colours; the series are parts, told apart by strength. */
export function hasSubjectRows(categories: readonly string[], looks: Looks): boolean {
  return categories.some(looks.isSubject);
}

function lineKey(look: Look): string {
  const line = `<line x1="1" y1="6" x2="29" y2="6" class="line ${look.colour}" stroke-dasharray="${look.dashes}"/>`;
  return `${line}${markAt(15, 6, look)}</g>`;
}

function barKey({ colour, opacity }: Look): string {
  return `<rect x="8" y="0" width="14" height="12" rx="2" class="bar ${colour}" fill-opacity="${opacity}"/>`;
}

function omittedNote(count: number): string {
  if (count === 0) return '';
  const are = count === 1 ? 'point has' : 'points have';
  return `<p class="note">${count} ${are} no place on these axes.</p>\n`;
}
