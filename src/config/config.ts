/**
 * The configuration: process start values, valid and complete. Made once by `loadConfig`; policy,
 * which changes at run time, is not in it (only where it is read from).
 */
import { formatSocketAddress, isLoopback, type SocketAddress } from '../model/address.ts';
import { type HubbleMetricRequest, hubbleMetricsProblem } from '../model/hubble_metric_request.ts';
import type { HubbleServeSettings } from '../model/hubble_settings.ts';
import { parseProxyId } from '../model/identity.ts';
import type { InvalidPolicy } from '../model/invalid_policy.ts';
import type { KubernetesSettings } from '../model/kubernetes_settings.ts';
import type { Limits } from '../model/limits.ts';
import type { LogLevel } from '../model/log_level.ts';
import type { Behaviour, ListenerOptions } from '../proxy/plane/options.ts';
import type { AccessLogTarget, AdminAddress, ConfigValues } from './declaration.ts';
import { checkListeners, workersFor } from './listener_checks.ts';
import { POD_INTERFACES } from './redirect_fields.ts';

/** As Cilium's agent calls a cluster that nobody gave a name. */
const DEFAULT_CLUSTER_NAME = 'default';

export interface Config {
  /** The file it was read from. */
  readonly path: string;
  /** As they are called in the file: for people (`printValues`). */
  readonly values: ConfigValues;
  readonly admin: AdminAddress;
  readonly isAdminRemoteAllowed: boolean;
  /** At least 1. */
  readonly workerCount: number;
  readonly logLevel: LogLevel;
  readonly accessLog: AccessLogConfig;
  /** Absolute, as are the two below. */
  readonly policyPaths: readonly string[];
  readonly endpointsPath: string | null;
  readonly secretsPath: string | null;
  /** Null: only files say what policy is. */
  readonly kubernetes: KubernetesSettings | null;
  readonly isEmptySetOpen: boolean;
  readonly invalidPolicy: InvalidPolicy;
  /** Absolute; null keeps nothing on disk. */
  readonly stateDir: string | null;
  /** fromNodes and toNodes are allowed, and other nodes are known by their labels. */
  readonly hasNodeLabels: boolean;
  /** CIDRs of which no address gets a name. */
  readonly neverLearned: readonly string[];
  readonly behaviour: Behaviour;
  /** For `sallyport redirect`; the proxy takes nothing from it but the place of the pins. */
  readonly redirect: RedirectConfig;
  readonly cilium: CiliumConfig;
  readonly ciliumAgent: CiliumAgentConfig;
  readonly hubble: HubbleConfig;
  readonly limits: Limits;
  readonly listeners: readonly ListenerConfig[];
}

export interface HubbleConfig {
  /** Null: nothing is told to anybody. */
  readonly serve: HubbleServeSettings | null;
  readonly metrics: HubbleMetricsConfig;
  readonly export: HubbleExportConfig;
}

export interface HubbleMetricsConfig {
  /** Empty: nothing is counted, and nothing listens. */
  readonly requests: readonly HubbleMetricRequest[];
  readonly address: SocketAddress;
  readonly hasOpenMetrics: boolean;
}

export interface HubbleExportConfig {
  /** Absolute; null: none. */
  readonly path: string | null;
  /** JSON filters. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly fieldMask: readonly string[];
  readonly fileBytesMax: number;
  readonly backupCountMax: number;
  readonly isCompressed: boolean;
  /** Absolute; null: nothing is asked for while it runs. */
  readonly dynamicPath: string | null;
}

export interface CiliumConfig {
  /** Absolute. */
  readonly root: string;
  /** Null: the newest that is there. */
  readonly ipcacheName: string | null;
}

/** Cilium's agent, if there is one on this node. */
export interface CiliumAgentConfig {
  /** Of its socket. Absolute. */
  readonly folder: string;
  /** What we do where it runs. */
  readonly beside: 'refuse' | 'chain';
}

export interface RedirectConfig {
  /** Absolute. */
  readonly root: string;
  readonly uplinks: readonly string[];
  /** Others are found beside them. */
  readonly areUplinksFound: boolean;
  /** Names of interfaces that are ours, `*` for any characters. */
  readonly interfaces: readonly string[];
  /** The loader finds the interface of endpoints that name none. */
  readonly areInterfacesFound: boolean;
  /** Bridges whose ports are not claimed. */
  readonly otherBridges: readonly string[];
  /** Absolute. */
  readonly cniResults: string;
  readonly isHostJudged: boolean;
  readonly isDnsAllowed: boolean;
  /** What becomes of addresses of Services. */
  readonly services: 'none' | 'socket';
  /** Absolute; null: where cgroup2 is mounted. */
  readonly cgroupRoot: string | null;
  readonly settleMs: number;
  readonly routeTable: number;
  readonly rulePriority: number;
  readonly group: number;
}

/** With several workers the supervisor makes them share the port, whatever `isPortShared` says here. */
export type ListenerConfig = ListenerOptions;

export interface AccessLogConfig {
  readonly to: AccessLogTarget;
  /** Lower case. */
  readonly headers: readonly string[];
  readonly isQueryLogged: boolean;
  /** 0 to 1. */
  readonly allowSampling: number;
}

/** What is wrong across fields, with the field to blame; the fields alone are valid. */
export interface CrossProblem {
  readonly field: readonly (string | number)[];
  readonly message: string;
}

export interface ConfigSurroundings {
  readonly path: string;
  readonly coreCount: number;
  /** Of this node in a cluster, when the file does not say. */
  readonly nodeName: string;
}

export function configOf(values: ConfigValues, surroundings: ConfigSurroundings): Config {
  const { behaviour, accessLog } = values;
  return {
    path: surroundings.path,
    values,
    admin: values.admin,
    isAdminRemoteAllowed: values.adminAllowRemote,
    workerCount: values.workers ?? workersFor(values.listeners, surroundings.coreCount),
    logLevel: values.logLevel,
    accessLog: {
      to: accessLog.to,
      headers: accessLog.headers,
      isQueryLogged: accessLog.query,
      allowSampling: accessLog.allowSampling,
    },
    policyPaths: values.policies,
    endpointsPath: values.endpoints,
    secretsPath: values.secrets,
    kubernetes: kubernetesOf(values.kubernetes, surroundings.nodeName),
    isEmptySetOpen: values.allowEmptyPolicySet || isClusterAlone(values),
    invalidPolicy: values.invalidPolicy,
    stateDir: values.stateDir,
    hasNodeLabels: values.enableNodeSelectorLabels,
    neverLearned: values.dns.neverLearned,
    behaviour: {
      isDryRun: behaviour.dryRun,
      isHttp10Enabled: behaviour.http10,
      areTrailersForwarded: behaviour.trailers,
      underscores: behaviour.underscoreFields,
      upgrades: behaviour.upgrades,
      isPathNormalised: behaviour.pathNormalisation,
      pathParameters: behaviour.pathParameters,
      denial: {
        status: behaviour.denial.status,
        body: behaviour.denial.body,
        contentType: behaviour.denial.contentType,
        isReasonShown: behaviour.denial.showReason,
      },
      dnsRefusal: values.dns.refusal,
      isDnsCaseVaried: values.dns.varyCase,
    },
    redirect: redirectOf(values),
    cilium: ciliumOf(values.cilium),
    ciliumAgent: { folder: values.cilium.agent, beside: values.cilium.beside },
    hubble: hubbleOf(values, surroundings.nodeName),
    limits: values.limits,
    listeners: values.listeners.map((listener) => listenerOf(listener, values.listeners)),
  };
}

/** Name → proxy id, of listeners that have one: as policies name them. */
export function namedListeners({ listeners }: Config): readonly (readonly [string, number])[] {
  return listeners.flatMap(({ name, proxyId }) => (proxyId === 0 ? [] : [[name, proxyId]]));
}

export function crossProblems(values: ConfigValues): readonly CrossProblem[] {
  const problems: CrossProblem[] = [];
  const add = (field: readonly (string | number)[], message: string): void => {
    problems.push({ field, message });
  };
  checkAdmin(values, add);
  checkHubble(values.hubble, add);
  if (values.limits.restartBackoffMinMs > values.limits.restartBackoffMaxMs) {
    add(['limits', 'restartBackoffMinMs'], 'must not be above restartBackoffMaxMs');
  }
  checkListeners(values.listeners, values.workers, (index, field, message) =>
    add(['listeners', index, field], message),
  );
  return problems;
}

function checkAdmin(
  values: ConfigValues,
  add: (field: readonly (string | number)[], message: string) => void,
): void {
  const { admin } = values;
  if (admin.kind !== 'tcp' || values.adminAllowRemote || isLoopback(admin.address)) return;
  add(
    ['admin'],
    `${addressText(admin.address)} can be reached from other machines and the admin server has no authentication; ` +
      'use a loopback address or unix:/path, or set adminAllowRemote: true',
  );
}

function checkHubble(
  { metrics, listen, tls }: ConfigValues['hubble'],
  add: (field: readonly (string | number)[], message: string) => void,
): void {
  const problem = hubbleMetricsProblem(metrics.enabled);
  if (problem !== null) add(['hubble', 'metrics', 'enabled'], problem);
  if (listen !== null && tls === null && !isLoopback(listen)) {
    add(
      ['hubble', 'listen'],
      `${addressText(listen)} can be reached from other machines; set hubble.tls, or use a loopback address`,
    );
  }
  if (metrics.allowRemote || isLoopback(metrics.address)) return;
  add(
    ['hubble', 'metrics', 'address'],
    `${addressText(metrics.address)} can be reached from other machines; use a loopback address, or set hubble.metrics.allowRemote: true`,
  );
}

function hubbleOf({ hubble, kubernetes }: ConfigValues, nodeName: string): HubbleConfig {
  const { metrics, export: flows } = hubble;
  const { enabled, address, openMetrics } = metrics;
  const { file, allow, deny, fieldMask, fileBytesMax, backups, compress, dynamic } = flows;
  return {
    serve: isHubbleWanted(hubble)
      ? hubbleServeOf(hubble, kubernetesOf(kubernetes, nodeName), nodeName)
      : null,
    metrics: { requests: enabled, address, hasOpenMetrics: openMetrics },
    export: {
      ...{ path: file, allow, deny, fieldMask, fileBytesMax },
      ...{ backupCountMax: backups, isCompressed: compress, dynamicPath: dynamic },
    },
  };
}

function isHubbleWanted({
  socket,
  listen,
  metrics,
  export: { file, dynamic },
}: ConfigValues['hubble']): boolean {
  const isServed = socket !== null || listen !== null;
  return isServed || metrics.enabled.length > 0 || file !== null || dynamic !== null;
}

function hubbleServeOf(
  { socket, socketGroup, listen, tls, announce }: ConfigValues['hubble'],
  kubernetes: KubernetesSettings | null,
  nodeName: string,
): HubbleServeSettings {
  const announced = announce ?? listen;
  return {
    socket: socket === null ? null : { path: socket, group: socketGroup },
    tcp: listen === null ? null : { address: listen, tls },
    announced: announced === null ? '' : addressText(announced),
    cluster: kubernetes?.clusterName ?? DEFAULT_CLUSTER_NAME,
    node: kubernetes?.nodeName ?? nodeName,
  };
}

function kubernetesOf(
  values: ConfigValues['kubernetes'],
  nodeName: string,
): KubernetesSettings | null {
  return values === null ? null : { ...values, nodeName: values.nodeName ?? nodeName };
}

/** An API that has listed no policy has none. A folder that is empty may be one that failed to mount. */
function isClusterAlone({ kubernetes, policies }: ConfigValues): boolean {
  return kubernetes !== null && policies.length === 0;
}

function ciliumOf({ root, ipcache }: ConfigValues['cilium']): CiliumConfig {
  return { root, ipcacheName: ipcache === 'auto' ? null : ipcache };
}

function redirectOf({ redirect, kubernetes }: ConfigValues): RedirectConfig {
  const { host, dns, interfaces, findInterfaces, findUplinks, ...rest } = redirect;
  const areInterfacesFound = findInterfaces || kubernetes !== null;
  return {
    ...rest,
    interfaces: interfaces ?? (areInterfacesFound ? POD_INTERFACES : []),
    areInterfacesFound,
    areUplinksFound: findUplinks,
    isHostJudged: host === 'policy',
    isDnsAllowed: dns === 'allow',
  };
}

type ListenerValues = ConfigValues['listeners'][number];

function listenerOf(values: ListenerValues, all: readonly ListenerValues[]): ListenerConfig {
  const proxyId = parseProxyId(values.proxyId);
  if (proxyId === null) throw new Error(`proxyId ${values.proxyId} got past its range`);
  return {
    name: values.name,
    protocol: values.protocol,
    address: values.address,
    direction: values.direction,
    areDatagramsTaken: values.direction === 'by-record' && takesDatagrams(values, all),
    isTransparent: values.transparent || values.direction === 'by-record',
    clientAddress: values.clientAddress,
    isPortShared: values.reusePort,
    proxyId,
    destination: values.destination,
    trustedProxies: values.trustedProxies,
    upstream: values.upstream,
    identity: values.identity,
  };
}

/** A listener for DNS does where there is one of the family, else the one for everything. */
function takesDatagrams({ protocol, address }: ListenerValues, all: readonly ListenerValues[]) {
  if (protocol === 'dns') return true;
  return !all.some(
    (other) =>
      other.direction === 'by-record' &&
      other.protocol === 'dns' &&
      other.address.family === address.family,
  );
}

function addressText(address: SocketAddress): string {
  return formatSocketAddress(address.ip, address.port);
}
