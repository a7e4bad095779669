/** What files that are laid over a cluster would change: which policies, which verdicts, and what of flows of before. */
import { judgeOfBuilt } from '../../control/ask/judge.ts';
import { type ChangesDocument, changesDocument } from '../../control/compare/changes_document.ts';
import { type FlowChanges, FlowComparison } from '../../control/compare/flow_changes.ts';
import { type VerdictChanges, verdictChanges } from '../../control/compare/verdict_changes.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { Progress } from '../progress.ts';
import { changeLines, flowLines } from './change_text.ts';
import type { LaidOverResult, OpenedCluster } from './cluster.ts';
import { readFlowLines } from './flow_lines.ts';

export interface ClusterChange {
  /** Names of objects: "CiliumNetworkPolicy shop/api". */
  readonly replaced: readonly string[];
  readonly added: readonly string[];
  readonly changes: VerdictChanges;
  readonly endpoints: OpenedCluster['judged']['input']['inventory']['endpoints'];
  /** Null: no flows were given. */
  readonly flows: FlowChanges | null;
}

export type ClusterChangeResult =
  | { readonly kind: 'change'; readonly change: ClusterChange }
  | { readonly kind: 'error'; readonly message: string };

interface Compared {
  readonly cluster: OpenedCluster;
  readonly laid: Extract<LaidOverResult, { kind: 'laid' }>;
}

export async function readClusterChange(
  { cluster, laid }: Compared,
  args: Args,
  io: Io,
): Promise<ClusterChangeResult> {
  const { judged, options } = cluster;
  const pair = { before: judged.input, after: laid.judged.input };
  const progress = new Progress(io, nodePlatform().clock);
  const steps = verdictChanges(pair, options);
  let step = steps.next();
  for (let count = 0; step.done !== true; count++) {
    progress.at(() => `comparing verdicts (${count} steps)`);
    step = steps.next();
  }
  const changes = step.value;
  // Both were judged before, so this is a fault of ours.
  if (changes.kind === 'rejected') {
    return { kind: 'error', message: changes.problems.map(formatProblem).join('; ') };
  }
  const { endpoints } = pair.after.inventory;
  const flows = await flowsOf(args.value('flows'), { changes, cluster }, io);
  if (flows?.kind === 'error') return flows;
  const known = new Set(pair.before.documents.map(({ kind, name }) => `${kind} ${name}`));
  const names = laid.files.documents.map(({ kind, name }) => `${kind} ${name}`);
  return {
    kind: 'change',
    change: {
      replaced: names.filter((name) => known.has(name)),
      added: names.filter((name) => !known.has(name)),
      ...{ changes, endpoints },
      flows: flows === null ? null : flows.flows,
    },
  };
}

async function flowsOf(
  from: string | null,
  { changes, cluster }: { readonly changes: VerdictChanges; readonly cluster: OpenedCluster },
  io: Io,
): Promise<
  | { readonly kind: 'flows'; readonly flows: FlowChanges }
  | { readonly kind: 'error'; readonly message: string }
  | null
> {
  if (from === null) return null;
  const { options, judged } = cluster;
  const comparison = new FlowComparison({
    judges: {
      before: judgeOfBuilt(changes.built.before, options),
      after: judgeOfBuilt(changes.built.after, options),
    },
    subjects: changes.subjects,
    endpoints: judged.input.inventory.endpoints,
  });
  const message = await readFlowLines(from, io, comparison);
  if (message !== null) return { kind: 'error', message };
  return { kind: 'flows', flows: comparison.result() };
}

/** Names of a party that JSON tells, without `--all`. */
const NAMES_MAX = 20;
const NAMES_TEXT_MAX = 4;

function documentOf({ changes, endpoints }: ClusterChange, namesMax: number): ChangesDocument {
  return changesDocument(changes, endpoints, namesMax);
}

export function clusterChangeDocument(change: ClusterChange, args: Args): object {
  const { replaced, added, flows } = change;
  const namesMax = args.has('all') ? Number.MAX_SAFE_INTEGER : NAMES_MAX;
  return {
    replaced,
    added,
    ...documentOf(change, namesMax),
    ...(flows === null ? {} : { flows }),
  };
}

export function clusterChangeLines(change: ClusterChange, args: Args, io: Io): readonly string[] {
  const { replaced, added, flows, endpoints } = change;
  const isAll = args.has('all');
  const namesMax = isAll ? Number.MAX_SAFE_INTEGER : NAMES_TEXT_MAX;
  const options = { isAll, io, endpointCount: endpoints.length };
  return [
    `What would change: ${policiesText(replaced, added)}`,
    '',
    ...changeLines(documentOf(change, namesMax), options),
    ...(flows === null ? [] : ['', ...flowLines(flows, options)]),
  ];
}

const POLICIES_SHOWN_MAX = 5;

function policiesText(replaced: readonly string[], added: readonly string[]): string {
  const parts = [
    ...(replaced.length === 0 ? [] : [`replaced: ${someOf(replaced)}`]),
    ...(added.length === 0 ? [] : [`new: ${someOf(added)}`]),
  ];
  return parts.length === 0 ? 'the files have no policy' : parts.join('; ');
}

function someOf(names: readonly string[]): string {
  const more = names.length - POLICIES_SHOWN_MAX;
  return `${names.slice(0, POLICIES_SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
