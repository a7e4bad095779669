/**
 * From values to places on a line and to the numbers written beside it. Any finite values: none, one, all
 * the same, or so large that their distance is not a number.
 */
export interface Scale {
  readonly ticks: readonly Tick[];
  /** 0: the low end of the axis, 1: the high end. Null: has no place, as zero on a logarithmic axis. */
  readonly place: (value: number) => number | null;
}

export interface Tick {
  readonly place: number;
  readonly label: string;
}

export interface ScaleOrder {
  readonly values: readonly number[];
  readonly isLogarithmic: boolean;
  /** A linear axis begins at zero, so that lengths compare as numbers do. */
  readonly hasZero: boolean;
  readonly marks?: readonly (readonly [at: number, label: string])[];
}

const TICKS_WANTED = 5;
const DECADES_MAX = 7;

export function makeScale(order: ScaleOrder): Scale {
  const scale = order.isLogarithmic
    ? logarithmic(order.values)
    : linear(order.values, order.hasZero);
  if (order.marks === undefined) return scale;
  return { ...scale, ticks: ticksAt(order.marks, scale.place) };
}

function linear(values: readonly number[], hasZero: boolean): Scale {
  const [least, most] = widened(rangeOf(hasZero ? [...values, 0] : values));
  // Halves: the distance of the largest numbers is infinite.
  const step = niceStep((most / 2 - least / 2) * (2 / TICKS_WANTED));
  const isUsable = step > 0 && Number.isFinite(step) && Math.abs(most / step) < 1e12;
  const first = isUsable ? Math.floor(least / step) : 0;
  const last = isUsable ? Math.ceil(most / step) : 0;
  const low = isUsable ? finite(first * step) : least;
  const high = isUsable ? finite(last * step) : most;
  const place = (value: number): number =>
    clamped((value / 2 - low / 2) / (high / 2 - low / 2), value >= high);
  const at = isUsable
    ? Array.from({ length: last - first + 1 }, (_, i) => finite((first + i) * step))
    : [low, high];
  return {
    place,
    ticks: ticksAt(
      at.map((value) => [value, numberText(value, step)]),
      place,
    ),
  };
}

/** Whole decades when there are many, else steps of 1, 2, 5. All in exponents: nothing can underflow. */
function logarithmic(values: readonly number[]): Scale {
  const logs = values.filter((value) => value > 0).map(Math.log10);
  const [least, most] = rangeOf(logs.length > 0 ? logs : [0]);
  const stops = stopsOf(least, most);
  const low = stops[0] ?? least;
  const high = stops[stops.length - 1] ?? most;
  const place = (log: number): number => clamped((log - low) / (high - low), log >= high);
  return {
    place: (value) => (value > 0 ? place(Math.log10(value)) : null),
    ticks: stops.map((log) => ({ place: place(log), label: powerText(log) })),
  };
}

/** Exponents that enclose least and most: at least two. */
function stopsOf(least: number, most: number): readonly number[] {
  const from = Math.floor(least);
  const to = Math.max(Math.ceil(most), from + 1);
  const decades = to - from;
  if (decades > 3) {
    const each = Math.ceil(decades / DECADES_MAX);
    return Array.from({ length: Math.ceil(decades / each) + 1 }, (_, i) => from + i * each);
  }
  const fine = Array.from({ length: decades }, (_, i) =>
    [1, 2, 5].map((digit) => from + i + Math.log10(digit)),
  ).flat();
  const all = [...fine, to];
  const tolerance = 1e-9;
  const first = all.findLastIndex((stop) => stop <= least + tolerance);
  const last = all.findIndex((stop) => stop >= most - tolerance);
  const begin = Math.max(0, first);
  return all.slice(begin, Math.max(last, begin + 1) + 1);
}

function ticksAt(
  marks: readonly (readonly [at: number, label: string])[],
  place: Scale['place'],
): readonly Tick[] {
  return marks.flatMap(([at, label]) => {
    const found = place(at);
    return found === null ? [] : [{ place: found, label }];
  });
}

function rangeOf(values: readonly number[]): readonly [least: number, most: number] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return least <= most ? [least, most] : [0, 1];
}

/** A range has two ends. */
function widened([least, most]: readonly [number, number]): readonly [number, number] {
  if (least < most) return [least, most];
  if (least === 0) return [0, 1];
  const around = Math.abs(least) / 2;
  return [finite(least - around), finite(most + around)];
}

/** 1, 2 or 5 times a power of ten, not below `rough`; 0: there is none. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  if (!(power > 0) || !Number.isFinite(power)) return 0;
  const digit = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * (1 - 1e-9)) ?? 10;
  return digit * power;
}

function finite(value: number): number {
  return Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value));
}

/** Marks and rounding may lie a little outside. */
function clamped(part: number, isAtEnd: boolean): number {
  if (Number.isNaN(part)) return isAtEnd ? 1 : 0;
  return Math.max(0, Math.min(1, part));
}

/** As many decimals as the step between two ticks needs. */
export function numberText(value: number, step: number): string {
  const size = Math.abs(value);
  if (value === 0) return '0';
  if (size >= 1e7 || size < 1e-4) return shortPower(value);
  const digits = step > 0 ? Math.max(0, Math.min(8, -Math.floor(Math.log10(step) + 1e-9))) : 3;
  return value.toLocaleString('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

function powerText(log: number): string {
  const exponent = Math.floor(log + 1e-9);
  const digit = Math.round(10 ** (log - exponent));
  if (exponent < -4 || exponent > 6) return digit === 1 ? `1e${exponent}` : `${digit}e${exponent}`;
  return numberText(Number(`${digit}e${exponent}`), 10 ** exponent);
}

function shortPower(value: number): string {
  return value
    .toExponential(2)
    .replace(/\.?0+e/, 'e')
    .replace('e+', 'e');
}
