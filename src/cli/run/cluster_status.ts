/** `sallyport status --kube`: how Sallyport is in a cluster, as far as its API says. */
import {
  type ClusterStatus,
  ClusterStatusReader,
  isProxy,
  PROXY_SELECTOR,
  type ProxyStatus,
} from '../../control/ask/cluster_status.ts';
import { CLUSTER_KINDS } from '../../control/source/kube/cluster_kinds.ts';
import type { Listed, ListSink } from '../../control/source/kube/cluster_reading.ts';
import { POLICY_KUBE_KINDS } from '../../control/source/kube/policy_queue.ts';
import type { KubeKind } from '../../kube/kind.ts';
import { nameKeyOf, type SeenObject } from '../../kube/seen_object.ts';
import { jsonDocument } from '../../model/json_document.ts';
import { shownLine } from '../../model/shown_text.ts';
import { nodePlatform } from '../../platform/node_platform.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { type OpenedAccess, openAccess } from '../kube_access.ts';
import { Progress } from '../progress.ts';
import { yamlText } from '../terminal.ts';
import { textTable } from '../text_table.ts';

export async function runClusterStatus(args: Args, io: Io): Promise<ExitCode> {
  const access = openAccess(args, io);
  if (access.kind === 'error') return usageError(io, `status: ${access.message}`);
  try {
    const read = await readStatus(access, io);
    if (read.kind === 'failed') {
      io.stderr.write(`sallyport: status: ${shownLine(read.message)}\n`);
      return EXIT_NEGATIVE;
    }
    print(args, io, { server: access.server, ...read.status });
    const { ready, policies } = read.status;
    const isStale = args.has('strict') && policies.refused.length > 0;
    return ready && !isStale ? EXIT_OK : EXIT_NEGATIVE;
  } finally {
    await access.close();
  }
}

type Read =
  | { readonly kind: 'status'; readonly status: ClusterStatus }
  | { readonly kind: 'failed'; readonly message: string };

async function readStatus({ lister, server }: OpenedAccess, io: Io): Promise<Read> {
  const progress = new Progress(io, nodePlatform().clock);
  let count = 0;
  const list = (kind: KubeKind, take: (seen: SeenObject) => void): Promise<Listed> => {
    const sink = gathering(take, () => {
      count += 1;
      progress.at(() => `${server}: ${count} objects read`);
    });
    return lister.list(kind, { namespace: null, name: null }, sink);
  };
  const reader = new ClusterStatusReader();
  const [pods, nodes, ...policies] = await Promise.all([
    list(only(CLUSTER_KINDS.Pod), (seen) => reader.pod(seen)),
    list(only(CLUSTER_KINDS.Node), (seen) => reader.node(seen)),
    ...REPORTED.map((kind) =>
      list(only(POLICY_KUBE_KINDS[kind]), (seen) => reader.policy(kind, seen)),
    ),
  ]);
  for (const needed of [pods, ...policies]) {
    const isRead = needed.kind === 'listed' || needed.kind === 'absent';
    if (!isRead) return { kind: 'failed', message: needed.message };
  }
  const hasNodes = nodes.kind === 'listed';
  if (nodes.kind === 'refused' || nodes.kind === 'unreachable') {
    io.stderr.write(`sallyport: nodes cannot be read: ${shownLine(nodes.message)}\n`);
  }
  return { kind: 'status', status: reader.result({ hasNodes }) };
}

/** Kinds that get conditions. */
const REPORTED = ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy'] as const;

function only(versions: readonly KubeKind[]): KubeKind {
  return versions[0] as KubeKind;
}

/** Objects are told at the end, when it is known which of them count. */
function gathering(take: (seen: SeenObject) => void, onObject: () => void): ListSink {
  const seen = new Map<string, SeenObject>();
  return {
    put: (one) => {
      seen.set(nameKeyOf(one), slimmed(one));
      onObject();
    },
    listed: (keys) => {
      for (const [key, one] of seen) if (keys.has(key)) take(one);
    },
  };
}

/** Fifty thousand of them are kept until the end. */
function slimmed(seen: SeenObject): SeenObject {
  const { metadata, spec, status } = seen.object as Record<string, Record<string, unknown>>;
  const { labels, generation } = metadata ?? {};
  const { nodeName, hostNetwork } = spec ?? {};
  const { phase, reason, podIP, conditions, containerStatuses, initContainerStatuses } =
    status ?? {};
  const isOurs = isProxy((labels ?? {}) as Readonly<Record<string, unknown>>);
  return {
    ...seen,
    object: {
      metadata: { labels: isOurs ? labels : {}, generation },
      spec: { nodeName, hostNetwork },
      status:
        isOurs || nodeName === undefined
          ? { phase, reason, podIP, conditions, containerStatuses, initContainerStatuses }
          : { podIP },
    },
  };
}

function print(args: Args, io: Io, status: ClusterStatus & { readonly server: string }): void {
  const output = args.value('output') ?? 'table';
  const value = jsonDocument('ClusterStatus', status);
  if (output === 'json') io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
  else if (output === 'yaml') io.stdout.write(yamlText(value));
  else io.stdout.write(tableOf(status, args.has('all')));
}

/** Rows of a table that are shown without `--all`. */
const ROWS_SHOWN_MAX = 20;

function tableOf(status: ClusterStatus & { readonly server: string }, isAll: boolean): string {
  const { server, proxies, nodesWithout, podCount, policies } = status;
  const shownMax = isAll ? Number.MAX_SAFE_INTEGER : ROWS_SHOWN_MAX;
  const readyCount = proxies.filter(({ ready }) => ready).length;
  const facts: (readonly [string, string])[] = [
    ['cluster', server],
    ['ready', readyText(proxies.length, readyCount)],
    ['pods', String(podCount)],
    ['policies', policiesText(policies)],
  ];
  if (nodesWithout !== null && nodesWithout.length > 0) {
    facts.push(['NO PROXY ON', someOf(nodesWithout, shownMax)]);
  }
  const width = Math.max(...facts.map(([name]) => name.length));
  const parts = [
    facts.map(([name, text]) => `${name.padEnd(width)}  ${shownLine(text)}\n`).join(''),
  ];
  if (proxies.length > 0) {
    // Those that are not ready first, as they are what somebody looks for.
    const rows = proxies.toSorted((a, b) => Number(a.ready) - Number(b.ready));
    parts.push(
      limited(['NODE', 'READY', 'POD', 'IMAGE', 'RESTARTS', 'PODS'], rows.map(rowOf), shownMax),
    );
  }
  if (policies.refused.length > 0) {
    const rows = policies.refused.map(({ object, message }) => [object, message]);
    parts.push(limited(['REFUSED POLICY', 'WHY'], rows, shownMax));
  }
  return parts.join('\n');
}

function readyText(count: number, readyCount: number): string {
  if (count === 0) return `no: no pod has the labels ${PROXY_SELECTOR}`;
  return readyCount === count ? `yes, on ${count} nodes` : `no: ${readyCount} of ${count} proxies`;
}

function policiesText({
  count,
  inForceCount,
  refused,
  unsaidCount,
}: ClusterStatus['policies']): string {
  const unsaid = unsaidCount === 0 ? '' : `, ${unsaidCount} of which no proxy has said anything`;
  return `${count}: ${inForceCount} in force, ${refused.length} refused${unsaid}`;
}

function rowOf({ node, ready, reason, pod, image, restartCount, podCount }: ProxyStatus): string[] {
  const cells = [node, ready ? 'yes' : `no: ${reason ?? 'unknown'}`, pod, image];
  return [...cells, String(restartCount), String(podCount)].map(shownLine);
}

function limited(header: readonly string[], rows: readonly string[][], max: number): string {
  const shown = rows.slice(0, max).map((row) => row.map(shownLine));
  const more = rows.length - shown.length;
  return `${textTable(header, shown)}${more > 0 ? `and ${more} more (--all, or -o json)\n` : ''}`;
}

function someOf(names: readonly string[], max: number): string {
  const more = names.length - max;
  return `${names.slice(0, max).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
