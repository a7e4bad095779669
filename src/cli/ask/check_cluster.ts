/** `check --kube`: what is wrong with the policies of a cluster, and what files that are laid over them would change. */
import type { Config } from '../../config/config.ts';
import { refusedAlone } from '../../control/ask/cluster_judge.ts';
import type { Problem } from '../../control/decode/problem.ts';
import type { SourceBundle, SourceText } from '../../control/source/files/source_bundle.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { type CheckFinding, errorsOf, findingsOf, warningsOf } from './check_findings.ts';
import { type OpenedCluster, openCluster, readClusterFiles } from './cluster.ts';
import { type ClusterChange, readClusterChange } from './cluster_change.ts';

export type CheckedCluster =
  | {
      readonly kind: 'checked';
      readonly findings: readonly CheckFinding[];
      /** Null: it was not asked for, since nothing can be in force beside the files. */
      readonly policyCount: number | null;
      readonly fileCount: number;
      /** Null: there are no files, or they cannot be laid over it. */
      readonly change: ClusterChange | null;
    }
  | { readonly kind: 'error'; readonly message: string };

export interface CheckedPlace {
  /** Null: the cluster that flags name. */
  readonly config: Config | null;
  /** What a configuration names beside its cluster. */
  readonly beside: SourceBundle;
}

export async function readCheckedCluster(
  args: Args,
  io: Io,
  { config, beside }: CheckedPlace,
): Promise<CheckedCluster> {
  const read = await readClusterFiles(args, io);
  if (read.kind === 'error') return read;
  const { policies, secrets } = read.files;
  if (policies.length === 0 && args.has('policy')) {
    return { kind: 'error', message: 'there are no policy files' };
  }
  if (policies.length === 0 && args.has('flows')) {
    return { kind: 'error', message: '--flows asks what files would change; name them with -p' };
  }
  const fileCount = policies.length + beside.policies.length;
  const cluster = await openCluster(args, io, { config, beside, secrets });
  if (cluster.kind === 'error') return cluster;
  if (cluster.kind === 'rejected') {
    const findings = errorsOf(cluster.problems);
    return { kind: 'checked', findings, policyCount: null, fileCount, change: null };
  }
  const checked = await checkedWith(cluster, policies, { args, io });
  if (checked.kind === 'error') return checked;
  const findings = [...warningsOf(cluster.problems), ...checked.findings];
  return {
    ...checked,
    findings: findings.filter(({ place }) => isOfNamespace(place, args.value('namespace'))),
    policyCount: cluster.policyCount,
    fileCount,
  };
}

type Checked =
  | {
      readonly kind: 'checked';
      readonly findings: readonly CheckFinding[];
      readonly change: ClusterChange | null;
    }
  | { readonly kind: 'error'; readonly message: string };

async function checkedWith(
  cluster: OpenedCluster,
  policies: readonly SourceText[],
  { args, io }: { readonly args: Args; readonly io: Io },
): Promise<Checked> {
  const { judged, options } = cluster;
  const refused = refusedAlone(judged.input, null);
  const ofCluster = [...errorsOf(problemsOf(refused)), ...findingsOf(judged.accepted, options)];
  if (policies.length === 0) return { kind: 'checked', findings: ofCluster, change: null };
  const laid = cluster.layOver(policies);
  if (laid.kind === 'rejected') {
    const findings = [...ofCluster, ...errorsOf(laid.problems)];
    return { kind: 'checked', findings, change: null };
  }
  const { input, accepted } = laid.judged;
  const left = errorsOf(problemsOf(refusedAlone(input, laid.files)));
  const change = await readClusterChange({ cluster, laid }, args, io);
  if (change.kind === 'error') return change;
  const findings = [...left, ...findingsOf(accepted, options)];
  return { kind: 'checked', findings, change: change.change };
}

function problemsOf(refused: ReturnType<typeof refusedAlone>): readonly Problem[] {
  return refused.flatMap(({ problems }) => problems);
}

/** Files are always told. */
function isOfNamespace(place: Problem['place'], namespace: string | null): boolean {
  return namespace === null || place.kind !== 'object' || place.namespace === namespace;
}
