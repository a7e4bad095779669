/** The policies that questions are asked of, wherever they come from: files, a configuration, or a cluster. */
import type { Config } from '../../config/config.ts';
import {
  type AcceptedJudge,
  createJudge,
  type JudgeOptions,
  type JudgeResult,
} from '../../control/ask/judge.ts';
import type { PodNames } from '../../control/ask/pod_names.ts';
import type { Rejected } from '../../control/decode/problem.ts';
import type { PolicyInput } from '../../control/set/policy_input.ts';
import { decodeBundle } from '../../control/source/files/decode_bundle.ts';
import type { SourceText } from '../../control/source/files/source_bundle.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { askedPlace } from './asked_place.ts';
import { openConfiguredCluster, readClusterFiles } from './cluster.ts';
import {
  type QuestionSources,
  readConfigurationSources,
  readFlagSources,
} from './question_sources.ts';

export interface AskedSet {
  readonly kind: 'set';
  readonly options: JudgeOptions;
  /** How people call the pods of a cluster; null: names are those of an endpoints file. */
  readonly cluster: AskedCluster | null;
  /** The set itself, or why there is none. */
  readonly content: SetContent;
  /** The same with other policies: in the place of files, or laid over what is in the cluster. */
  withPolicies(policies: readonly SourceText[]): SetContent;
}

export interface AskedCluster {
  readonly names: PodNames;
  /** Of names and labels that have none. */
  readonly namespace: string;
}

export type SetContent =
  | {
      readonly kind: 'ok';
      readonly input: PolicyInput;
      /** Makes the judge when it is asked for. */
      readonly judge: () => JudgeResult;
    }
  | Rejected;

export type AskedSetResult = AskedSet | { readonly kind: 'error'; readonly message: string };

export async function readAskedSet(args: Args, io: Io): Promise<AskedSetResult> {
  const place = askedPlace(args, io);
  switch (place.kind) {
    case 'flags':
      return ofFiles(await readFlagSources(args, io));
    case 'configuration':
      return ofFiles(readConfigurationSources(args, place.config));
    case 'cluster':
      return ofCluster(args, io, place.config);
    case 'rejected':
      return { kind: 'error', message: place.problems.join('; ') };
    case 'error':
      return place;
  }
}

function ofFiles(sources: QuestionSources): AskedSetResult {
  if (sources.kind === 'error') return sources;
  const { bundle, options } = sources;
  const withPolicies = (policies: readonly SourceText[]): SetContent => {
    const decoded = decodeBundle({ ...bundle, policies }, options);
    if (decoded.kind === 'rejected') return decoded;
    const { input } = decoded;
    return { kind: 'ok', input, judge: () => createJudge(input, options) };
  };
  return {
    kind: 'set',
    options,
    cluster: null,
    content: withPolicies(bundle.policies),
    withPolicies,
  };
}

async function ofCluster(args: Args, io: Io, config: Config | null): Promise<AskedSetResult> {
  const read = await readClusterFiles(args, io);
  if (read.kind === 'error') return read;
  const { files } = read;
  const opened = await openConfiguredCluster(args, io, { config, secrets: files.secrets });
  if (opened.kind === 'error') return opened;
  const { names, namespace, options } = opened;
  const withPolicies = (policies: readonly SourceText[]): SetContent => {
    if (policies.length === 0) return contentOf(opened.judged);
    const laid = opened.layOver(policies);
    return laid.kind === 'rejected' ? laid : contentOf(laid.judged);
  };
  const content = withPolicies(files.policies);
  return { kind: 'set', options, cluster: { names, namespace }, content, withPolicies };
}

function contentOf({
  accepted,
  input,
}: {
  readonly accepted: AcceptedJudge;
  readonly input: PolicyInput;
}): SetContent {
  return { kind: 'ok', input, judge: () => accepted };
}
