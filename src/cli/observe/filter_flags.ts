/**
 * The filters of `hubble observe`, by flags: what each says of the source, of the destination, or of either. Flags of one
 * name are alternatives, flags of several names must all fit; `--not` is about the next flag.
 */
import { create } from '@bufbuild/protobuf';
import {
  DropReason,
  type FlowFilter,
  FlowFilterSchema,
  IPVersion,
  TrafficDirection,
  Verdict,
} from '../../hubble/generated/flow/flow_pb.ts';
import { eventTypeOf, reservedIdentity } from '../../hubble/print/flow_text.ts';
import type { GivenFlag } from '../args.ts';

export interface Filters {
  readonly allow: readonly FlowFilter[];
  readonly deny: readonly FlowFilter[];
}

export type FiltersResult =
  | { readonly kind: 'filters'; readonly filters: Filters }
  | { readonly kind: 'error'; readonly message: string };

export function filtersOf(given: readonly GivenFlag[]): FiltersResult {
  const allow = new SidedFilter();
  const deny = new SidedFilter();
  let isNot = false;
  for (const { name, value } of given) {
    if (name === 'not') {
      if (isNot) return wrong('--not stands twice before one flag');
      isNot = true;
      continue;
    }
    if (!isFilterFlag(name)) continue;
    const problem = (isNot ? deny : allow).add(name, value);
    if (problem !== null) return wrong(`--${name}: ${problem}`);
    isNot = false;
  }
  if (isNot) return wrong('--not stands before no filter');
  const problem = allow.conflict() ?? deny.conflict();
  if (problem !== null) return wrong(problem);
  return { kind: 'filters', filters: { allow: allow.filters(), deny: deny.filters() } };
}

export function isFilterFlag(name: string): boolean {
  return FLAGS.has(name);
}

function wrong(message: string): FiltersResult {
  return { kind: 'error', message };
}

/** A field of FlowFilter by its name in TypeScript, with what is in it. */
type Values = Map<string, unknown[]>;

type Parse = (value: string) => unknown;

interface Meaning {
  /** Fields of the filter for flows from it, and of the filter for flows to it. */
  readonly left: string;
  readonly right: string;
  /** Throws what is wrong. */
  readonly parse: Parse;
}

class SidedFilter {
  readonly #left: Values = new Map();
  readonly #right: Values = new Map();
  readonly #names = new Set<string>();

  /** Null, or what is wrong with the value. */
  add(name: string, value: string): string | null {
    this.#names.add(name);
    const { left, right, parse } = FLAGS.get(name) as Meaning;
    try {
      const parsed = parse(value);
      push(this.#left, left, parsed);
      push(this.#right, right, parsed);
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Flags that say two things of one side. */
  conflict(): string | null {
    for (const group of CONFLICTS) {
      const [first, second] = group.filter((name) => this.#names.has(name));
      if (first !== undefined && second !== undefined) {
        return `--${first} and --${second} cannot be combined`;
      }
    }
    return null;
  }

  filters(): readonly FlowFilter[] {
    if (this.#names.size === 0) return [];
    const left = filterOf(this.#left);
    const right = filterOf(this.#right);
    return sameValues(this.#left, this.#right) ? [left] : [left, right];
  }
}

function push(values: Values, field: string, value: unknown): void {
  values.set(field, [...(values.get(field) ?? []), value]);
}

/** A namespace is a prefix of pods and services there that have no namespace of their own. */
function filterOf(values: Values): FlowFilter {
  const fields = new Map(values);
  for (const side of ['source', 'destination'] as const) {
    const namespaces = fields.get(`${side}Namespace`) as string[] | undefined;
    fields.delete(`${side}Namespace`);
    if (namespaces === undefined) continue;
    const pods = fields.get(`${side}Pod`);
    const services = fields.get(`${side}Service`);
    if (services !== undefined) fields.set(`${side}Service`, inNamespaces(services, namespaces));
    if (pods !== undefined || services === undefined) {
      fields.set(`${side}Pod`, inNamespaces(pods ?? [''], namespaces));
    }
  }
  const init = Object.fromEntries(fields);
  const expressions = init['celExpression'] as string[] | undefined;
  delete init['celExpression'];
  return create(FlowFilterSchema, {
    ...init,
    ...(expressions === undefined ? {} : { experimental: { celExpression: expressions } }),
  });
}

function inNamespaces(names: readonly unknown[], namespaces: readonly string[]): string[] {
  return names.flatMap((name) => {
    const text = String(name);
    return text.includes('/') ? [text] : namespaces.map((namespace) => `${namespace}/${text}`);
  });
}

function sameValues(a: Values, b: Values): boolean {
  return keyOf(a) === keyOf(b);
}

function keyOf(values: Values): string {
  const entries = [...values].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(entries, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
}

const asIs: Parse = (value) => value;

/** `--pod`: from it or to it; `--from-pod`; `--to-pod`. */
const SIDED: readonly (readonly [string, string, Parse])[] = [
  ['pod', 'Pod', asIs],
  ['ip', 'Ip', asIs],
  ['fqdn', 'Fqdn', asIs],
  ['label', 'Label', asIs],
  ['namespace', 'Namespace', asIs],
  ['all-namespaces', 'Namespace', () => ''],
  ['service', 'Service', asIs],
  ['port', 'Port', asIs],
  ['workload', 'Workload', workloadOf],
  ['identity', 'Identity', identityOf],
  ['cluster', 'ClusterName', asIs],
];

const OTHERS: readonly (readonly [string, string, Parse])[] = [
  ['uuid', 'uuid', asIs],
  ['node-name', 'nodeName', asIs],
  ['node-label', 'nodeLabels', asIs],
  ['protocol', 'protocol', asIs],
  ['tcp-flags', 'tcpFlags', tcpFlagsOf],
  ['type', 'eventType', eventTypeOf],
  ['verdict', 'verdict', (value) => numberIn(Verdict, value)],
  ['drop-reason-desc', 'dropReasonDesc', (value) => numberIn(DropReason, value)],
  ['http-status', 'httpStatusCode', asIs],
  ['http-method', 'httpMethod', asIs],
  ['http-path', 'httpPath', asIs],
  ['http-url', 'httpUrl', asIs],
  ['http-header', 'httpHeader', headerOf],
  ['trace-id', 'traceId', asIs],
  ['ip-trace-id', 'ipTraceId', traceNumberOf],
  ['snat-ip', 'sourceIpXlated', asIs],
  ['ipv4', 'ipVersion', () => IPVersion.IPv4],
  ['ipv6', 'ipVersion', () => IPVersion.IPv6],
  ['ip-version', 'ipVersion', ipVersionOf],
  ['traffic-direction', 'trafficDirection', directionOf],
  ['cel-expression', 'celExpression', asIs],
  ['interface', 'interface', (name) => ({ name })],
  ['encrypted', 'encrypted', () => true],
  ['unencrypted', 'encrypted', () => false],
];

const FLAGS: ReadonlyMap<string, Meaning> = new Map([
  ...SIDED.flatMap(([name, field, parse]): [string, Meaning][] => [
    [name, { left: `source${field}`, right: `destination${field}`, parse }],
    [`from-${name}`, { left: `source${field}`, right: `source${field}`, parse }],
    [`to-${name}`, { left: `destination${field}`, right: `destination${field}`, parse }],
  ]),
  ...OTHERS.map(([name, field, parse]): [string, Meaning] => [
    name,
    { left: field, right: field, parse },
  ]),
]);

const CONFLICTS: readonly (readonly string[])[] = [
  ...['from', 'to'].flatMap((side) => [
    [
      ...[`${side}-fqdn`, `${side}-ip`, 'ip', 'fqdn', `${side}-namespace`, 'namespace'],
      ...[`${side}-all-namespaces`, 'all-namespaces'],
    ],
    [`${side}-fqdn`, `${side}-ip`, 'ip', 'fqdn', `${side}-pod`, 'pod'],
    [`${side}-pod`, 'namespace', 'all-namespaces'],
    [`${side}-service`, 'namespace', 'all-namespaces'],
    ...['label', 'service', 'port', 'identity', 'workload'].map((name) => [
      name,
      `${side}-${name}`,
    ]),
  ]),
  ['encrypted', 'unencrypted'],
];

function workloadOf(value: string): object {
  const slash = value.indexOf('/');
  if (slash === -1) return { name: value };
  return { kind: value.slice(0, slash), name: value.slice(slash + 1) };
}

function identityOf(value: string): number {
  const reserved = reservedIdentity(value);
  if (reserved !== null) return reserved;
  const number = Number(value);
  if (!/^[0-9]{1,10}$/.test(value) || number > 0xffff_ffff) {
    throw new Error(`"${value}" is no identity: give a number, or a word such as world or host`);
  }
  return number;
}

const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS'];

function tcpFlagsOf(value: string): object {
  const names = value.split(',').map((name) => name.toUpperCase());
  const unknown = names.find((name) => !TCP_FLAGS.includes(name));
  if (unknown !== undefined) {
    throw new Error(`"${unknown}" is none of ${TCP_FLAGS.join(', ')}`);
  }
  return Object.fromEntries(names.map((name) => [name, true]));
}

function numberIn(words: Readonly<Record<string, number>>, value: string): number {
  const number = Object.hasOwn(words, value) ? words[value] : undefined;
  if (number !== undefined) return number;
  throw new Error(`"${value}" is none of ${Object.keys(words).join(', ')}`);
}

function headerOf(value: string): object {
  const colon = value.indexOf(':');
  if (colon === -1) throw new Error(`"${value}" has no colon: give name:value`);
  return { key: value.slice(0, colon), value: value.slice(colon + 1) };
}

function traceNumberOf(value: string): bigint {
  if (!/^[0-9]{1,20}$/.test(value) || BigInt(value) === 0n || BigInt(value) >= 2n ** 64n) {
    throw new Error(`"${value}" is no number above 0`);
  }
  return BigInt(value);
}

function ipVersionOf(value: string): number {
  const version = /^(?:ipv?|v)?([46])$/.exec(value.toLowerCase())?.[1];
  if (version === undefined) return IPVersion.IP_NOT_USED;
  return version === '4' ? IPVersion.IPv4 : IPVersion.IPv6;
}

function directionOf(value: string): number {
  switch (value.toLowerCase()) {
    case 'ingress':
      return TrafficDirection.INGRESS;
    case 'egress':
      return TrafficDirection.EGRESS;
    default:
      throw new Error(`"${value}" is neither ingress nor egress`);
  }
}
