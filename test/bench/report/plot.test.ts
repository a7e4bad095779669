import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeLooks } from '../../../bench/report/looks.ts';
import { renderPlot } from '../../../bench/report/plot.ts';
import type { Plot } from '../../../bench/report/report.ts';
import { makeScale } from '../../../bench/report/scale.ts';
import { readHtml } from './html_reader.ts';

const LOOKS = makeLooks(['sallyport', 'envoy'], ['user', 'kernel']);
const KINDS = ['lines', 'bars', 'stacked bars'] as const;
const CATEGORIES = ['sallyport', 'envoy', 'a name that is much too long for the place it has here'];

const anyFinite = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 5e-324, Number.MAX_VALUE, -Number.MAX_VALUE, 1e-300, 1, 1),
);
const points = (x: fc.Arbitrary<number>): fc.Arbitrary<[number, number][]> =>
  fc.oneof(
    fc.array(fc.tuple(x, anyFinite), { maxLength: 6 }),
    fc.tuple(x, anyFinite).map((point) => [point, point, point]),
  );
const plot: fc.Arbitrary<Plot> = fc
  .tuple(fc.constantFrom(...KINDS), fc.boolean(), fc.boolean())
  .chain(([kind, isXLogarithmic, isYLogarithmic]) =>
    fc.record({
      id: fc.constant('p'),
      title: fc.constant('A plot'),
      kind: fc.constant(kind),
      x: fc.constant({
        label: 'across',
        isLogarithmic: isXLogarithmic,
        categories: kind === 'lines' ? [] : CATEGORIES,
      }),
      y: fc.constant({ label: 'up', isLogarithmic: isYLogarithmic, categories: [] }),
      series: fc.array(
        fc.record({
          name: fc.constantFrom('sallyport', 'envoy', 'user', 'kernel'),
          points: points(kind === 'lines' ? anyFinite : fc.nat(3)),
        }),
        { maxLength: 4 },
      ),
    }),
  );

/** Every number that says where something is drawn; text may hang over only where CSS cannot be asked. */
function coordinatesOf(svg: string): { across: number[]; down: number[]; view: number[] } {
  const { elements } = readHtml(svg);
  const drawing = elements.find(({ attributes }) => attributes.has('aria-labelledby'));
  const view = (drawing?.attributes.get('viewBox') ?? '').split(' ').map(Number);
  const across: number[] = [];
  const down: number[] = [];
  const legend = elements.findIndex(({ name }) => name === 'ul');
  for (const { attributes } of elements.slice(0, legend < 0 ? undefined : legend)) {
    const take = (name: string, into: number[]): number | undefined => {
      const text = attributes.get(name);
      if (text === undefined) return undefined;
      into.push(Number(text));
      return Number(text);
    };
    for (const name of ['x1', 'x2', 'cx']) take(name, across);
    for (const name of ['y1', 'y2', 'cy']) take(name, down);
    const x = take('x', across);
    const y = take('y', down);
    if (attributes.has('width')) across.push(Number(attributes.get('width')) + (x ?? 0));
    if (attributes.has('height')) down.push(Number(attributes.get('height')) + (y ?? 0));
    for (const pair of (attributes.get('points') ?? '').split(' ').filter(Boolean)) {
      const [px, py] = pair.split(',').map(Number);
      across.push(px ?? Number.NaN);
      down.push(py ?? Number.NaN);
    }
  }
  return { across, down, view };
}

describe('a plot', () => {
  it('draws any finite points at finite places within its view', () => {
    fc.assert(
      fc.property(plot, (given) => {
        const { across, down, view } = coordinatesOf(renderPlot(given, LOOKS, 'p'));
        const [, , width = Number.NaN, height = Number.NaN] = view;
        expect(across.length).toBeGreaterThan(0);
        for (const x of across) expect(x >= 0 && x <= width, `${x} of ${width}`).toBe(true);
        for (const y of down) expect(y >= 0 && y <= height, `${y} of ${height}`).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('draws or counts every point', () => {
    fc.assert(
      fc.property(plot, (given) => {
        const html = renderPlot(given, LOOKS, 'p');
        const drawn = html.match(/<g( class="mark [cn]\d")?><?.*?<title>/g)?.length ?? 0;
        const omitted = Number(/>(\d+) points? ha/.exec(html)?.[1] ?? 0);
        const all = given.series.reduce((sum, series) => sum + series.points.length, 0);
        expect(drawn + omitted).toBe(all);
        if (!given.x.isLogarithmic && !given.y.isLogarithmic && given.kind === 'lines') {
          expect(omitted).toBe(0);
        }
      }),
    );
  });

  it.each(KINDS)('of nothing is still a plot: %s', (kind) => {
    const axis = { label: 'axis', isLogarithmic: true, categories: [] };
    const html = renderPlot(
      { id: 'p', title: 'None', kind, x: axis, y: axis, series: [] },
      LOOKS,
      'p',
    );
    expect(readHtml(html).text).toContain('None');
  });

  it('has a title, a description and a legend', () => {
    const axis = { label: 'axis', isLogarithmic: false, categories: [] };
    const html = renderPlot(
      {
        id: 'p',
        title: 'Cost',
        kind: 'lines',
        x: axis,
        y: axis,
        series: [{ name: 'envoy', points: [[1, 2]] }],
      },
      LOOKS,
      'here',
    );
    expect(html).toContain('aria-labelledby="here-title here-desc"');
    expect(html).toContain('<title id="here-title">Cost</title>');
    expect(html).toMatch(/<desc id="here-desc">.*envoy: 2 to 2\./);
    expect(html).toMatch(/<ul class="legend">[\s\S]*envoy<\/li>/);
  });
});

describe('a scale', () => {
  it('keeps order, and has its ticks inside and in order', () => {
    fc.assert(
      fc.property(
        fc.array(anyFinite, { maxLength: 8 }),
        fc.boolean(),
        fc.boolean(),
        (values, isLogarithmic, hasZero) => {
          const { place, ticks } = makeScale({ values, isLogarithmic, hasZero });
          expect(ticks.length).toBeGreaterThanOrEqual(2);
          expect(ticks.length).toBeLessThanOrEqual(15);
          const places = [...values].sort((a, b) => a - b).map(place);
          const known = places.filter((at) => at !== null);
          expect(known).toEqual([...known].sort((a, b) => a - b));
          expect(ticks.map((tick) => tick.place)).toEqual(
            ticks.map((tick) => tick.place).sort((a, b) => a - b),
          );
          for (const at of known) expect(at >= 0 && at <= 1).toBe(true);
          expect(places.filter((at) => at === null).length).toBe(
            isLogarithmic ? values.filter((v) => v <= 0).length : 0,
          );
        },
      ),
      { numRuns: 1000 },
    );
  });

  it.each([
    { values: [0, 47], isLogarithmic: false, labels: ['0', '10', '20', '30', '40', '50'] },
    { values: [0, 0.9], isLogarithmic: false, labels: ['0', '0.2', '0.4', '0.6', '0.8', '1.0'] },
    { values: [0.3, 4], isLogarithmic: true, labels: ['0.2', '0.5', '1', '2', '5'] },
    { values: [1, 10000], isLogarithmic: true, labels: ['1', '10', '100', '1,000', '10,000'] },
    { values: [], isLogarithmic: false, labels: ['0', '0.2', '0.4', '0.6', '0.8', '1.0'] },
    { values: [-10, 10], isLogarithmic: false, labels: ['-10', '-5', '0', '5', '10'] },
  ])('has round ticks: $values', ({ values, isLogarithmic, labels }) => {
    const { ticks } = makeScale({ values, isLogarithmic, hasZero: true });
    expect(ticks.map(({ label }) => label)).toEqual(labels);
  });
});

describe('a scale of one value', () => {
  it('has it in the middle', () => {
    const { place } = makeScale({ values: [5, 5], isLogarithmic: false, hasZero: false });
    expect(place(5)).toBeGreaterThan(0.2);
    expect(place(5)).toBeLessThan(0.8);
  });
});

describe('looks', () => {
  it('gives a subject its colour, and its variants the same with another dash', () => {
    const looks = makeLooks(['sallyport', 'haproxy', 'haproxy, no log'], ['user']);
    expect(looks.of('haproxy').colour).toBe(looks.of('haproxy, no log').colour);
    expect(looks.of('haproxy').dashes).not.toBe(looks.of('haproxy, no log').dashes);
    expect(looks.of('sallyport').colour).not.toBe(looks.of('haproxy').colour);
    expect(looks.of('user').colour).toBe('n0');
  });
});
