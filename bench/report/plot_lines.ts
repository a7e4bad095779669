/** Lines with a mark at each point. */
import { escapeHtml } from './html.ts';
import type { Look, Looks } from './looks.ts';
import { type Drawing, valueText } from './plot.ts';
import type { Axis, Plot, Series } from './report.ts';
import { makeScale, type Scale, type Tick } from './scale.ts';

const WIDTH = 720;
const HEIGHT = 340;
const TOP = 14;
const BOTTOM = 52;
const RIGHT = 30;
/** Of a digit at the size of the tick labels. */
export const CHARACTER_WIDTH = 7;

interface Frame {
  readonly left: number;
  readonly x: Scale;
  readonly y: Scale;
}

export function drawLines(plot: Plot, looks: Looks): Drawing {
  const points = plot.series.flatMap((series) => series.points);
  const x = makeScale({ ...axisOrder(plot.x), values: points.map(([at]) => at), hasZero: false });
  const y = makeScale({ ...axisOrder(plot.y), values: points.map(([, to]) => to), hasZero: true });
  const widest = Math.max(0, ...y.ticks.map(({ label }) => label.length));
  const frame = { left: Math.min(160, 34 + widest * CHARACTER_WIDTH), x, y };
  const lines = plot.series.map((series) => drawSeries(series, looks.of(series.name), frame, plot));
  return {
    width: WIDTH,
    height: HEIGHT,
    svg: [grid(frame), axisLabels(plot, frame), ...lines.map(({ svg }) => svg)].join(''),
    omitted: lines.reduce((sum, line) => sum + line.omitted, 0),
  };
}

export function axisOrder({ isLogarithmic, marks }: Axis): {
  isLogarithmic: boolean;
  marks?: NonNullable<Axis['marks']>;
} {
  return { isLogarithmic, ...(marks === undefined ? {} : { marks }) };
}

function drawSeries(
  series: Series,
  look: Look,
  frame: Frame,
  plot: Plot,
): { svg: string; omitted: number } {
  const placed = [...series.points]
    .sort(([a], [b]) => a - b)
    .flatMap(([atX, atY]) => {
      const [x, y] = [frame.x.place(atX), frame.y.place(atY)];
      if (x === null || y === null) return [];
      return [
        { x: acrossOf(frame, x), y: downOf(y), text: pointText(series.name, atX, atY, plot) },
      ];
    });
  const path = placed.map(({ x, y }) => `${fixed(x)},${fixed(y)}`).join(' ');
  const marks = placed.map(
    ({ x, y, text }) => `${markAt(x, y, look)}<title>${escapeHtml(text)}</title></g>\n`,
  );
  const line = `<polyline points="${path}" class="line ${look.colour}" stroke-dasharray="${look.dashes}"/>\n`;
  return { svg: `${line}${marks.join('')}`, omitted: series.points.length - placed.length };
}

function pointText(name: string, x: number, y: number, plot: Plot): string {
  const at = plot.x.marks?.find(([mark]) => mark === x)?.[1] ?? valueText(x);
  return `${name}: ${valueText(y)} at ${at}`;
}

/** Opens a group, which the caller closes: a mark may carry a title. */
export function markAt(x: number, y: number, { colour, mark }: Look): string {
  const [r, s] = [4, 3.5];
  const polygon = (...corners: readonly (readonly [number, number])[]): string =>
    `<polygon points="${corners.map(([dx, dy]) => `${fixed(x + dx)},${fixed(y + dy)}`).join(' ')}"/>`;
  const shape = {
    disc: () => `<circle cx="${fixed(x)}" cy="${fixed(y)}" r="${r}"/>`,
    square: () => polygon([-s, -s], [s, -s], [s, s], [-s, s]),
    triangle: () => polygon([0, -r - 1], [r + 0.5, s], [-r - 0.5, s]),
    diamond: () => polygon([0, -r - 1], [r + 1, 0], [0, r + 1], [-r - 1, 0]),
  }[mark]();
  return `<g class="mark ${colour}">${shape}`;
}

function grid(frame: Frame): string {
  const bottom = HEIGHT - BOTTOM;
  const across = frame.y.ticks.map(({ place, label }) => {
    const y = fixed(downOf(place));
    return `<line class="grid" x1="${frame.left}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}"/><text class="tick end" x="${frame.left - 8}" y="${y}" dy="0.35em">${escapeHtml(label)}</text>\n`;
  });
  const upright = frame.x.ticks.map(({ place }) => {
    const x = fixed(acrossOf(frame, place));
    return `<line class="grid" x1="${x}" y1="${TOP}" x2="${x}" y2="${bottom}"/>\n`;
  });
  return [...across, ...upright, tickTexts(frame), baseline(frame)].join('');
}

function baseline({ left }: Frame): string {
  const y = HEIGHT - BOTTOM;
  return `<line class="axis" x1="${left}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}"/>\n`;
}

function tickTexts(frame: Frame): string {
  const y = HEIGHT - BOTTOM + 18;
  return spaced(frame.x.ticks, (tick) => acrossOf(frame, tick.place))
    .map(
      ({ place, label }) =>
        `<text class="tick middle" x="${fixed(acrossOf(frame, place))}" y="${y}">${escapeHtml(label)}</text>\n`,
    )
    .join('');
}

/** Those whose labels do not touch the one before. */
export function spaced(ticks: readonly Tick[], middleOf: (tick: Tick) => number): readonly Tick[] {
  let end = Number.NEGATIVE_INFINITY;
  return [...ticks]
    .sort((a, b) => a.place - b.place)
    .filter((tick) => {
      const half = (tick.label.length * CHARACTER_WIDTH) / 2;
      if (middleOf(tick) - half < end + 6) return false;
      end = middleOf(tick) + half;
      return true;
    });
}

function axisLabels(plot: Plot, { left }: Frame): string {
  const middle = (left + WIDTH - RIGHT) / 2;
  const half = TOP + (HEIGHT - TOP - BOTTOM) / 2;
  return `<text class="label middle" x="${middle}" y="${HEIGHT - 10}">${escapeHtml(plot.x.label)}</text>
<text class="label middle" transform="translate(14 ${half}) rotate(-90)">${escapeHtml(plot.y.label)}</text>
`;
}

function acrossOf({ left }: Frame, place: number): number {
  return left + place * (WIDTH - RIGHT - left);
}

function downOf(place: number): number {
  return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
}

export function fixed(value: number): string {
  return value.toFixed(1);
}
