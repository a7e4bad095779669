/** Settings → a source that reads a cluster: which API server, as whom, and one reflector for each kind. */

import { randomInt, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { KubeAccess } from '../../../kube/access/access.ts';
import { trustedAuthorities } from '../../../kube/access/authorities.ts';
import { loadAccess } from '../../../kube/access/load_access.ts';
import { ApiClient } from '../../../kube/api_client.ts';
import type { KubeClient } from '../../../kube/client.ts';
import { ApiServer } from '../../../kube/watch/api_server.ts';
import { Reflector } from '../../../kube/watch/reflector.ts';
import type { KubernetesSettings } from '../../../model/kubernetes_settings.ts';
import { nodeLabelFilter, podLabelFilter } from '../../decode/kube/label_filter.ts';
import { PolicyReport } from '../../report/policy_report.ts';
import type { PolicySink, PolicySource } from '../source.ts';
import {
  type ConfiguredSource,
  type SourceSettings,
  type SourceSurroundings,
  UNTOLD,
} from '../source_settings.ts';
import { ClusterFile } from './cluster_file.ts';
import { ClusterState } from './cluster_state.ts';
import type { Follow } from './follow.ts';
import { KubernetesSource, type KubernetesSourceOptions } from './kubernetes_source.ts';

export interface OpenOptions {
  readonly settings: SourceSettings;
  readonly surroundings: SourceSurroundings;
  readonly filesOf: KubernetesSourceOptions['filesOf'];
}

/** What a user has to mend is told by the source that comes back. */
export function openCluster(
  kubernetes: KubernetesSettings,
  options: OpenOptions,
): ConfiguredSource {
  const { settings, surroundings } = options;
  const { environment, platform, decode } = surroundings;
  const { limits } = decode;
  const { kubeconfig, context } = kubernetes;
  const { env, home, userAgent } = environment;
  const state = clusterStateOf(kubernetes, surroundings);
  if (state.kind === 'error') return unopened(`kubernetes: ${state.message}`);
  const { clock } = platform;
  const found = loadAccess({ kubeconfig, context, env, home, clock, limits });
  if (found.kind === 'error') return unopened(`kubernetes: ${found.message}`);
  const client = new ApiClient(found.access, { platform, limits, userAgent });
  const { namespace } = found.access;
  const report = reportOf(kubernetes, client, { namespace, surroundings });
  const source = new KubernetesSource({
    ...kubernetes,
    server: client.server,
    notices: found.access.warnings,
    follow: followWith(client, surroundings),
    cluster: state.cluster,
    listeners: new Map(settings.listeners),
    decode,
    invalidPolicy: settings.invalidPolicy,
    filesOf: options.filesOf,
    file: fileOf(kubernetes, found.access, options),
    report,
    resumed: surroundings.resumed,
    clock,
    timers: platform.timers,
    events: {
      onLostForms: surroundings.onLostForms,
      onStop: () => void client.close(),
    },
  });
  return {
    source,
    isLastGoodKept: false,
    isDeniedAtFirst: true,
    own: () => source.own(),
    tellCondition: (problem) => report?.proxyProblem(problem),
  };
}

/** Of the proxy alone; the loader of the redirect reads the same cluster beside it. */
function reportOf(
  { report, reportNamespace, nodeName }: KubernetesSettings,
  client: KubeClient,
  to: { readonly namespace: string; readonly surroundings: SourceSurroundings },
): PolicyReport | null {
  const { namespace, surroundings } = to;
  const { platform, decode, reporting } = surroundings;
  if (!report || reporting === null) return null;
  return new PolicyReport({
    client,
    platform,
    limits: decode.limits,
    random: () => randomInt(2 ** 32) / 2 ** 32,
    nodeName,
    processId: randomUUID(),
    namespace: reportNamespace ?? namespace,
    events: reporting,
  });
}

function followWith(
  client: KubeClient,
  { platform, decode }: Pick<SourceSurroundings, 'platform' | 'decode'>,
): Follow {
  const server = new ApiServer(client, platform);
  const { limits } = decode;
  return ({ kind, namespace, name, sink }) => {
    const selection = {
      ...(namespace === null ? {} : { namespace }),
      ...(name === null ? {} : { fieldSelector: `metadata.name=${name}` }),
    };
    const reflector = new Reflector({ client, kind, selection, sink, server, platform, limits });
    reflector.start();
    return () => void reflector.stop();
  };
}

type StateResult =
  | { readonly kind: 'cluster'; readonly cluster: ClusterState }
  | { readonly kind: 'error'; readonly message: string };

function clusterStateOf(
  { clusterName, nodeName, identities, labels, nodeLabels }: KubernetesSettings,
  { decode }: Pick<SourceSurroundings, 'decode'>,
): StateResult {
  const { regexEngine, hasNodeLabels } = decode;
  if (regexEngine === undefined) throw new Error('patterns of labels need an engine');
  const pods = podLabelFilter(labels, regexEngine);
  if (pods.kind === 'error') return { kind: 'error', message: `labels: ${pods.message}` };
  const nodes = nodeLabelFilter(nodeLabels, regexEngine);
  if (nodes.kind === 'error') return { kind: 'error', message: `nodeLabels: ${nodes.message}` };
  const cluster = new ClusterState({
    cluster: clusterName,
    nodeName,
    identities,
    hasNodeLabels: hasNodeLabels === true,
    labelFilter: pods.filter,
    nodeLabelFilter: nodes.filter,
  });
  return { kind: 'cluster', cluster };
}

/** Settings that change nothing of what is known of a cluster. */
const NOT_READ = { kubeconfig: null, report: null, reportNamespace: null };

function fileOf(
  kubernetes: KubernetesSettings,
  { server, trust }: KubeAccess,
  { settings, surroundings }: OpenOptions,
): ClusterFile | null {
  const { stateDir, hasNodeLabels } = settings;
  if (stateDir === null) return null;
  const { stateName, platform, decode, isStateOurs, onNotKept } = surroundings;
  const { clock, timers } = platform;
  return new ClusterFile({
    folder: join(stateDir, stateName),
    // What is asked of the cluster decides what is known of it. Who asks does not.
    of: JSON.stringify({ ...kubernetes, ...NOT_READ, server, hasNodeLabels }),
    authorities: () => trustedAuthorities(trust),
    intervalMs: decode.limits.kubeStateIntervalMs,
    timers,
    wallMs: () => clock.wallMs(),
    onError: onNotKept,
    isOurs: isStateOurs,
  });
}

/** Nothing can be asked before the configuration is mended. */
class Unopened implements PolicySource {
  readonly name = 'kubernetes';
  readonly #problem: string;

  constructor(problem: string) {
    this.#problem = problem;
  }

  start(sink: PolicySink): void {
    sink.failed(this.#problem);
  }

  refresh(sink: PolicySink, done: () => void): void {
    sink.failed(this.#problem);
    done();
  }

  stop(): void {}
}

function unopened(problem: string): ConfiguredSource {
  const source = new Unopened(problem);
  return { source, isLastGoodKept: false, isDeniedAtFirst: false, ...UNTOLD };
}
