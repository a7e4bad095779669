/** The policies that questions are asked of, wherever they come from: files, a configuration, or a cluster. */
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
import { kubeFlagProblem } from '../kube_flags.ts';
import { openCluster, readClusterFiles } from './cluster.ts';
import { readQuestionSources } from './question_sources.ts';

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
  if (args.has('kube')) return ofCluster(args, io);
  const problem = kubeFlagProblem(args);
  if (problem !== null) return { kind: 'error', message: problem };
  const sources = await readQuestionSources(args, io);
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

async function ofCluster(args: Args, io: Io): Promise<AskedSetResult> {
  const read = await readClusterFiles(args, io);
  if (read.kind === 'error') return read;
  const { files } = read;
  const opened = await openCluster(args, io, files.secrets);
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
