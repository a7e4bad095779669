/**
 * Memory at rest, and what an idle connection costs: each subject is started anew for each round, loaded for
 * a moment, and then holds 1,000 and 10,000 connections that have had one request each.
 *
 *     started ─► warmed up ─► 1,000 idle ─► closed ─► 10,000 idle ─► closed
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fixedRate } from '../loads/fixed_rate.ts';
import { openIdleConnections } from '../loads/idle_connections.ts';
import { orderOfRound } from '../measure/compare.ts';
import { readMemory } from '../measure/memory.ts';
import { raiseOpenFiles } from '../measure/open_files.ts';
import { withSubjects } from '../measure/with_subjects.ts';
import type { FigureName, Plot, Sample, Scenario } from '../report/report.ts';
import { summarise } from '../report/summary.ts';
import type { Subject } from '../subjects/subject.ts';
import type { Suite, SuiteContext } from './suite.ts';

const TITLE = 'Memory';
const ABOUT =
  'Resident memory of all processes of each subject: at rest, after a short load, with idle connections, and ' +
  'after these have closed. Each subject is started anew for each round. An idle connection costs what the ' +
  'subject has more than after the short load, divided by their number. The memory of the kernel for the ' +
  'sockets is not in it, and is more where a connection keeps its own connection to the origin, as those of ' +
  'Sallyport do: two sockets instead of one.';

const WANTED = [1_000, 10_000];
const PATH = '/orders/1';
/** A socket on each side for each connection, and what a process has anyway. */
const OPEN_FILES_PER_CONNECTION = 2;
const OPEN_FILES_BESIDE = 500;
const OPEN_FILES_WANTED = 65_536;
const WARM_UP_CONNECTIONS = 32;
const WARM_UP_SECONDS = 3;
/** Until buffers are free again and a collector, if there is one, has had its turn. */
const SETTLE_MS = 2_000;
/** Memory is not a matter of luck as time is. */
const ROUNDS_MAX = 3;

export const suite: Suite = {
  title: TITLE,
  run: async (context) => {
    const ledger = new Ledger();
    const counts = possibleCounts(context);
    for (const count of counts) {
      if (count.warning !== null) ledger.warn(idlePhase(count), count.warning);
    }
    const rounds = Math.min(ROUNDS_MAX, context.settings.rounds);
    for (let round = 0; round < rounds; round++) {
      await withSubjects(context, { version: 'h1', isWanted }, async (subjects) => {
        for (const subject of orderOfRound(subjects, round)) {
          const tell = (text: string): void =>
            context.progress(`round ${round + 1}/${rounds}, ${subject.name}: ${text}`);
          await measureSubject(subject, counts, ledger, tell);
        }
      });
    }
    const phases = phasesOf(counts);
    return {
      name: 'memory',
      title: TITLE,
      about: ABOUT,
      scenarios: phases.map((phase) => ledger.scenario(phase)),
      plots: [residentPlot(ledger, phases), ...idlePlots(ledger, phases)],
    };
  },
};

/** The variants without a log differ in nothing here. */
function isWanted({ name }: { readonly name: string }): boolean {
  return !name.includes(',');
}

interface Count {
  readonly wanted: number;
  /** As many of them as this machine lets a process have. */
  readonly connections: number;
  readonly warning: string | null;
}

function possibleCounts({ settings }: SuiteContext): readonly Count[] {
  const limit = raiseOpenFiles(OPEN_FILES_WANTED);
  const most = Math.floor((limit - OPEN_FILES_BESIDE) / OPEN_FILES_PER_CONNECTION / 100) * 100;
  return (settings.isQuick ? WANTED.slice(0, 1) : WANTED).map((wanted) => {
    if (most >= wanted) return { wanted, connections: wanted, warning: null };
    const needed = wanted * OPEN_FILES_PER_CONNECTION + OPEN_FILES_BESIDE;
    const warning =
      `${manyText(most)} instead of ${manyText(wanted)}: a process may have ${manyText(limit)} files open here, ` +
      `and a connection may need two; \`ulimit -n ${needed}\` before the run`;
    return { wanted, connections: most, warning };
  });
}

interface Phase {
  readonly id: string;
  readonly title: string;
  /** Idle at that moment; 0: none. */
  readonly connections: number;
}

const STARTED: Phase = { id: 'started', title: 'At rest, just started', connections: 0 };
const WARM: Phase = { id: 'warm', title: 'At rest, after a short load', connections: 0 };

function phasesOf(counts: readonly Count[]): readonly Phase[] {
  return [STARTED, WARM, ...counts.flatMap((count) => [idlePhase(count), closedPhase(count)])];
}

function idlePhase({ wanted, connections }: Count): Phase {
  return { id: `idle-${wanted}`, title: `${manyText(connections)} idle connections`, connections };
}

function closedPhase({ wanted, connections }: Count): Phase {
  const title = `After ${manyText(connections)} have closed`;
  return { id: `closed-${wanted}`, title, connections: 0 };
}

function manyText(count: number): string {
  return count.toLocaleString('en-US');
}

async function measureSubject(
  subject: Subject,
  counts: readonly Count[],
  ledger: Ledger,
  tell: (text: string) => void,
): Promise<void> {
  tell('at rest');
  await sleep(SETTLE_MS);
  ledger.take(STARTED, subject);
  await fixedRate({
    path: PATH,
    connections: WARM_UP_CONNECTIONS,
    requestsPerSecond: null,
  }).run(subject.url, WARM_UP_SECONDS);
  await sleep(SETTLE_MS);
  ledger.take(WARM, subject);
  for (const count of counts) {
    tell(idlePhase(count).title);
    try {
      const idle = await openIdleConnections(subject.url, PATH, count.connections);
      await sleep(SETTLE_MS);
      ledger.take(idlePhase(count), subject);
      await idle.close();
    } catch (error) {
      ledger.warn(idlePhase(count), `${subject.name}: ${(error as Error).message}`);
    }
    await sleep(SETTLE_MS);
    ledger.take(closedPhase(count), subject);
  }
}

/** What was read, by phase and by row. */
class Ledger {
  readonly #samples = new Map<string, Map<string, Sample[]>>();
  readonly #warnings = new Map<string, string[]>();
  /** Of each row, in this round, before there were idle connections. */
  readonly #restingBytes = new Map<string, number>();

  take(phase: Phase, subject: Subject): void {
    for (const { name, pids } of partsOf(subject)) {
      const { rssBytes, pssBytes } = readMemory(pids);
      if (phase === WARM) this.#restingBytes.set(name, rssBytes);
      const more = rssBytes - (this.#restingBytes.get(name) ?? 0);
      this.#rows(phase, name).push({
        rssMebibytes: rssBytes / 2 ** 20,
        ...(pssBytes !== null && { pssMebibytes: pssBytes / 2 ** 20 }),
        ...(phase.connections > 0 && { idleConnectionKibibytes: more / 1024 / phase.connections }),
      });
    }
  }

  /** Of a scenario, in any round. */
  warn({ id }: Phase, text: string): void {
    this.#warnings.set(id, [...(this.#warnings.get(id) ?? []), text]);
  }

  scenario({ id, title, connections }: Phase): Scenario {
    const idle: readonly FigureName[] = connections > 0 ? ['idleConnectionKibibytes'] : [];
    const rows = [...(this.#samples.get(id) ?? [])];
    return {
      id,
      title,
      load: loadOf(connections),
      figures: [...idle, 'rssMebibytes', 'pssMebibytes'],
      reference: rows.some(([subject]) => subject === 'haproxy') ? 'haproxy' : null,
      rows: rows.map(([subject, samples]) => ({ subject, samples })),
      warnings: this.#warnings.get(id) ?? [],
    };
  }

  #rows({ id }: Phase, name: string): Sample[] {
    const rows = this.#samples.get(id) ?? new Map<string, Sample[]>();
    this.#samples.set(id, rows);
    const samples = rows.get(name) ?? [];
    rows.set(name, samples);
    return samples;
  }
}

function loadOf(connections: number): readonly string[] {
  if (connections === 0) return [];
  return [`node bench/loads/idle_client.ts: ${connections} connections, GET ${PATH} on each, idle`];
}

/** Who has several processes is told as a whole and in parts: what started it, and what that started. */
function partsOf(subject: Subject): readonly { name: string; pids: readonly number[] }[] {
  const pids = subject.pids();
  const whole = { name: subject.name, pids };
  if (pids.length < 2) return [whole];
  return [
    whole,
    { name: `${subject.name}, worker`, pids: pids.slice(1) },
    { name: `${subject.name}, supervisor`, pids: pids.slice(0, 1) },
  ];
}

function residentPlot(ledger: Ledger, phases: readonly Phase[]): Plot {
  const shown = phases.filter(({ id }) => id !== 'closed-1000');
  const scenarios = shown.map((phase) => ledger.scenario(phase));
  return barPlot({
    id: 'resident',
    title: 'Resident memory, all processes',
    label: 'resident, MiB',
    figure: 'rssMebibytes',
    scenarios,
  });
}

function idlePlots(ledger: Ledger, phases: readonly Phase[]): readonly Plot[] {
  const idle = phases.filter(({ connections }) => connections > 0);
  if (idle.length === 0) return [];
  return [
    barPlot({
      id: 'idle',
      title: 'Memory of an idle connection',
      label: 'an idle connection, KiB',
      figure: 'idleConnectionKibibytes',
      scenarios: idle.map((phase) => ledger.scenario(phase)),
    }),
  ];
}

function barPlot(order: {
  readonly id: string;
  readonly title: string;
  readonly label: string;
  readonly figure: FigureName;
  readonly scenarios: readonly Scenario[];
}): Plot {
  const { id, title, label, figure, scenarios } = order;
  const names = [...new Set(scenarios.flatMap(({ rows }) => rows.map(({ subject }) => subject)))];
  return {
    id,
    title,
    kind: 'bars',
    x: { label: 'subject', isLogarithmic: false, categories: names },
    y: { label, isLogarithmic: false, categories: [] },
    series: scenarios.map((scenario) => ({
      name: scenario.title,
      points: scenario.rows.flatMap(({ subject, samples }): [number, number][] => {
        const summary = summarise(samples, figure);
        return summary === null ? [] : [[names.indexOf(subject), summary.median]];
      }),
    })),
  };
}
