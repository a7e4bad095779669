/**
 * Resolving, merging and compiling against a direct reading of the rules: for every request both say
 * the same. The oracle knows no identities, no precedence and no merging.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type IpPrefix, prefixContains } from '../../../src/model/address.ts';
import type { Port, ProxyId } from '../../../src/model/identity.ts';
import { IDENTITY_WORLD } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { compilePolicies } from '../../../src/policy/compile/compile.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection, decideRequest } from '../../../src/policy/decide/decide.ts';
import { resolvePolicies } from '../../../src/policy/resolve/resolve.ts';
import type { DirectionRule, Peer, PolicySpec, PortsRule } from '../../../src/policy/rule.ts';
import { LabelSet, selectorMatches } from '../../../src/policy/selector.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { runs } from '../../support/property_runs.ts';
import {
  API,
  app,
  cidr,
  http,
  JOB,
  ports,
  prefixOf,
  rule,
  spec,
  tableOf,
  WEB,
  worldOf,
} from '../../support/resolve_world.ts';

const ENGINE = createRe2Engine(DEFAULT_LIMITS);
const PREFIXES = [
  '0.0.0.0/0',
  '192.0.0.0/8',
  '192.0.2.0/24',
  '192.0.2.128/25',
  '192.0.2.5/32',
  '10.0.0.0/8',
  '10.0.0.2/32',
];
const REMOTES = [
  '10.0.0.2',
  '10.0.0.3',
  '10.0.0.9',
  '192.0.2.5',
  '192.0.2.6',
  '192.0.2.200',
  '192.9.9.9',
  '198.51.100.1',
  '2001:db8::1',
];
const PORTS = ['80', '81', '80-85', '0'];
const METHODS = ['GET', 'PUT'];

const anyCidr = fc
  .tuple(fc.constantFrom(...PREFIXES), fc.subarray(PREFIXES, { maxLength: 2 }))
  .map(([outer, inner]) => cidr(outer, ...inner.filter((one) => isInside(outer, one))));

const anyPeer: fc.Arbitrary<Peer> = fc.oneof(
  fc
    .subarray(['api', 'web', 'job'], { minLength: 1 })
    .map((names): Peer => ({ kind: 'selector', selector: app(...names), isLocalCluster: false })),
  fc.constantFrom('all', 'world', 'none').map((entity): Peer => ({ kind: 'entity', entity })),
  anyCidr,
);

const anyPorts = (hasL7: boolean): fc.Arbitrary<PortsRule> =>
  fc
    .tuple(fc.constantFrom(...PORTS), fc.subarray(METHODS))
    .map(([port, methods]) =>
      ports(port, hasL7 && port !== '0' && methods.length > 0 ? { l7: http(...methods) } : {}),
    );

const anyRule: fc.Arbitrary<DirectionRule> = fc
  .constantFrom('allow', 'allow', 'allow', 'deny')
  .chain((action) =>
    fc
      .record({
        peers: fc.option(fc.array(anyPeer, { maxLength: 2 })),
        ports: fc.option(fc.array(anyPorts(action === 'allow'), { minLength: 1, maxLength: 2 })),
      })
      .map((fields) => rule({ ...fields, action: action as 'allow' | 'deny' })),
  );

const anySpec = fc
  .record({
    rules: fc.array(anyRule, { minLength: 1, maxLength: 3 }),
    subject: fc.constantFrom('api', 'web'),
    isDefaultDeny: fc.boolean(),
  })
  .map(({ rules, subject, isDefaultDeny }) =>
    spec(rules, {
      subject: { kind: 'endpoints', selector: app(subject) },
      enableDefaultDeny: { ingress: isDefaultDeny, egress: false },
    }),
  );

interface Request {
  readonly remoteIp: string;
  readonly port: number;
  readonly method: string;
}

const anyRequest: fc.Arbitrary<Request> = fc.record({
  remoteIp: fc.constantFrom(...REMOTES),
  port: fc.constantFrom(80, 81, 85, 86),
  method: fc.constantFrom(...METHODS, 'POST'),
});

describe('resolved and compiled policy', () => {
  it('says what a direct reading of the rules says', () => {
    fc.assert(
      fc.property(
        fc.array(anySpec, { maxLength: 4 }),
        fc.array(anyRequest, { minLength: 1, maxLength: 12 }),
        (specs, requests) => {
          const snapshot = compiled(specs);
          for (const request of requests) {
            const found = isAllowed(snapshot, request);
            expect(`${JSON.stringify(request)} ${found}`).toBe(
              `${JSON.stringify(request)} ${mayPass(specs, request)}`,
            );
          }
        },
      ),
      runs(120),
    );
  });

  it('never allows more when a deny rule is added', () => {
    fc.assert(
      fc.property(
        fc.array(anySpec, { minLength: 1, maxLength: 3 }),
        anyPeer,
        fc.array(anyRequest, { minLength: 1, maxLength: 8 }),
        (specs, peer, requests) => {
          const deny = spec([rule({ action: 'deny', peers: [peer] })]);
          const [before, after] = [compiled(specs), compiled([...specs, deny])];
          for (const request of requests) {
            if (!isAllowed(before, request)) expect(isAllowed(after, request)).toBe(false);
          }
        },
      ),
      runs(80),
    );
  });
});

function compiled(specs: readonly PolicySpec[]): PolicySnapshot {
  const inventory = worldOf();
  const table = tableOf(inventory, specs);
  const result = resolvePolicies({ specs, cidrGroups: [], inventory, table, unselected: 'allow' });
  if (result.kind === 'conflict') throw new Error(result.conflict.message);
  const built = compilePolicies(result.policies, {
    revision: 1,
    regexEngine: ENGINE,
    limits: DEFAULT_LIMITS,
    secrets: new Map(),
    ipcache: table.ipcache,
    labels: table,
    shadow: null,
  });
  if (built.kind === 'error') throw new Error(JSON.stringify(built.problems));
  return built.snapshot;
}

function isAllowed(snapshot: PolicySnapshot, { remoteIp, port, method }: Request): boolean {
  const view = snapshot
    .endpoint('10.0.0.1')
    .port('ingress', 'TCP', port as Port)
    .view(0 as ProxyId, snapshot.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD);
  if (decideConnection(view, '').verdict === 'deny') return false;
  const head = plainHead({ method, path: '/', authority: 'test' });
  return decideRequest(view, '', head).verdict === 'allow';
}

/** The oracle, for default/api. */
function mayPass(specs: readonly PolicySpec[], request: Request): boolean {
  const own = specs.filter(({ subject }) =>
    selectorMatches(subject.selector, new LabelSet(API.labels)),
  );
  if (own.length === 0) return true;
  const rules = own
    .flatMap((one) => one.rules)
    .filter(({ peers, ports: list }) => peers !== null || list !== null);
  const touching = rules.filter(
    (one) => peersMatch(one, request) && portsOf(one, request).length > 0,
  );
  if (touching.some(({ action }) => action === 'deny')) return false;
  if (!own.some(({ enableDefaultDeny }) => enableDefaultDeny.ingress)) return true;
  return touching.some((one) =>
    portsOf(one, request).some(
      (element) =>
        element === null ||
        element.l7.kind !== 'http' ||
        element.l7.rules.some(({ origin }) => origin.rule === request.method),
    ),
  );
}

/** Elements of toPorts that cover the port; [null] when there is no toPorts. */
function portsOf(one: DirectionRule, { port }: Request): readonly (PortsRule | null)[] {
  if (one.ports === null) return [null];
  return one.ports.filter((element) =>
    (element.ports ?? []).some(
      (range) => range.port === 0 || (range.port <= port && port <= range.endPort),
    ),
  );
}

function peersMatch({ peers }: DirectionRule, request: Request): boolean {
  return peers === null || peers.some((peer) => peerMatches(peer, request));
}

function peerMatches(peer: Peer, { remoteIp }: Request): boolean {
  const endpoint = [API, WEB, JOB].find(({ ips }) => ips.some(({ text }) => text === remoteIp));
  switch (peer.kind) {
    case 'selector':
      return (
        endpoint !== undefined && selectorMatches(peer.selector, new LabelSet(endpoint.labels))
      );
    case 'entity':
      return peer.entity === 'all' || (peer.entity === 'world' && endpoint === undefined);
    case 'cidr': {
      const address = prefixOf(remoteIp);
      const isIn = (prefix: IpPrefix): boolean => prefixContains(prefix, address);
      return endpoint === undefined && isIn(peer.prefix) && !peer.except.some(isIn);
    }
    default:
      throw new Error(`the oracle knows no ${peer.kind}`);
  }
}

function isInside(outer: string, inner: string): boolean {
  return prefixContains(prefixOf(outer), prefixOf(inner));
}
