/**
 * `--kube`: what is in a cluster now, read once, and files laid over it. What cannot be had is one line for stderr and
 * exit code 2.
 */
import { ClusterJudge, type JudgedSet, type LaidOver } from '../../control/ask/cluster_judge.ts';
import type { JudgeOptions } from '../../control/ask/judge.ts';
import { PodNames } from '../../control/ask/pod_names.ts';
import { nodeLabelFilter, podLabelFilter } from '../../control/decode/kube/label_filter.ts';
import { formatProblem, type Problem, type Rejected } from '../../control/decode/problem.ts';
import { decodeBundle } from '../../control/source/files/decode_bundle.ts';
import type { SourceBundle, SourceText } from '../../control/source/files/source_bundle.ts';
import {
  type ClusterReading,
  readCluster,
  readNamedSecrets,
} from '../../control/source/kube/cluster_reading.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { LabelFilter } from '../../policy/label_filter.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { type OpenedAccess, openAccess } from '../kube_access.ts';
import { kubeFlagProblem } from '../kube_flags.ts';
import { Progress } from '../progress.ts';
import { judgeOptions } from './judge_options.ts';
import { readErrorText, readPolicies, readText } from './sources.ts';

export interface OpenedCluster {
  readonly kind: 'cluster';
  /** "https://10.0.0.1:6443". */
  readonly server: string;
  /** Of names that have none. */
  readonly namespace: string;
  readonly names: PodNames;
  readonly options: JudgeOptions;
  readonly policyCount: number;
  /** As it is in the cluster. */
  readonly judged: JudgedSet;
  /** Of objects that are no policies. */
  readonly problems: readonly Problem[];
  layOver(policies: readonly SourceText[]): LaidOverResult;
}

export type LaidOverResult =
  | { readonly kind: 'laid'; readonly judged: JudgedSet; readonly files: LaidOver }
  | Rejected;

export interface ClusterFailure {
  readonly kind: 'error';
  readonly message: string;
}

export interface ClusterFiles {
  readonly policies: readonly SourceText[];
  readonly secrets: SourceText | null;
}

/** Files that are named beside `--kube`. */
export async function readClusterFiles(
  args: Args,
  io: Io,
  paths: readonly string[] = [...args.values('policy'), ...args.arguments],
): Promise<{ readonly kind: 'files'; readonly files: ClusterFiles } | ClusterFailure> {
  try {
    const policies = await readPolicies(paths, io);
    return {
      kind: 'files',
      files: { policies, secrets: await readText(args.value('secrets'), io) },
    };
  } catch (error) {
    return { kind: 'error', message: readErrorText(error) };
  }
}

export async function openCluster(
  args: Args,
  io: Io,
  secrets: SourceText | null,
): Promise<OpenedCluster | ClusterFailure> {
  const problem = kubeFlagProblem(args);
  if (problem !== null) return { kind: 'error', message: problem };
  const access = openAccess(args, io);
  if (access.kind === 'error') return access;
  try {
    return await new ClusterReader(args, io, access).open(secrets);
  } finally {
    await access.close();
  }
}

class ClusterReader {
  readonly #io: Io;
  readonly #access: OpenedAccess;
  readonly #progress: Progress;
  readonly #hasNodeLabels: boolean;
  readonly #options: JudgeOptions;

  constructor(args: Args, io: Io, access: OpenedAccess) {
    this.#io = io;
    this.#access = access;
    this.#progress = new Progress(io, nodePlatform().clock);
    this.#hasNodeLabels = args.has('enable-node-selector-labels');
    // The API says that there is no policy, where a folder could have failed to mount.
    this.#options = {
      ...judgeOptions(),
      isEmptySetOpen: true,
      isHostJudged: args.has('judge-host'),
    };
  }

  async open(secretsText: SourceText | null): Promise<OpenedCluster | ClusterFailure> {
    const { server, namespace } = this.#access;
    const reading = await this.#read(server);
    if (reading.kind === 'failed') return { kind: 'error', message: reading.message };
    const judge = new ClusterJudge(reading, this.#options, this.#hasNodeLabels);
    if (judge.leftCount > 0) return { kind: 'error', message: tooManyText(judge.leftCount) };
    const own = this.#decoded({ policies: [], endpoints: null, secrets: secretsText });
    if (own.kind === 'rejected') return { kind: 'error', message: problemText(own) };
    const found = await readNamedSecrets(judge.documents(), this.#access.lister);
    const secrets = new Map([...found.values, ...own.input.secrets]);
    this.#progress.at(() => `judging ${reading.policies.length} policies`);
    const judged = judge.judge(secrets);
    for (const text of [...reading.missing, ...found.missing]) {
      this.#io.stderr.write(`sallyport: ${text}\n`);
    }
    if (judged.kind === 'rejected') return { kind: 'error', message: problemText(judged) };
    return {
      kind: 'cluster',
      ...{ server, namespace, judged },
      names: new PodNames(reading.inventory.endpoints, namespace),
      options: this.#options,
      policyCount: reading.policies.length,
      problems: [...reading.problems, ...found.problems],
      layOver: (policies) => this.#layOver(judge, policies, secrets),
    };
  }

  async #read(server: string): Promise<ClusterReading | { kind: 'failed'; message: string }> {
    const { regexEngine } = this.#options;
    return await readCluster({
      lister: this.#access.lister,
      cluster: 'default',
      hasNodeLabels: this.#hasNodeLabels,
      labelFilter: filterOf(podLabelFilter([], regexEngine)),
      nodeLabelFilter: filterOf(nodeLabelFilter([], regexEngine)),
      onProgress: (count) => this.#progress.at(() => `${server}: ${count} objects read`),
    });
  }

  #layOver(
    judge: ClusterJudge,
    policies: readonly SourceText[],
    secrets: ReadonlyMap<string, string>,
  ): LaidOverResult {
    const decoded = this.#decoded({ policies, endpoints: null, secrets: null });
    if (decoded.kind === 'rejected') return decoded;
    const { documents, warnings } = decoded.input;
    const wire = documents.find(({ wirePolicies }) => wirePolicies.length > 0);
    if (wire !== undefined) {
      const message = 'is a policy in wire form, which is of one node; a cluster has none';
      return { kind: 'rejected', problems: [{ place: wire.place, field: '', message }] };
    }
    const files = { documents, warnings, secrets };
    const judged = judge.judgeWith(files);
    return judged.kind === 'rejected' ? judged : { kind: 'laid', judged, files };
  }

  #decoded(bundle: SourceBundle) {
    const hasNodeLabels = this.#hasNodeLabels;
    const { limits, regexEngine } = this.#options;
    const options = {
      ...{ limits, regexEngine, isApiServerChecked: true },
      // As kubectl would put it into the cluster.
      defaultNamespace: this.#access.namespace,
    };
    return decodeBundle({ ...bundle, hasNodeLabels }, options);
  }
}

/** Patterns of ours are good ones. */
function filterOf(result: ReturnType<typeof podLabelFilter>): LabelFilter {
  if (result.kind === 'error') throw new Error(result.message);
  return result.filter;
}

function tooManyText(count: number): string {
  return `the cluster has ${count} policies more than kubePolicyCountMax allows`;
}

function problemText({ problems }: Rejected): string {
  return `the policy set is rejected: ${problems.map(formatProblem).join('; ')}`;
}
