/**
 * A suite: scenarios that belong together, run one after the other. `bench/main.ts` chooses the suites, finds
 * the subjects, and writes the report.
 */
import type { Missing, Scenario, SubjectFacts, SuiteResult } from '../report/report.ts';
import type { SubjectKind } from '../subjects/subject.ts';

export interface Suite {
  readonly title: string;
  readonly run: (context: SuiteContext) => Promise<SuiteResult>;
}

export interface SuiteContext {
  /** Those that the user chose, in the order in which they are measured. */
  readonly kinds: readonly SubjectKind[];
  readonly settings: SuiteSettings;
  /** Scratch of the run, removed at its end. */
  readonly directory: string;
  /** One line for whoever waits: what is being measured, how far the run is. */
  readonly progress: (text: string) => void;
  /** For the report; the same one again is not told twice. */
  readonly tellSubject: (facts: SubjectFacts) => void;
  readonly tellMissing: (missing: Missing) => void;
  /** What could be had and broke: told like what is missing, and the run ends with an error. */
  readonly tellFailed: (name: string, error: unknown) => void;
  /** One that is measured, before what follows it in its suite may fail. */
  readonly tellScenario: (scenario: Scenario) => void;
}

export interface SuiteSettings {
  /** Rounds of each subject in each scenario, by turns: A B C, C B A, … */
  readonly rounds: number;
  /** Of each round. */
  readonly seconds: number;
  /** Fewer scenarios: each kind of load once. For a look, and for CI. */
  readonly isQuick: boolean;
}
