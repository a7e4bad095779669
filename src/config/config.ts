/**
 * The configuration: process start values, valid and complete. Made once by `loadConfig`; policy,
 * which changes at run time, is not in it (only where it is read from).
 */
import {
  formatSocketAddress,
  parsePrefix,
  prefixContains,
  type SocketAddress,
} from '../model/address.ts';
import { parseProxyId } from '../model/identity.ts';
import type { Limits } from '../model/limits.ts';
import type { Behaviour, ListenerOptions } from '../proxy/options.ts';
import type { AccessLogTarget, AdminAddress, ConfigValues, LOG_LEVELS } from './declaration.ts';

export type LogLevel = (typeof LOG_LEVELS)[number];

export interface Config {
  /** The file it was read from. */
  readonly path: string;
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
  readonly behaviour: Behaviour;
  /** For `sallyport redirect`; the proxy takes nothing from it but the place of the pins. */
  readonly redirect: RedirectConfig;
  readonly cilium: CiliumConfig;
  readonly limits: Limits;
  readonly listeners: readonly ListenerConfig[];
}

export interface CiliumConfig {
  /** Absolute. */
  readonly root: string;
  readonly ipcacheName: string;
}

export interface RedirectConfig {
  /** Absolute. */
  readonly root: string;
  readonly uplinks: readonly string[];
  readonly isHostJudged: boolean;
  readonly isDnsAllowed: boolean;
  readonly settleMs: number;
  readonly routeTable: number;
  readonly rulePriority: number;
  readonly group: number;
}

/** Whether the port is shared is the supervisor's business. */
export type ListenerConfig = Omit<ListenerOptions, 'isPortShared'>;

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
}

export function configOf(values: ConfigValues, surroundings: ConfigSurroundings): Config {
  const { behaviour, accessLog } = values;
  return {
    path: surroundings.path,
    admin: values.admin,
    isAdminRemoteAllowed: values.adminAllowRemote,
    workerCount: values.workers ?? Math.max(1, surroundings.coreCount),
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
    behaviour: {
      isDryRun: behaviour.dryRun,
      isHttp10Enabled: behaviour.http10,
      areTrailersForwarded: behaviour.trailers,
      isPathNormalised: behaviour.pathNormalisation,
      denial: {
        status: behaviour.denial.status,
        body: behaviour.denial.body,
        contentType: behaviour.denial.contentType,
        isReasonShown: behaviour.denial.showReason,
      },
    },
    redirect: redirectOf(values.redirect),
    cilium: { root: values.cilium.root, ipcacheName: values.cilium.ipcache },
    limits: values.limits,
    listeners: values.listeners.map(listenerOf),
  };
}

export function crossProblems(values: ConfigValues): readonly CrossProblem[] {
  const problems: CrossProblem[] = [];
  const add = (field: readonly (string | number)[], message: string): void => {
    problems.push({ field, message });
  };
  checkAdmin(values, add);
  if (values.limits.restartBackoffMinMs > values.limits.restartBackoffMaxMs) {
    add(['limits', 'restartBackoffMinMs'], 'must not be above restartBackoffMaxMs');
  }
  const names = new Set<string>();
  const addresses = new Set<string>();
  for (const [index, listener] of values.listeners.entries()) {
    const text = addressText(listener.address);
    if (names.has(listener.name)) {
      add(['listeners', index, 'name'], `"${listener.name}" is the name of another listener`);
    }
    if (listener.address.port !== 0 && addresses.has(text)) {
      add(['listeners', index, 'address'], `${text} is the address of another listener`);
    }
    const { upstream, destination } = listener;
    const target = upstream.kind === 'fixed' ? upstream : destination;
    if (target.kind === 'fixed' && addressText(target.address) === text) {
      const field = upstream.kind === 'fixed' ? 'upstream' : 'destination';
      add(['listeners', index, field], `${text} is the listener itself`);
    }
    checkRecords(listener, (field, message) => add(['listeners', index, field], message));
    names.add(listener.name);
    addresses.add(text);
  }
  return problems;
}

/** by-record takes everything from the record, and a record says nothing of any other listener's. */
function checkRecords(
  { direction, destination, upstream, identity, transparent }: ConfigValues['listeners'][number],
  add: (field: string, message: string) => void,
): void {
  const isAsked = identity.kind === 'sources' && identity.sources.includes('redirect-record');
  if (
    direction === 'egress' &&
    identity.kind === 'sources' &&
    identity.sources.includes('bpf-conntrack')
  ) {
    add(
      'identity',
      'bpf-conntrack needs direction: ingress: it knows who began a connection, not whom it goes to',
    );
  }
  if (direction !== 'by-record') {
    if (isAsked) add('identity', 'redirect-record needs direction: by-record');
    if (transparent && destination.kind !== 'local-address') {
      add('transparent', 'needs destination: local-address');
    }
    return;
  }
  if (!isAsked || identity.sources.length > 1) {
    add('identity', 'with direction: by-record must be [redirect-record]');
  }
  if (destination.kind !== 'local-address') {
    add('destination', 'with direction: by-record must be local-address');
  }
  if (upstream.kind !== 'original-destination') {
    add('upstream', 'with direction: by-record must be original-destination');
  }
}

export function isLoopback(address: SocketAddress): boolean {
  const prefix = parsePrefix(address.ip, { allowBare: true, allowHostBits: false });
  const loopback = parsePrefix(address.family === 4 ? '127.0.0.0/8' : '::1/128', {
    allowBare: false,
    allowHostBits: false,
  });
  return prefix !== null && loopback !== null && prefixContains(loopback, prefix);
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

function redirectOf(values: ConfigValues['redirect']): RedirectConfig {
  const { host, dns, ...rest } = values;
  return { ...rest, isHostJudged: host === 'policy', isDnsAllowed: dns === 'allow' };
}

function listenerOf(values: ConfigValues['listeners'][number]): ListenerConfig {
  const proxyId = parseProxyId(values.proxyId);
  if (proxyId === null) throw new Error(`proxyId ${values.proxyId} got past its range`);
  return {
    name: values.name,
    address: values.address,
    direction: values.direction,
    isTransparent: values.transparent || values.direction === 'by-record',
    proxyId,
    destination: values.destination,
    upstream: values.upstream,
    identity: values.identity,
  };
}

function addressText(address: SocketAddress): string {
  return formatSocketAddress(address.ip, address.port);
}
