/** The policies that a question is asked of, and how: by flags, or as `run` would with a configuration (`-c`). */
import type { Config } from '../../config/config.ts';
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

export async function readFlagSources(args: Args, io: Io): Promise<QuestionSources> {
  const sources = await readSources(args, io);
  if (sources.kind === 'error') return sources;
  const options = { ...judgeOptions(), isHostJudged: args.has('judge-host') };
  return { kind: 'ok', bundle: sources.bundle, options };
}

export function readConfigurationSources(args: Args, config: Config): QuestionSources {
  if (args.arguments.length > 0) {
    return { kind: 'error', message: '--config names its own policies; give one or the other' };
  }
  const { bundle, readProblems } = readConfiguredSources(config);
  // What cannot be read is no set without policies.
  if (readProblems.length > 0) return { kind: 'error', message: readProblems.join('; ') };
  const { limits, isEmptySetOpen } = config;
  const { isHostJudged, services } = config.redirect;
  const { isPathNormalised } = config.behaviour;
  return {
    kind: 'ok',
    bundle,
    options: {
      ...judgeOptions(limits, isPathNormalised),
      ...{ isEmptySetOpen, isHostJudged, areServicesTranslated: services === 'socket' },
    },
  };
}
