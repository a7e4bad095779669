import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeMarkdown, renderMarkdown } from '../../../bench/report/markdown.ts';
import { renderPage } from '../../../bench/report/page.ts';
import {
  FIGURES,
  type FigureName,
  type Report,
  SUITE_NAMES,
  type SuiteResult,
} from '../../../bench/report/report.ts';
import {
  figureText,
  ratioToReference,
  spreadText,
  summarise,
} from '../../../bench/report/summary.ts';
import { EXAMPLE_REPORT } from './example_report.ts';
import { readHtml } from './html_reader.ts';

/** Text that would be markup, a link, a table cell, a heading or an entity, if it could. */
const hostileText = fc.oneof(
  fc.constantFrom(
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='x",
    '</style></pre></table>',
    '&lt;b&gt; &amp;',
    '| a | b |\n|---|---|',
    '``` \n# heading\n```',
    '[link](http://example.org) ![x](y)',
    '\u0000\u001b[31m\ud800',
    '1. one',
    '',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const name = fc.string({ minLength: 1, maxLength: 12 }).map((text) => `s ${text}`);
const figureName = fc.constantFrom(...(Object.keys(FIGURES) as FigureName[]));
const value = fc.double({ min: 0, max: 1e9, noNaN: true });

const report: fc.Arbitrary<Report> = fc
  .uniqueArray(name, { minLength: 1, maxLength: 4 })
  .chain((names) =>
    fc.record({
      schemaVersion: fc.constant(1 as const),
      startedAt: hostileText,
      seconds: value,
      command: hostileText,
      machine: fc.constant(EXAMPLE_REPORT.machine),
      subjects: fc.tuple(...names.map((subject) => facts(subject))),
      missing: fc.array(fc.record({ name: hostileText, why: hostileText }), { maxLength: 3 }),
      suites: fc.array(suite(names), { maxLength: 2 }),
    }),
  );

function facts(subject: string): fc.Arbitrary<Report['subjects'][number]> {
  return fc.record({
    name: fc.constant(subject),
    version: hostileText,
    commands: fc.array(hostileText, { maxLength: 2 }),
    files: fc.array(fc.record({ name: hostileText, text: hostileText }), { maxLength: 2 }),
  });
}

function suite(names: readonly string[]): fc.Arbitrary<SuiteResult> {
  const sample = fc.dictionary(figureName, value, { maxKeys: 5 });
  const point = fc.tuple(fc.double({ noNaN: true }), fc.double({ noNaN: true }));
  const axis = fc.record({
    label: hostileText,
    isLogarithmic: fc.boolean(),
    categories: fc.array(hostileText, { maxLength: 3 }),
  });
  return fc.record({
    name: fc.constantFrom(...SUITE_NAMES),
    title: hostileText,
    about: hostileText,
    scenarios: fc.array(
      fc.record({
        id: hostileText,
        title: hostileText,
        load: fc.array(hostileText, { maxLength: 2 }),
        figures: fc.uniqueArray(figureName, { maxLength: 4 }),
        reference: fc.option(fc.constantFrom(...names)),
        rows: fc.tuple(
          ...names.map((subject) =>
            fc.record({
              subject: fc.constant(subject),
              samples: fc.array(sample, { maxLength: 3 }),
            }),
          ),
        ),
        warnings: fc.array(hostileText, { maxLength: 2 }),
      }),
      { maxLength: 2 },
    ),
    plots: fc.array(
      fc.record({
        id: hostileText,
        title: hostileText,
        kind: fc.constantFrom('lines' as const, 'bars' as const, 'stacked bars' as const),
        x: axis,
        y: axis,
        series: fc.array(
          fc.record({ name: hostileText, points: fc.array(point, { maxLength: 4 }) }),
          { maxLength: 3 },
        ),
      }),
      { maxLength: 1 },
    ),
  });
}

/** What has to be read in both outputs, as it is shown. */
function figuresOf({ suites }: Report): string[] {
  return suites.flatMap(({ scenarios }) =>
    scenarios.flatMap(({ figures, rows }) =>
      rows.flatMap(({ samples }) =>
        figures.flatMap((figure) => {
          const summary = summarise(samples, figure);
          return summary === null ? [] : [figureText(figure, summary.median)];
        }),
      ),
    ),
  );
}

function textsOf({ subjects, missing, suites }: Report): string[] {
  return [
    ...subjects.flatMap((subject) => [subject.name, subject.version]),
    ...missing.flatMap((peer) => [peer.name, peer.why]),
    ...suites.flatMap(({ title, about, scenarios }) => [
      title,
      about,
      ...scenarios.flatMap((scenario) => [scenario.title, ...scenario.warnings]),
    ]),
  ];
}

/** As HTML can show it. */
function writable(text: string): string {
  return text.toWellFormed().replace(/(?![\t\n])\p{Cc}|\p{Noncharacter_Code_Point}/gu, '\u{fffd}');
}

describe('the page', () => {
  it('shows every subject, text, figure and missing peer, and nothing of them as markup', () => {
    fc.assert(
      fc.property(report, (given) => {
        const { text, elements } = readHtml(renderPage(given));
        for (const expected of [...textsOf(given), ...figuresOf(given)]) {
          expect(text).toContain(writable(expected));
        }
        for (const { files, commands } of given.subjects) {
          for (const file of files) expect(text).toContain(writable(file.text));
          for (const command of commands) expect(text).toContain(writable(command));
        }
        expect(elements.map((element) => element.name)).not.toContain('script');
      }),
      { numRuns: 200 },
    );
  });

  it('asks for nothing outside of itself, and its links lead to something', () => {
    fc.assert(
      fc.property(report, (given) => {
        const { elements } = readHtml(renderPage(given));
        const ids = elements.flatMap(({ attributes }) => attributes.get('id') ?? []);
        for (const { attributes } of elements) {
          for (const banned of ['src', 'srcset', 'style', 'onload', 'onerror', 'xlink:href']) {
            expect(attributes.has(banned)).toBe(false);
          }
          const href = attributes.get('href');
          if (href !== undefined) expect(ids.map((id) => `#${id}`)).toContain(href);
        }
      }),
    );
    expect(renderPage(EXAMPLE_REPORT)).not.toMatch(/url\(|@import|<link/);
  });

  it('has no id twice', () => {
    const { elements } = readHtml(renderPage(EXAMPLE_REPORT));
    const ids = elements.flatMap(({ attributes }) => attributes.get('id') ?? []);
    expect(ids.length).toBeGreaterThan(10);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('shows a warning at its scenario, before the table', () => {
    const page = renderPage(EXAMPLE_REPORT);
    const scenario = page.slice(page.indexOf('<section class="scenario" id="http1--content-1MiB"'));
    const table = scenario.slice(0, scenario.indexOf('<table>'));
    expect(readHtml(`${table}</div></section>`).text).toContain('<sshd> took 12 %');
  });
});

describe('the Markdown', () => {
  it('shows every subject, text, figure and missing peer', () => {
    fc.assert(
      fc.property(report, (given) => {
        const markdown = renderMarkdown(given);
        for (const text of textsOf(given)) expect(markdown).toContain(escapeMarkdown(text));
        for (const figure of figuresOf(given)) expect(markdown).toContain(figure);
      }),
    );
  });

  it('has as many cells in each row of a table, whatever the names are', () => {
    fc.assert(
      fc.property(report, (given) => {
        const lines = outsideOfCode(renderMarkdown(given));
        lines.forEach((line, i) => {
          if (!line.startsWith('| --- ')) return;
          for (const row of [i - 1, i + 1]) {
            if (lines[row]?.startsWith('|')) expect(cellCount(lines[row])).toBe(cellCount(line));
          }
        });
      }),
    );
  });

  it('takes no text for markup', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const escaped = escapeMarkdown(text);
        expect(escaped).not.toMatch(/[\n\r]/);
        expect(escaped.replace(/\\[!-/:-@[-`{-~]/g, '')).not.toMatch(
          /[\\`*_[\]<>|&~#$!]|^[-+=]|^\d+[.)]\s/,
        );
      }),
    );
  });

  it('shows a warning under its table, and the missing before any figure', () => {
    const markdown = renderMarkdown(EXAMPLE_REPORT);
    expect(markdown).toMatch(/\n\n\* ⚠ envoy: the rounds are 31 % apart/);
    expect(markdown.indexOf('Missing from this run')).toBeLessThan(markdown.indexOf('## HTTP/1.1'));
  });

  it('tells medians, spread and the ratio to the reference', () => {
    expect(renderMarkdown(EXAMPLE_REPORT)).toContain('| envoy | 25.00 ±6.0 % | 15.00 ±6.0 % |');
    expect(renderMarkdown(EXAMPLE_REPORT)).toMatch(/\| envoy .* \| – \| 3 \| 0\.83 × \|/);
  });
});

function outsideOfCode(markdown: string): string[] {
  let fence = '';
  return markdown.split('\n').filter((line) => {
    const found = /^(`{3,})(sh)?$/.exec(line)?.[1] ?? '';
    if (fence === '' && found !== '') fence = found;
    else if (fence !== '' && line === fence) fence = '';
    else return fence === '';
    return false;
  });
}

function cellCount(line: string): number {
  return line.replace(/\\./g, '').split('|').length;
}

describe('a summary', () => {
  it('is the median and the farthest round', () => {
    const samples = [{ p99Ms: 4 }, { p99Ms: 2 }, { p99Ms: 3 }, {}];
    expect(summarise(samples, 'p99Ms')).toEqual({ median: 3, values: [4, 2, 3], spread: 1 / 3 });
    expect(summarise(samples.slice(0, 2), 'p99Ms')?.median).toBe(3);
    expect(summarise([{ p99Ms: 5 }], 'p99Ms')?.spread).toBeNull();
    expect(summarise([{ failures: 0 }, { failures: 0 }], 'failures')?.spread).toBeNull();
    expect(summarise(samples, 'p50Ms')).toBeNull();
  });

  it.each([
    [0.012, '±1.2 %'],
    [0.31, '±31 %'],
    [4.5, '±450 %'],
    [1234.5, '±1,235 ×'],
    [null, ''],
  ])('tells how far the rounds are apart: %s', (spread, text) => {
    expect(spreadText({ median: 1, values: [1], spread })).toBe(text);
  });

  it('lies between the rounds', () => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1 }), (values) => {
        const median =
          summarise(
            values.map((p50Ms) => ({ p50Ms })),
            'p50Ms',
          )?.median ?? Number.NaN;
        expect(median).toBeGreaterThanOrEqual(Math.min(...values));
        expect(median).toBeLessThanOrEqual(Math.max(...values));
      }),
    );
  });

  it('has no ratio without a reference, or to one that is not above zero', () => {
    const [scenario] = EXAMPLE_REPORT.suites[0]?.scenarios ?? [];
    if (scenario === undefined) throw new Error('the example has no scenario');
    const [row] = scenario.rows;
    if (row === undefined) throw new Error('the example has no row');
    expect(ratioToReference(scenario, row, 'cpuMicros')).toBeCloseTo(0.5);
    expect(ratioToReference({ ...scenario, reference: null }, row, 'cpuMicros')).toBeNull();
    expect(ratioToReference({ ...scenario, reference: 'nobody' }, row, 'cpuMicros')).toBeNull();
    const zero = { subject: 'haproxy', samples: [{ cpuMicros: 0 }] };
    expect(ratioToReference({ ...scenario, rows: [row, zero] }, row, 'cpuMicros')).toBeNull();
    const below = { subject: 'haproxy', samples: [{ cpuMicros: -1 }] };
    expect(ratioToReference({ ...scenario, rows: [row, below] }, row, 'cpuMicros')).toBeNull();
  });
});
