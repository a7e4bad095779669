/** The pictures of suites, made of the medians; null: their scenarios were not run. */
import type { FigureName, Plot, Scenario, Series } from '../report/report.ts';
import { summarise } from '../report/summary.ts';

const NO_CATEGORIES: readonly string[] = [];

/** A bar a subject, user and kernel time on each other. */
export function cpuPlot(scenarios: readonly Scenario[], id: string): Plot | null {
  const scenario = scenarios.find((one) => one.id === id);
  if (scenario === undefined) return null;
  const subjects = scenario.rows.map(({ subject }) => subject);
  const bars = (name: string, figure: FigureName): Series => ({
    name,
    points: subjects.flatMap((subject, x) => pointOf(scenario, subject, figure, x)),
  });
  return {
    id: `${id}-cpu`,
    title: `CPU a request: ${scenario.title}`,
    kind: 'stacked bars',
    x: { label: '', isLogarithmic: false, categories: subjects },
    y: { label: 'CPU-µs a request', isLogarithmic: false, categories: NO_CATEGORIES },
    series: [bars('user', 'cpuUserMicros'), bars('kernel', 'cpuSystemMicros')],
  };
}

export function connectionPlot(scenarios: readonly Scenario[]): Plot | null {
  return linePlot(scenarios, {
    id: 'http1-by-connections',
    title: 'CPU a request by connections',
    xLabel: 'connections',
    isLogarithmic: true,
    yLabel: 'CPU-µs a request',
    figure: 'cpuMicros',
    xOf: (id) => (id === 'http1-main' ? 32 : numberIn(id, /^http1-([0-9]+)-connections$/)),
  });
}

export function fieldPlot(scenarios: readonly Scenario[]): Plot | null {
  return linePlot(scenarios, {
    id: 'http1-by-fields',
    title: 'CPU a request by header fields',
    xLabel: 'header fields a request',
    isLogarithmic: false,
    yLabel: 'CPU-µs a request',
    figure: 'cpuMicros',
    xOf: (id) => numberIn(id, /^http1-([0-9]+)-fields$/),
  });
}

/** Without the size of zero: a logarithmic axis has none. */
export function contentPlot(
  scenarios: readonly Scenario[],
  way: 'download' | 'upload',
): Plot | null {
  return linePlot(scenarios, {
    id: `http1-by-${way}`,
    title: `CPU a request by content, ${way}s`,
    xLabel: 'bytes of content',
    isLogarithmic: true,
    yLabel: 'CPU-µs a request',
    isCostLogarithmic: true,
    figure: 'cpuMicros',
    xOf: (id) => numberIn(id, new RegExp(`^http1-${way}-([1-9][0-9]*)$`)),
  });
}

export interface LinePlan {
  readonly id: string;
  readonly title: string;
  readonly xLabel: string;
  readonly isLogarithmic: boolean;
  readonly yLabel: string;
  readonly isCostLogarithmic?: boolean;
  readonly figure: FigureName;
  /** Null: the scenario is not on this plot. */
  readonly xOf: (id: string) => number | null;
}

/** A line is more than one point. */
export function linePlot(scenarios: readonly Scenario[], plan: LinePlan): Plot | null {
  const placed = scenarios
    .map((scenario) => ({ scenario, x: plan.xOf(scenario.id) }))
    .filter((one): one is { scenario: Scenario; x: number } => one.x !== null)
    .sort((a, b) => a.x - b.x);
  if (placed.length < 2) return null;
  const names = new Set(placed.flatMap(({ scenario }) => scenario.rows.map((row) => row.subject)));
  const series = [...names].map((name) => ({
    name,
    points: placed.flatMap(({ scenario, x }) => pointOf(scenario, name, plan.figure, x)),
  }));
  return {
    id: plan.id,
    title: plan.title,
    kind: 'lines',
    x: { label: plan.xLabel, isLogarithmic: plan.isLogarithmic, categories: NO_CATEGORIES },
    y: {
      label: plan.yLabel,
      isLogarithmic: plan.isCostLogarithmic ?? false,
      categories: NO_CATEGORIES,
    },
    series: series.filter(({ points }) => points.length > 1),
  };
}

function pointOf(
  scenario: Scenario,
  subject: string,
  figure: FigureName,
  x: number,
): readonly (readonly [x: number, y: number])[] {
  const row = scenario.rows.find((one) => one.subject === subject);
  const summary = row === undefined ? null : summarise(row.samples, figure);
  return summary === null ? [] : [[x, summary.median]];
}

export function numberIn(id: string, pattern: RegExp): number | null {
  const text = pattern.exec(id)?.[1];
  return text === undefined ? null : Number(text);
}
