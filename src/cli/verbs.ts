/**
 * The verbs there are. To add one: a file `cli/<verb>.ts` that exports `run`, its table in a
 * `..._specs.ts` file, and one line in VERBS. A verb's code is loaded when it is asked for, so that
 * `version` does not load a proxy. (`help` is part of `cli/command_line.ts`.)
 */
import { ADMISSION_SPEC } from './admission/specs.ts';
import type { Args, VerbSpec } from './args.ts';
import {
  BENCH_SPEC,
  CHECK_SPEC,
  DEMO_SPEC,
  EXPLAIN_SPEC,
  SERVICE_SPEC,
  TEST_SPEC,
  VERDICT_SPEC,
} from './ask/tool_specs.ts';
import type { ExitCode, Io } from './io.ts';
import { OBSERVE_SPEC } from './observe/specs.ts';
import { REDIRECT_SPEC } from './redirect/specs.ts';
import { RELAY_SPEC } from './relay/specs.ts';
import { FQDN_SPEC, STATUS_SPEC } from './run/status_specs.ts';
import { RUN_SPEC, VERSION_SPEC } from './specs.ts';

export interface Verb {
  readonly spec: VerbSpec;
  readonly load: () => Promise<VerbModule>;
}

export interface VerbModule {
  /** Writes through `io` and gives the exit code. What it throws is an error of ours (exit 70). */
  run(args: Args, io: Io): Promise<ExitCode>;
}

/** In the order in which help lists them. */
export const VERBS: readonly Verb[] = [
  { spec: RUN_SPEC, load: () => import('./run/run.ts') },
  { spec: STATUS_SPEC, load: () => import('./run/status.ts') },
  { spec: FQDN_SPEC, load: () => import('./run/fqdn.ts') },
  { spec: OBSERVE_SPEC, load: () => import('./observe/observe.ts') },
  { spec: RELAY_SPEC, load: () => import('./relay/relay.ts') },
  { spec: REDIRECT_SPEC, load: () => import('./redirect/redirect.ts') },
  { spec: ADMISSION_SPEC, load: () => import('./admission/admission.ts') },
  { spec: CHECK_SPEC, load: () => import('./ask/check.ts') },
  { spec: TEST_SPEC, load: () => import('./ask/test.ts') },
  { spec: EXPLAIN_SPEC, load: () => import('./ask/explain.ts') },
  { spec: VERDICT_SPEC, load: () => import('./ask/verdict.ts') },
  { spec: SERVICE_SPEC, load: () => import('./ask/service.ts') },
  { spec: BENCH_SPEC, load: () => import('./bench/bench.ts') },
  { spec: DEMO_SPEC, load: () => import('./demo/demo.ts') },
  { spec: VERSION_SPEC, load: () => import('./version.ts') },
];
