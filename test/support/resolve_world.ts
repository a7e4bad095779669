/** A small cluster and short forms of rules, for tests of resolving; prints what came out. */
import { parseIp, parsePrefix } from '../../src/model/address.ts';
import type { Direction, Identity } from '../../src/model/identity.ts';
import type { EndpointPolicy, HttpRule, PortRule } from '../../src/policy/ast.ts';
import { buildIdentityTable, type IdentityTable } from '../../src/policy/resolve/identity_table.ts';
import {
  EMPTY_INVENTORY,
  type Inventory,
  type InventoryEndpoint,
} from '../../src/policy/resolve/inventory.ts';
import { namedPrefixes } from '../../src/policy/resolve/prefixes.ts';
import { type ResolveResult, resolvePolicies } from '../../src/policy/resolve/resolve.ts';
import type {
  DirectionRule,
  LabelSelector,
  Peer,
  PolicySpec,
  PortSelector,
  PortsRule,
} from '../../src/policy/rule.ts';
import { allocatorOf } from './allocator.ts';

export const API = endpoint('default/api', '10.0.0.1', 101, ['k8s:app=api']);
export const WEB = endpoint('default/web', '10.0.0.2', 102, ['k8s:app=web']);
export const JOB = endpoint('default/job', '10.0.0.3', 103, ['k8s:app=job']);

/** Identity 1000 + n of an endpoint whose id is 100 + n, so that texts below can be read. */
export function endpoint(
  name: string,
  ip: string,
  endpointId: number,
  labels: readonly string[],
  namedPorts: InventoryEndpoint['namedPorts'] = [],
): InventoryEndpoint {
  const address = parseIp(ip);
  if (address === null) throw new Error(`not an address: ${ip}`);
  const identity = (endpointId + 900) as Identity;
  return {
    name,
    ips: [address],
    labels,
    identity,
    endpointId,
    namedPorts,
    isLocal: true,
    interface: null,
    podUid: null,
  };
}

export function worldOf(changes: Partial<Inventory> = {}): Inventory {
  return { ...EMPTY_INVENTORY, endpoints: [API, WEB, JOB], ...changes };
}

export function tableOf(
  inventory: Inventory,
  specs: readonly PolicySpec[],
  allocator = allocatorOf(10_000),
): IdentityTable {
  const result = buildIdentityTable({
    inventory,
    prefixes: namedPrefixes({ specs, cidrGroups: [], services: inventory.services }),
    extra: [],
    allocator,
    identityCountMax: 10_000,
  });
  if (result.kind === 'error') throw new Error(result.message);
  return result.table;
}

export function resolved(
  specs: readonly PolicySpec[],
  inventory: Inventory = worldOf(),
): ResolveResult {
  return resolvePolicies({
    specs,
    cidrGroups: [],
    inventory,
    table: tableOf(inventory, specs),
    unselected: 'allow',
  });
}

export function policyOf(
  name: string,
  specs: readonly PolicySpec[],
  inventory: Inventory = worldOf(),
): EndpointPolicy {
  const result = resolved(specs, inventory);
  if (result.kind === 'conflict') throw new Error(result.conflict.message);
  const policy = result.policies.find((one) => one.name === name);
  if (policy === undefined) throw new Error(`no policy for ${name}`);
  return policy;
}

/**
 * One line a rule: "TCP 80: fffffe01 allow [1002] http(2)"; "any" for null remotes. Rules that select nobody yet are
 * left out, as the compiler leaves them out.
 */
export function linesOf(policy: EndpointPolicy, direction: Direction, protocol = 'TCP'): string[] {
  return policy[direction]
    .filter((port) => port.protocol === protocol)
    .flatMap(({ port, endPort, rules }) => {
      const place = `${port === endPort ? port : `${port}-${endPort}`}:`;
      return rules.length === 0
        ? [`${place} everything`]
        : rules
            .filter(({ selector, remotes }) => selector === undefined || remotes?.size !== 0)
            .map((rule) => `${place} ${ruleText(rule)}`);
    });
}

function ruleText(rule: PortRule): string {
  const level = 0xff_ffff - (rule.precedence >>> 8);
  const remotes = rule.remotes === null ? 'any' : `[${[...rule.remotes].sort().join(' ')}]`;
  const l7 = rule.l7.kind === 'none' ? [] : [`${rule.l7.kind}(${rule.l7.rules.length})`];
  const sni = rule.serverNames.length === 0 ? [] : [`sni(${rule.serverNames.join(' ')})`];
  const proxy = rule.proxyId === 0 ? [] : [`proxy ${rule.proxyId}`];
  const head = `${level}/${rule.precedence & 0xff} ${rule.verdict.kind} ${remotes}`;
  return [head, ...l7, ...sni, ...proxy].join(' ');
}

let specCount = 0;

/** Selects app=api in both directions' default. */
export function spec(
  rules: readonly DirectionRule[],
  changes: Partial<PolicySpec> = {},
): PolicySpec {
  const name = `default/p${specCount++}`;
  const has = (direction: Direction): boolean => rules.some((rule) => rule.direction === direction);
  return {
    origin: { policy: name, rule: '' },
    namespace: 'default',
    isDryRun: false,
    subject: { kind: 'endpoints', selector: app('api') },
    tier: 'normal',
    priority: 0,
    enableDefaultDeny: { ingress: has('ingress'), egress: has('egress') },
    rules: rules.map((rule, index) => ({
      ...rule,
      origin: { policy: name, rule: `${rule.direction}[${index}]` },
      ports:
        rule.ports?.map((ports, at) => ({
          ...ports,
          origin: { policy: name, rule: `${rule.direction}[${index}].toPorts[${at}]` },
        })) ?? null,
    })),
    ...changes,
  };
}

export function rule(changes: Partial<DirectionRule> = {}): DirectionRule {
  return {
    origin: { policy: '', rule: '' },
    direction: 'ingress',
    action: 'allow',
    peers: null,
    ports: null,
    hasIcmps: false,
    ...changes,
  };
}

/** "80", "80-90", "0" or a name. */
export function port(text: string, protocols: PortSelector['protocols'] = ['TCP']): PortSelector {
  if (!/^[0-9]/.test(text)) return { port: 0, endPort: 0, name: text, protocols };
  const [first, last] = text.split('-');
  return { port: Number(first), endPort: Number(last ?? first), name: null, protocols };
}

export function ports(text: string, changes: Partial<PortsRule> = {}): PortsRule {
  return {
    origin: { policy: '', rule: '' },
    ports: [port(text)],
    serverNames: [],
    listener: null,
    isTlsTerminated: false,
    isTlsOriginated: false,
    l7: { kind: 'none' },
    ...changes,
  };
}

export function http(...methods: string[]): PortsRule['l7'] {
  return { kind: 'http', rules: methods.map(httpRule) };
}

export function httpRule(method: string): HttpRule {
  return {
    origin: { policy: 'default/p', rule: method },
    matchers: [
      {
        name: ':method',
        value: { kind: 'regex', pattern: method },
        isInverted: false,
        treatMissingAsEmpty: false,
      },
    ],
    headerMatches: [],
  };
}

export function app(...names: string[]): LabelSelector {
  return { requirements: [{ key: 'any:app', operator: 'in', values: names }] };
}

export function from(...names: string[]): Peer[] {
  return names.map((name) => ({ kind: 'selector', selector: app(name), isLocalCluster: false }));
}

export function cidr(text: string, ...except: string[]): Peer {
  return { kind: 'cidr', prefix: prefixOf(text), except: except.map(prefixOf) };
}

export function prefixOf(text: string) {
  const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
  if (prefix === null) throw new Error(`not a prefix: ${text}`);
  return prefix;
}
