/**
 * Latency at a load that everybody can carry: half of what the slowest one can, the same rate for all, each
 * request measured from when it was due. And the same for Sallyport while its policy is replaced ten times a
 * second.
 *
 *     saturation of each ─► rate ─► fixed rate, A B … B A ─► autocannon at the same rate ─► policy swaps
 */
import { autocannonLoad } from '../loads/autocannon.ts';
import { whilePolicyChanges } from '../loads/changing_policy.ts';
import { fixedRate } from '../loads/fixed_rate.ts';
import type { LoadRun } from '../loads/load.ts';
import { compare } from '../measure/compare.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import { FIGURES, type FigureName, type Plot, type Scenario } from '../report/report.ts';
import { isNumber, medianOf, summarise } from '../report/summary.ts';
import { PLAIN_RULES, type Subject } from '../subjects/subject.ts';
import type { Suite, SuiteContext } from './suite.ts';

const TITLE = 'Latency';
const ABOUT =
  'First each subject answers as many requests as it can; half of what the slowest one reached is the rate for ' +
  'all. Requests are then due at fixed moments, and the time of each counts from its moment, also while it ' +
  'waits for others (no coordinated omission). “Added” is what a subject has more than the origin alone in ' +
  'the same round. “Load late” is the fault of the load itself: how long after its moment a request was sent ' +
  'though a connection was free; where it comes near the latency, the latency is that of the machine.';

const PATH = '/orders/1';
const CONNECTIONS = 32;
const ORIGIN_ALONE = 'origin alone';
const SALLYPORT = 'sallyport';
const SATURATION_SECONDS_MAX = 3;
const SATURATION_ROUNDS_MAX = 2;
/** Of p99.9 only each thousandth request tells: rounds are longer. */
const LATENCY_SECONDS_FACTOR = 2;
/** The rate is a round number. */
const RATE_STEP = 100;
/** Of the latency of the origin alone, at p99: more of the load's own lateness makes a warning. */
const LATENESS_SHARE_MAX = 0.5;

/** Of ten that are written: reading waits until a file is quiet. */
const SWAPS_PER_SECOND_MIN = 8;

const LATENCY_FIGURES: readonly FigureName[] = [
  'addedP99Ms',
  'addedP50Ms',
  'p50Ms',
  'p90Ms',
  'p99Ms',
  'p999Ms',
  'maxMs',
  'loadLateP99Ms',
  'failures',
];
const AUTOCANNON_FIGURES: readonly FigureName[] = [
  'p50Ms',
  'p90Ms',
  'p99Ms',
  'p999Ms',
  'maxMs',
  'requestsPerSecond',
  'failures',
];
const SWAP_FIGURES: readonly FigureName[] = [
  'p99Ms',
  'p50Ms',
  'p999Ms',
  'maxMs',
  'cpuMicros',
  'swapsPerSecond',
  'loadLateP99Ms',
  'failures',
];

export const suite: Suite = {
  title: TITLE,
  run: (context) =>
    withSubjects(context, { version: 'h1', isWanted }, async (subjects) => {
      const saturation = await findSaturation(context, subjects);
      const rate = rateOf(saturation);
      const half = await atHalfLoad(context, subjects, rate);
      const scenarios = [saturation, half];
      if (!context.settings.isQuick) {
        scenarios.push(await byAutocannon(context, subjects, rate));
      }
      const own = subjects.find(({ name }) => name === SALLYPORT);
      const plots = [percentilePlot(half)];
      if (own !== undefined) {
        const changing = await withPolicyChanging(context, own, rate);
        scenarios.push(changing);
        plots.push(percentilePlot(changing));
      }
      return {
        name: 'latency',
        title: TITLE,
        about: ABOUT,
        scenarios,
        plots,
      };
    }),
};

/** Variants without a log are told apart by CPU, not here. */
function isWanted({ name }: { readonly name: string }): boolean {
  return !name.includes(',');
}

function findSaturation(context: SuiteContext, subjects: readonly Subject[]): Promise<Scenario> {
  const { rounds, seconds } = context.settings;
  const settings = {
    ...context.settings,
    rounds: Math.min(SATURATION_ROUNDS_MAX, rounds),
    seconds: Math.min(SATURATION_SECONDS_MAX, seconds),
  };
  const load = fixedRate({ path: PATH, connections: CONNECTIONS, requestsPerSecond: null });
  return compare(
    { ...context, settings },
    {
      id: 'saturation',
      title: `Saturation, ${CONNECTIONS} connections: the slowest one gives the rate of the others`,
      subjects,
      loadOf: () => load,
      figures: ['requestsPerSecond', 'cpuMicros', 'p50Ms', 'p99Ms', 'failures'],
    },
  );
}

/** Half of the slowest. */
export function rateOf(saturation: Scenario): number {
  const rates = saturation.rows
    .map(({ samples }) => summarise(samples, 'requestsPerSecond')?.median)
    .filter(isNumber);
  const half = Math.min(...rates) / 2;
  if (!Number.isFinite(half)) throw new Error('nobody answered: there is no rate to measure at');
  return Math.max(RATE_STEP, Math.floor(half / RATE_STEP) * RATE_STEP);
}

async function atHalfLoad(
  context: SuiteContext,
  subjects: readonly Subject[],
  rate: number,
): Promise<Scenario> {
  const load = fixedLoad(rate);
  const scenario = await compare(withLongerRounds(context), {
    id: 'half-load',
    title: `${rateText(rate)}, half of the slowest one's saturation`,
    subjects,
    loadOf: () => load,
    figures: LATENCY_FIGURES,
  });
  return withAdded(withLatenessWarning(scenario));
}

function byAutocannon(
  context: SuiteContext,
  subjects: readonly Subject[],
  rate: number,
): Promise<Scenario> {
  const load = autocannonLoad({ path: PATH, connections: CONNECTIONS, requestsPerSecond: rate });
  return compare(context, {
    id: 'half-load-autocannon',
    title: `A second opinion: autocannon at ${rateText(rate)}, in whole milliseconds`,
    subjects,
    loadOf: () => load,
    figures: AUTOCANNON_FIGURES,
  });
}

/** The same processes by turns: left alone, and with another policy every tenth of a second. */
async function withPolicyChanging(
  context: SuiteContext,
  subject: Subject,
  rate: number,
): Promise<Scenario> {
  const changing: Subject = { ...subject, name: `${SALLYPORT}, policy changing` };
  const calm = fixedLoad(rate);
  const changed = whilePolicyChanges(calm, subject.directory, PLAIN_RULES);
  const scenario = await compare(withLongerRounds(context), {
    id: 'policy-changing',
    title: `Sallyport at ${rateText(rate)} while its policy is replaced 10 times a second`,
    subjects: [subject, changing],
    loadOf: ({ name }) => (name === changing.name ? changed : calm),
    figures: SWAP_FIGURES,
    reference: SALLYPORT,
  });
  return withSwapWarning(withLatenessWarning(scenario));
}

/** Fewer swaps than asked for would make a stop of traffic look small. */
function withSwapWarning(scenario: Scenario): Scenario {
  const rates = scenario.rows.flatMap(({ samples }) => samples.map((s) => s.swapsPerSecond));
  const least = Math.min(...rates.filter(isNumber));
  if (least >= SWAPS_PER_SECOND_MIN) return scenario;
  const warning = `in a round only ${least.toFixed(1)} policies a second came into force`;
  return { ...scenario, warnings: [...scenario.warnings, warning] };
}

function withLongerRounds(context: SuiteContext): SuiteContext {
  const seconds = context.settings.seconds * LATENCY_SECONDS_FACTOR;
  return { ...context, settings: { ...context.settings, seconds } };
}

function fixedLoad(rate: number): LoadRun {
  return fixedRate({ path: PATH, connections: CONNECTIONS, requestsPerSecond: rate });
}

/** What each round has more than the origin alone in the same round. */
export function withAdded(scenario: Scenario): Scenario {
  const base = scenario.rows.find(({ subject }) => subject === ORIGIN_ALONE);
  if (base === undefined) return scenario;
  const rows = scenario.rows.map((row) => {
    if (row === base || row.samples.length !== base.samples.length) return row;
    const samples = row.samples.map((sample, round) => ({
      ...sample,
      ...added('addedP50Ms', sample.p50Ms, base.samples[round]?.p50Ms),
      ...added('addedP99Ms', sample.p99Ms, base.samples[round]?.p99Ms),
    }));
    return { ...row, samples };
  });
  return { ...scenario, rows };
}

function added(
  name: FigureName,
  own: number | undefined,
  base: number | undefined,
): Readonly<Partial<Record<FigureName, number>>> {
  return own === undefined || base === undefined ? {} : { [name]: own - base };
}

/** Where the load itself was late, a latency is not the subject's. */
export function withLatenessWarning(scenario: Scenario): Scenario {
  const samples = scenario.rows.flatMap((row) => row.samples);
  const lateMs = medianOf(samples.map(({ loadLateP99Ms }) => loadLateP99Ms).filter(isNumber));
  const leastMs = Math.min(...samples.map(({ p99Ms }) => p99Ms).filter(isNumber));
  if (!(lateMs > leastMs * LATENESS_SHARE_MAX)) return scenario;
  const { digits, unit } = FIGURES.loadLateP99Ms;
  const warning =
    `the load itself was late: at p99 by ${lateMs.toFixed(digits)} ${unit} in the median, where the fastest ` +
    `round took ${leastMs.toFixed(digits)} ${unit}: its core had other things to do, p99 and above are the machine's`;
  return { ...scenario, warnings: [...scenario.warnings, warning] };
}

function percentilePlot({ id, title, rows }: Scenario): Plot {
  const quantiles: readonly (readonly [at: number, label: string, figure: FigureName])[] = [
    [2, 'p50', 'p50Ms'],
    [10, 'p90', 'p90Ms'],
    [100, 'p99', 'p99Ms'],
    [1000, 'p99.9', 'p999Ms'],
  ];
  return {
    id,
    title,
    kind: 'lines',
    x: {
      label: 'of all requests',
      isLogarithmic: true,
      categories: [],
      marks: quantiles.map(([at, label]) => [at, label]),
    },
    y: { label: 'latency, ms', isLogarithmic: true, categories: [] },
    series: rows.map(({ subject, samples }) => ({
      name: subject,
      points: quantiles.flatMap(([at, , figure]): [number, number][] => {
        const summary = summarise(samples, figure);
        return summary === null ? [] : [[at, summary.median]];
      }),
    })),
  };
}

function rateText(rate: number): string {
  return `${rate.toLocaleString('en-US')} requests a second`;
}
