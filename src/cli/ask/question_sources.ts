/** The policies that a question is asked of, and how: by flags, or as `run` would with a configuration (`-c`). */
import type { JudgeOptions } from '../../control/ask/judge.ts';
import type { SourceBundle } from '../../control/source/files/source_bundle.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { readConfiguredSources } from './configured_sources.ts';
import { judgeOptions } from './judge_options.ts';
import { readSources } from './sources.ts';

export type QuestionSources =
  | { readonly kind: 'ok'; readonly bundle: SourceBundle; readonly options: JudgeOptions }
  | { readonly kind: 'error'; readonly message: string };

/** Flags that say what a configuration says. */
const SOURCE_FLAG_NAMES = [
  'policy',
  'endpoints',
  'secrets',
  'enable-node-selector-labels',
  'judge-host',
];

export async function readQuestionSources(args: Args, io: Io): Promise<QuestionSources> {
  if (args.has('config')) return configured(args, io);
  const sources = await readSources(args, io);
  if (sources.kind === 'error') return sources;
  const options = { ...judgeOptions(), isHostJudged: args.has('judge-host') };
  return { kind: 'ok', bundle: sources.bundle, options };
}

function configured(args: Args, io: Io): QuestionSources {
  const isNamed = SOURCE_FLAG_NAMES.some((name) => args.has(name)) || args.arguments.length > 0;
  if (isNamed) {
    return { kind: 'error', message: '--config names its own policies; give one or the other' };
  }
  const sources = readConfiguredSources(args.value('config'), io);
  if (sources.kind === 'rejected') return { kind: 'error', message: sources.problems.join('; ') };
  const { bundle, config, readProblems } = sources;
  if (config.kubernetes !== null) {
    const message = `${config.path} takes policies from a Kubernetes cluster; ask it with --kube`;
    return { kind: 'error', message };
  }
  // What cannot be read is no set without policies.
  if (readProblems.length > 0) return { kind: 'error', message: readProblems.join('; ') };
  const { limits, isEmptySetOpen } = config;
  const { isHostJudged } = config.redirect;
  return {
    kind: 'ok',
    bundle,
    options: { ...judgeOptions(limits), isEmptySetOpen, isHostJudged },
  };
}
