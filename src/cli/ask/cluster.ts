/**
 * `--kube`: what is in a cluster now, read once, and files laid over it. What cannot be had is one line for stderr and
 * exit code 2.
 */
import type { Config } from '../../config/config.ts';
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
  type SecretReading,
} from '../../control/source/kube/cluster_reading.ts';
import { KubeSurroundings } from '../../control/source/kube/kube_surroundings.ts';
import type { Surroundings } from '../../control/source/objects/object_set.ts';
import { shownLine } from '../../model/shown_text.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { type OpenedAccess, openAccess } from '../kube_access.ts';
import { Progress } from '../progress.ts';
import {
  type ClusterSettings,
  DEFAULT_SETTINGS,
  settingsOf,
  settingsWith,
} from './cluster_settings.ts';
import { NO_FILES, readConfiguredSources } from './configured_sources.ts';
import { type DeployedSettings, readDeployedSettings } from './deployed_settings.ts';
import { judgeOptions } from './judge_options.ts';
import { readErrorText, readPolicies, readText } from './sources.ts';

export interface OpenedCluster {
  readonly kind: 'cluster';
  /** "https://10.0.0.1:6443". */
  readonly server: string;
  /** Of names that have none. */
  readonly namespace: string;
  readonly names: PodNames;
  readonly options: ClusterOptions;
  readonly policyCount: number;
  /** As it is in the cluster. */
  readonly judged: JudgedSet;
  /** Of objects that are no policies. */
  readonly problems: readonly Problem[];
  layOver(policies: readonly SourceText[]): LaidOverResult;
}

export interface ClusterOptions extends JudgeOptions {
  readonly isEmptySetOpen: boolean;
  readonly isHostJudged: boolean;
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

export interface AskedFor {
  /** Whose cluster it is; null: the one that flags name. */
  readonly config: Config | null;
  /** What a configuration names beside its cluster. */
  readonly beside: SourceBundle;
  readonly secrets: SourceText | null;
}

export async function openCluster(
  args: Args,
  io: Io,
  asked: AskedFor,
): Promise<OpenedCluster | Rejected | ClusterFailure> {
  const access = openAccess(args, io, asked.config?.kubernetes ?? null);
  if (access.kind === 'error') return access;
  try {
    const found = await settingsFor(asked.config, access);
    if (found.kind === 'error') return found;
    const reader = new ClusterReader(io, access, settingsWith(found.settings, args));
    return await reader.open(asked, found.notes);
  } finally {
    await access.close();
  }
}

/** What cannot be read or enforced is no answer, whoever is to blame. */
export async function openConfiguredCluster(
  args: Args,
  io: Io,
  { config, secrets }: Omit<AskedFor, 'beside'>,
): Promise<OpenedCluster | ClusterFailure> {
  const files = config === null ? null : readConfiguredSources(config);
  const problems = files?.readProblems ?? [];
  if (problems.length > 0) return { kind: 'error', message: problems.join('; ') };
  const opened = await openCluster(args, io, {
    ...{ config, secrets },
    beside: files?.bundle ?? NO_FILES,
  });
  return opened.kind === 'rejected' ? { kind: 'error', message: rejectedText(opened) } : opened;
}

type FoundSettings =
  | {
      readonly kind: 'settings';
      readonly settings: ClusterSettings;
      /** What a user has to know of them. */
      readonly notes: readonly string[];
    }
  | ClusterFailure;

/** Of the configuration that is given, else as the proxies of the cluster have it. */
async function settingsFor(
  config: Config | null,
  { lister }: OpenedAccess,
): Promise<FoundSettings> {
  const own = config === null ? null : settingsOf(config);
  if (own !== null) return { kind: 'settings', settings: own, notes: [] };
  const deployed = await readDeployedSettings(lister);
  if (deployed.kind === 'error') return deployed;
  const settings = deployed.kind === 'found' ? deployed.settings : DEFAULT_SETTINGS;
  return { kind: 'settings', settings, notes: deployedNotes(deployed) };
}

function deployedNotes(deployed: Exclude<DeployedSettings, { kind: 'error' }>): readonly string[] {
  switch (deployed.kind) {
    case 'none':
      return [];
    case 'found': {
      const files = deployed.hasFiles ? ', without the files that it names' : '';
      return [`judged as ${deployed.from} says${files}`];
    }
    case 'unknown':
      return [
        `judged by default settings, as those of the proxies there are not known (${deployed.message}); ` +
          '-c CONFIG says them',
      ];
  }
}

class ClusterReader {
  readonly #io: Io;
  readonly #access: OpenedAccess;
  readonly #progress: Progress;
  readonly #settings: ClusterSettings;
  readonly #options: ClusterOptions;

  constructor(io: Io, access: OpenedAccess, settings: ClusterSettings) {
    const { limits, isPathNormalised } = settings;
    const { isEmptySetOpen, isHostJudged, areServicesTranslated } = settings;
    this.#io = io;
    this.#access = access;
    this.#progress = new Progress(io, nodePlatform().clock);
    this.#settings = settings;
    this.#options = {
      ...judgeOptions(limits, isPathNormalised),
      ...{ isEmptySetOpen, isHostJudged, areServicesTranslated },
    };
  }

  async open(
    { beside, secrets }: AskedFor,
    notes: readonly string[],
  ): Promise<OpenedCluster | Rejected | ClusterFailure> {
    const { limits, regexEngine } = this.#options;
    const { hasNodeLabels, secretsNamespace, listeners } = this.#settings;
    const files = decodeBundle({ ...beside, hasNodeLabels }, { limits, regexEngine });
    if (files.kind === 'rejected') return files;
    const own = this.#decoded({ policies: [], endpoints: null, secrets });
    if (own.kind === 'rejected') return own;
    const reading = await this.#read();
    if (reading.kind === 'error') return reading;
    const { policies, inventory } = reading;
    const parts = { inventory, files: files.input, secrets: NO_SECRETS };
    const joined = new KubeSurroundings(new Map(listeners)).of(parts);
    const judge = new ClusterJudge(
      { policies, ...joined },
      { ...this.#settings, ...this.#options },
    );
    if (judge.leftCount > 0) return { kind: 'error', message: tooManyText(judge.leftCount) };
    const found = await readNamedSecrets(judge.documents(), {
      lister: this.#access.lister,
      namespace: secretsNamespace,
      countMax: limits.kubeSecretCountMax,
    });
    for (const text of [...notes, ...reading.missing, ...found.missing]) {
      this.#io.stderr.write(`sallyport: ${shownLine(text)}\n`);
    }
    const known = new Map([...found.values, ...joined.secrets, ...own.input.secrets]);
    this.#progress.at(() => `judging ${policies.length} policies`);
    const judged = judge.judge(known);
    if (judged.kind === 'rejected') return judged;
    return this.#opened({ reading, joined, judge, judged, secrets: known, found });
  }

  #opened({ reading, joined, judge, judged, secrets, found }: Opened): OpenedCluster {
    const { server, namespace } = this.#access;
    return {
      kind: 'cluster',
      ...{ server, namespace, judged },
      names: new PodNames(joined.inventory.endpoints, namespace),
      options: this.#options,
      policyCount: reading.policies.length,
      problems: [...reading.problems, ...found.problems],
      layOver: (policies) => this.#layOver(judge, policies, secrets),
    };
  }

  async #read(): Promise<ClusterReading | ClusterFailure> {
    const { lister, server } = this.#access;
    const { regexEngine } = this.#options;
    const { clusterName, identities, policyKinds, hasNodeLabels } = this.#settings;
    const pods = podLabelFilter(this.#settings.labels, regexEngine);
    if (pods.kind === 'error') return { kind: 'error', message: `labels: ${pods.message}` };
    const nodes = nodeLabelFilter(this.#settings.nodeLabels, regexEngine);
    if (nodes.kind === 'error') return { kind: 'error', message: `nodeLabels: ${nodes.message}` };
    const reading = await readCluster({
      ...{ lister, identities, policyKinds, hasNodeLabels },
      cluster: clusterName,
      labelFilter: pods.filter,
      nodeLabelFilter: nodes.filter,
      onProgress: (count) => this.#progress.at(() => `${server}: ${count} objects read`),
    });
    return reading.kind === 'failed' ? { kind: 'error', message: reading.message } : reading;
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
    const { hasNodeLabels } = this.#settings;
    const { limits, regexEngine } = this.#options;
    const options = {
      ...{ limits, regexEngine, isApiServerChecked: true },
      // As kubectl would put it into the cluster.
      defaultNamespace: this.#access.namespace,
    };
    return decodeBundle({ ...bundle, hasNodeLabels }, options);
  }
}

interface Opened {
  readonly reading: ClusterReading;
  readonly joined: Surroundings;
  readonly judge: ClusterJudge;
  readonly judged: JudgedSet;
  readonly secrets: ReadonlyMap<string, string>;
  readonly found: SecretReading;
}

const NO_SECRETS: ReadonlyMap<string, string> = new Map();

function tooManyText(count: number): string {
  return `the cluster has ${count} policies more than kubePolicyCountMax allows`;
}

function rejectedText({ problems }: Rejected): string {
  return `the policy set is rejected: ${problems.map(formatProblem).join('; ')}`;
}
