/** Bars that lie: names of subjects are long, and read better beside a bar than below it. */
import { escapeHtml } from './html.ts';
import { type Looks, opacityOf } from './looks.ts';
import { type Drawing, hasSubjectRows, valueText } from './plot.ts';
import { axisOrder, CHARACTER_WIDTH, fixed, spaced } from './plot_lines.ts';
import type { Plot } from './report.ts';
import { makeScale, type Scale } from './scale.ts';

const WIDTH = 720;
const TOP = 8;
const BOTTOM = 50;
/** For the value behind the longest bar. */
const RIGHT = 76;
const GAP = 12;
const NAME_LENGTH_MAX = 30;

interface Bar {
  readonly category: number;
  readonly series: number;
  /** Where it begins and ends, as values. */
  readonly from: number;
  readonly to: number;
  readonly text: string;
}

interface Frame {
  readonly left: number;
  readonly scale: Scale;
  readonly thickness: number;
  readonly groupHeight: number;
  readonly isStacked: boolean;
}

export function drawBars(plot: Plot, looks: Looks): Drawing {
  const { categories } = plot.x;
  const isStacked = plot.kind === 'stacked bars';
  const bars = isStacked ? stackedBars(plot) : groupedBars(plot);
  const scale = makeScale({
    ...axisOrder(plot.y),
    values: bars.flatMap(({ from, to }) => [from, to]),
    hasZero: true,
  });
  const perGroup = isStacked ? 1 : Math.max(1, plot.series.length);
  const thickness = perGroup > 4 ? 12 : perGroup > 1 ? 15 : 20;
  const names = categories.map(shortened);
  const widest = Math.max(0, ...names.map((name) => name.length));
  const left = 16 + widest * CHARACTER_WIDTH;
  const frame = { left, scale, thickness, groupHeight: perGroup * thickness + GAP, isStacked };
  const height = TOP + Math.max(1, categories.length) * frame.groupHeight + BOTTOM;
  const shown = bars.filter(({ to }) => scale.place(to) !== null);
  const rows = names.map((name, i) => rowName(name, categories[i] ?? '', i, frame));
  const drawn = shown.map((bar) => drawBar(bar, frame, coloursOf(bar, plot, looks)));
  const points = plot.series.reduce((sum, { points: own }) => sum + own.length, 0);
  return {
    width: WIDTH,
    height,
    svg: [axis(plot, frame, height), ...rows, ...drawn, ...totals(shown, frame)].join(''),
    omitted: points - shown.length,
  };
}

function groupedBars(plot: Plot): readonly Bar[] {
  return plot.series.flatMap(({ name, points }, series) =>
    points
      .filter(([category]) => hasCategory(plot, category))
      .map(([category, to]) => ({
        category,
        series,
        from: 0,
        to,
        text: barText(plot, name, category, to),
      })),
  );
}

function stackedBars(plot: Plot): readonly Bar[] {
  const ends = new Map<number, number>();
  return groupedBars(plot).map((bar) => {
    const from = ends.get(bar.category) ?? 0;
    const to = Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, from + bar.to));
    ends.set(bar.category, to);
    return { ...bar, from, to };
  });
}

function hasCategory({ x }: Plot, category: number): boolean {
  return Number.isInteger(category) && category >= 0 && category < x.categories.length;
}

function barText({ x }: Plot, name: string, category: number, value: number): string {
  return `${x.categories[category] ?? ''}, ${name}: ${valueText(value)}`;
}

interface BarLook {
  readonly colour: string;
  readonly opacity: number;
}

function coloursOf({ category, series }: Bar, plot: Plot, looks: Looks): BarLook {
  if (hasSubjectRows(plot.x.categories, looks)) {
    const { colour } = looks.of(plot.x.categories[category] ?? '');
    return { colour, opacity: opacityOf(series, plot.series.length) };
  }
  return looks.of(plot.series[series]?.name ?? '');
}

function drawBar(bar: Bar, frame: Frame, { colour, opacity }: BarLook): string {
  const [from, to] = [frame.scale.place(bar.from) ?? 0, frame.scale.place(bar.to) ?? 0];
  const x = acrossOf(frame, Math.min(from, to));
  const width = acrossOf(frame, Math.max(from, to)) - x;
  const rect = `<rect x="${fixed(x)}" y="${fixed(topOf(bar, frame))}" width="${fixed(width)}" height="${frame.thickness - 2}" class="bar ${colour}" fill-opacity="${opacity}"/>`;
  return `<g>${rect}<title>${escapeHtml(bar.text)}</title></g>\n`;
}

/** The value behind each bar, and behind the last of a stack. */
function totals(bars: readonly Bar[], frame: Frame): readonly string[] {
  const last = new Map<string, Bar>();
  for (const bar of bars)
    last.set(frame.isStacked ? `${bar.category}` : `${bar.category} ${bar.series}`, bar);
  return [...last.values()].map((bar) => {
    const end = Math.max(frame.scale.place(bar.from) ?? 0, frame.scale.place(bar.to) ?? 0);
    const y = topOf(bar, frame) + (frame.thickness - 2) / 2;
    return `<text class="value" x="${fixed(acrossOf(frame, end) + 5)}" y="${fixed(y)}" dy="0.35em">${escapeHtml(valueText(bar.to))}</text>\n`;
  });
}

function topOf({ category, series }: Bar, frame: Frame): number {
  const inGroup = frame.isStacked ? 0 : series * frame.thickness;
  return TOP + category * frame.groupHeight + GAP / 2 + inGroup + 1;
}

function rowName(name: string, whole: string, row: number, frame: Frame): string {
  const y = TOP + row * frame.groupHeight + frame.groupHeight / 2;
  return `<text class="name end" x="${frame.left - 8}" y="${fixed(y)}" dy="0.35em">${escapeHtml(name)}<title>${escapeHtml(whole)}</title></text>\n`;
}

function axis(plot: Plot, frame: Frame, height: number): string {
  const bottom = height - BOTTOM;
  const lines = frame.scale.ticks.map(({ place }) => {
    const x = fixed(acrossOf(frame, place));
    return `<line class="grid" x1="${x}" y1="${TOP}" x2="${x}" y2="${bottom}"/>\n`;
  });
  const labels = spaced(frame.scale.ticks, ({ place }) => acrossOf(frame, place)).map(
    ({ place, label }) =>
      `<text class="tick middle" x="${fixed(acrossOf(frame, place))}" y="${bottom + 17}">${escapeHtml(label)}</text>\n`,
  );
  const middle = fixed((frame.left + WIDTH - RIGHT) / 2);
  const name = `<text class="label middle" x="${middle}" y="${height - 10}">${escapeHtml(plot.y.label)}</text>\n`;
  return [...lines, ...labels, name].join('');
}

function acrossOf({ left }: Frame, place: number): number {
  return left + place * (WIDTH - RIGHT - left);
}

function shortened(name: string): string {
  const characters = [...name];
  if (characters.length <= NAME_LENGTH_MAX) return name;
  return `${characters.slice(0, NAME_LENGTH_MAX - 1).join('')}…`;
}
