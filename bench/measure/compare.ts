/**
 * Subjects under the same load, by turns: A B C, C B A, …, so that what changes on the machine meanwhile falls
 * on all of them. Starts nothing itself.
 *
 *     warm-up of each ──► round 1: A B C ──► round 2: C B A ──► … ──► a row of samples each
 *                         CPU of its processes before and after each load
 */
import type { LoadResult, LoadRun } from '../loads/load.ts';
import type { FigureName, Row, Sample, Scenario } from '../report/report.ts';
import { durationText } from '../report/summary.ts';
import type { Subject } from '../subjects/subject.ts';
import type { SuiteContext } from '../suites/suite.ts';
import { emptyLog, lostLines } from './access_log.ts';
import { type CpuUse, cpuBetween, readCpu } from './cpu.ts';
import { type ForeignUse, foreignShare, readMachineUse, scenarioWarnings } from './noise.ts';

export interface Contest {
  /** Unique in the suite: the scenario's. */
  readonly id: string;
  readonly title: string;
  readonly subjects: readonly Subject[];
  readonly loadOf: (subject: Subject) => LoadRun;
  /** The columns; PLAIN_FIGURES when absent. */
  readonly figures?: readonly FigureName[];
  /** Ratios are told against this subject; HAProxy with its log when absent and taking part. */
  readonly reference?: string | null;
  /** A request makes one line of an access log; messages in a tunnel do not. */
  readonly isLogged?: boolean;
  /** Which of how many of the suite, for the time that is left. */
  readonly place?: { readonly index: number; readonly count: number };
}

export const PLAIN_FIGURES: readonly FigureName[] = [
  'cpuMicros',
  'cpuUserMicros',
  'cpuSystemMicros',
  'requestsPerSecond',
  'p50Ms',
  'p99Ms',
  'failures',
];
const DEFAULT_REFERENCE = 'haproxy';
/** The JIT has compiled what a load needs after six to nine seconds on one core; a round before that measures the compiler. */
const FIRST_WARM_UP_SECONDS = 8;
/** Of a subject that has served another load before. */
const NEXT_WARM_UP_SECONDS = 2;
/** Those that have had their first. */
const warmed = new WeakSet<Subject>();

export async function compare(context: SuiteContext, contest: Contest): Promise<Scenario> {
  const { rounds, seconds } = context.settings;
  const { subjects, loadOf } = contest;
  const clock = new ContestClock(context, contest);
  const warnings: string[] = [];
  const foreign: ForeignUse[] = [];
  const lost = new Map<string, string>();
  const samples = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
  for (const subject of subjects) {
    clock.tell(`warm-up, ${subject.name}`);
    await attempt(warnings, `${subject.name}, warm-up`, () =>
      loadOf(subject).run(subject.url, warmUpSecondsOf(subject)),
    );
    warmed.add(subject);
  }
  for (let turn = 0; turn < rounds; turn++) {
    for (const subject of orderOfRound(subjects, turn)) {
      clock.tell(`round ${turn + 1}/${rounds}, ${subject.name}`);
      const what = `${subject.name}, round ${turn + 1}`;
      const round = await attempt(warnings, what, () =>
        measure(subject, loadOf(subject), seconds, foreign),
      );
      if (round === null) continue;
      samples.get(subject.name)?.push(round.sample);
      const loss = contest.isLogged === false ? null : await lostLines(subject, round.requests);
      if (loss !== null) lost.set(subject.name, loss);
    }
  }
  const rows = subjects.map(
    ({ name }): Row => ({ subject: name, samples: samples.get(name) ?? [] }),
  );
  const scenario: Scenario = {
    id: contest.id,
    title: contest.title,
    load: [...new Set(subjects.map((subject) => loadOf(subject).description))],
    figures: contest.figures ?? PLAIN_FIGURES,
    reference: referenceOf(contest),
    rows,
    warnings: [...scenarioWarnings(rows, foreign), ...lost.values(), ...warnings],
  };
  context.tellScenario(scenario);
  return scenario;
}

/** A B C, C B A, A B C, … */
export function orderOfRound<T>(subjects: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? subjects : subjects.toReversed();
}

function warmUpSecondsOf(subject: Subject): number {
  return warmed.has(subject) ? NEXT_WARM_UP_SECONDS : FIRST_WARM_UP_SECONDS;
}

async function measure(
  subject: Subject,
  load: LoadRun,
  seconds: number,
  foreign: ForeignUse[],
): Promise<{ readonly sample: Sample; readonly requests: number }> {
  await emptyLog(subject);
  const machine = readMachineUse();
  const before = readCpu(subject.pids());
  const result = await load.run(subject.url, seconds);
  const cpu = cpuBetween(before, readCpu(subject.pids()));
  foreign.push({ subject: subject.name, share: foreignShare(machine, readMachineUse()) });
  return { sample: sampleOf(result, cpu), requests: result.requests };
}

export function sampleOf(result: LoadResult, cpu: CpuUse): Sample {
  const { requests, failures, seconds, contentBytes, latency } = result;
  const micros = (cpuSeconds: number): number => (cpuSeconds * 1e6) / requests;
  const cpuSeconds = cpu.userSeconds + cpu.systemSeconds;
  return {
    failures,
    cpuShare: (100 * cpuSeconds) / seconds,
    ...(requests > 0 && {
      cpuMicros: micros(cpuSeconds),
      cpuUserMicros: micros(cpu.userSeconds),
      cpuSystemMicros: micros(cpu.systemSeconds),
      requestsPerSecond: requests / seconds,
    }),
    ...(contentBytes > 0 && {
      megabytesPerSecond: contentBytes / 1e6 / seconds,
      cpuNanosPerKilobyte: (cpuSeconds * 1e9) / (contentBytes / 1024),
    }),
    ...latency,
    ...result.figures,
  };
}

/** A subject that breaks under a load must not end a run of an hour: it is told. */
async function attempt<T>(
  warnings: string[],
  what: string,
  action: () => Promise<T>,
): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    warnings.push(`${what}: no result: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

function referenceOf({ reference, subjects }: Contest): string | null {
  const name = reference === undefined ? DEFAULT_REFERENCE : reference;
  return subjects.some((subject) => subject.name === name) ? name : null;
}

/** How long this contest and those of the suite that follow will take. */
class ContestClock {
  readonly #context: SuiteContext;
  readonly #contest: Contest;
  readonly #wholeSeconds: number;
  /** Of each contest that follows with the same subjects. */
  readonly #nextSeconds: number;
  readonly #startMs = performance.now();

  constructor(context: SuiteContext, contest: Contest) {
    const { rounds, seconds } = context.settings;
    const roundSeconds = contest.subjects.length * rounds * seconds;
    this.#context = context;
    this.#contest = contest;
    this.#wholeSeconds =
      roundSeconds + contest.subjects.map(warmUpSecondsOf).reduce((sum, one) => sum + one, 0);
    this.#nextSeconds = roundSeconds + contest.subjects.length * NEXT_WARM_UP_SECONDS;
  }

  tell(text: string): void {
    const { id, place = { index: 0, count: 1 } } = this.#contest;
    const doneSeconds = (performance.now() - this.#startMs) / 1000;
    const behind = Math.max(0, place.count - place.index - 1) * this.#nextSeconds;
    const leftSeconds = Math.max(0, this.#wholeSeconds - doneSeconds) + behind;
    const where = place.count > 1 ? `${place.index + 1}/${place.count} ${id}` : id;
    this.#context.progress(`${where}: ${text}; about ${durationText(leftSeconds)} left`);
  }
}
