/** Which connections are to a Service, and whom policy is asked about in place of its address. */
import { describe, expect, it } from 'vitest';
import type { IpText } from '../../../src/model/address.ts';
import type { ConnectionMeta } from '../../../src/model/connection_meta.ts';
import type { Identity, Port, ProxyId } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import {
  BEHIND_ASKED_MAX,
  type FrontendKind,
  type JudgedFrontend,
} from '../../../src/model/service_frontend.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { ServiceTable } from '../../../src/policy/identity/service_table.ts';
import { PolicySubject } from '../../../src/proxy/judge/policy_subject.ts';
import { IdentityScope } from '../../../src/proxy/plane/identity_scope.ts';
import type { IdentityOption, ListenerOptions } from '../../../src/proxy/plane/options.ts';
import { resolveMeta } from '../../../src/proxy/resolve/resolve.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { BundleStore } from '../../support/bundle_store.ts';
import { address } from '../../support/plane_rig.ts';

const [CLIENT, WEB, HOST, OTHER_NODE] = ['10.0.0.1', '10.0.0.7', '10.9.0.1', '10.9.0.2'];
const [WEB_ID, HOST_ID, OTHER_NODE_ID, WORLD] = [1001, 1, 6, 2];
const ENDPOINTS = `
endpoints:
  - { name: default/client, ip: ${CLIENT}, labels: { app: client } }
  - { name: default/web, ip: ${WEB}, labels: { app: web }, identity: ${WEB_ID} }
  - { name: default/other, ip: 10.0.0.8, labels: { app: other }, identity: 1002 }
cidrs:
  - { cidr: ${HOST}/32, identity: ${HOST_ID} }
  - { cidr: ${OTHER_NODE}/32, identity: ${OTHER_NODE_ID} }
`;
const SOURCES: IdentityOption = { kind: 'sources', sources: ['endpoints'] };
const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: client } }
  egress: [{ toEndpoints: [{ matchLabels: { app: web } }] }]
`;

const snapshot = policySnapshot();

describe('whom policy is asked about', () => {
  it.each<[string, Scene, readonly (readonly [number, number])[] | null]>([
    ['an address of nobody', { to: '10.96.0.2:80' }, null],
    ['another port', { to: '10.96.0.1:81' }, null],
    ['another protocol', { to: '10.96.0.1:80', transport: 'UDP' }, null],
    ['a ClusterIP', { to: '10.96.0.1:80' }, [[WEB_ID, 8080]]],
    ['a load balancer', { to: '203.0.113.7:80', kind: 'LoadBalancer' }, [[WEB_ID, 8080]]],
    [
      'one at a pod',
      { to: '10.0.0.8:80', kind: 'LoadBalancer' },
      [
        [WEB_ID, 8080],
        [1002, 80],
      ],
    ],
    [
      'an external address',
      { to: '203.0.113.7:80', kind: 'ExternalIP' },
      [
        [WEB_ID, 8080],
        [WORLD, 80],
      ],
    ],
    ['one with nobody behind it', { to: '203.0.113.7:80', kind: 'ExternalIP', behind: [] }, []],
    ['a NodePort here', { to: `${HOST}:80`, kind: 'NodePort' }, [[WEB_ID, 8080]]],
    [
      'a NodePort there',
      { to: `${OTHER_NODE}:80`, kind: 'NodePort' },
      [
        [WEB_ID, 8080],
        [OTHER_NODE_ID, 80],
      ],
    ],
    ['its number at a pod', { to: `${WEB}:80`, kind: 'NodePort' }, null],
    ['its number in the world', { to: '203.0.113.7:80', kind: 'NodePort' }, null],
    ['a ClusterIP, as a receiver', { to: '10.96.0.1:80', direction: 'ingress' }, null],
    ['one, by a fixed identity', { to: '10.96.0.1:80', identity: fixed(77) }, [[77, 8080]]],
    ['twice the same', { to: '10.96.0.1:80', behind: [`${WEB}:1`, `${WEB}:1`] }, [[WEB_ID, 1]]],
    [
      'several',
      { to: '10.96.0.1:80', behind: [`${WEB}:1`, '192.0.2.1:1'] },
      [
        [WEB_ID, 1],
        [WORLD, 1],
      ],
    ],
  ])('%s', (_, scene, behind) => {
    const { dialled } = subjectOf(scene).meta;
    const asked = dialled?.behind.map(({ identity, port }) => [identity, port]) ?? null;
    expect(asked).toEqual(behind);
  });
});

it('nobody is asked about more than so many: it is refused, whoever they are', () => {
  const behind = (count: number) => Array.from({ length: count }, (_, at) => `${WEB}:${at + 1}`);
  const reasonOf = (count: number) =>
    subjectOf({ to: '10.96.0.1:80', behind: behind(count) }).judgeConnection().reason;
  expect([BEHIND_ASKED_MAX, BEHIND_ASKED_MAX + 1, 0].map(reasonOf)).toEqual([
    null,
    'service-backends-many',
    'service-without-backend',
  ]);
});

it('a connection is judged again when its Service, or who is behind it, has changed', () => {
  const { meta } = subjectOf({ to: '10.96.0.1:80' });
  const plain = subjectOf({ to: '10.96.0.2:80' }).meta;
  const atNode = subjectOf({ to: `${HOST}:30080` }).meta;
  const concerned = (scope: IdentityScope): readonly boolean[] =>
    [meta, plain, atNode].map((one: ConnectionMeta) => scope.concerns(one));
  const services = (come: readonly JudgedFrontend[], isWhole = false): IdentityScope => {
    const scope = new IdentityScope();
    scope.addServices({ sequence: 2, isWhole, gone: [], come });
    return scope;
  };
  expect(concerned(services([frontendOf({ to: '10.96.0.1:443' })]))).toEqual([true, false, false]);
  expect(concerned(services([frontendOf({ to: '10.96.0.2:80' })]))).toEqual([false, true, false]);
  const nodePort = frontendOf({ to: `${HOST}:30080`, kind: 'NodePort' });
  expect(concerned(services([nodePort]))).toEqual([false, false, true]);
  expect(concerned(services([], true))).toEqual([true, true, true]);
  const moved = new IdentityScope();
  const ips = [WEB as string];
  moved.add({ sequence: 2, deltas: [{ kind: 'remove-endpoint', name: 'default/web', ips }] });
  expect(concerned(moved)).toEqual([true, false, false]);
});

interface Scene {
  readonly to: string;
  readonly kind?: FrontendKind;
  readonly transport?: 'TCP' | 'UDP';
  readonly direction?: 'ingress' | 'egress';
  readonly identity?: IdentityOption;
  /** Of the frontend that is there: `to`, or 10.96.0.1:80 as a ClusterIP. */
  readonly behind?: readonly string[];
}

function subjectOf(scene: Scene): PolicySubject {
  const { to, kind, transport = 'TCP', direction = 'egress', identity = SOURCES } = scene;
  const dialled = frontendOf({ ...scene, to: kind === undefined ? '10.96.0.1:80' : to });
  const services = ServiceTable.EMPTY.after({
    ...{ sequence: 1, isWhole: true, gone: [] },
    come: [dialled],
  });
  const known = snapshot.withServices(services);
  const options: ListenerOptions = { ...LISTENER, direction, identity };
  const ends = { source: address(`${CLIENT}:40000`), destination: address(to), record: null };
  const meta = resolveMeta(1, ends, { options, snapshot: known, cilium: null }, transport);
  return new PolicySubject(meta, { currentSnapshot: () => known, identity, cilium: null });
}

function frontendOf({ to, kind = 'ClusterIP', behind = [`${WEB}:8080`] }: Scene): JudgedFrontend {
  const { ip, port, family } = address(to);
  return {
    ...{ service: 'default/web', kind, protocol: 'TCP', family, port: port as Port },
    ip: kind === 'NodePort' ? null : (ip as IpText),
    backends: behind.map(address),
  };
}

const LISTENER: ListenerOptions = {
  name: 'a',
  address: address('127.0.0.1:0'),
  direction: 'egress',
  isTransparent: false,
  clientAddress: 'endpoints',
  proxyId: 0 as ProxyId,
  destination: { kind: 'local-address' },
  upstream: { kind: 'original-destination' },
  identity: SOURCES,
  isPortShared: false,
};

function fixed(identity: number): IdentityOption {
  return { kind: 'fixed', identity: identity as Identity };
}

function policySnapshot(): PolicySnapshot {
  const limits = DEFAULT_LIMITS;
  const store = new BundleStore({ regexEngine: createRe2Engine(limits), limits });
  const result = store.updateBundle({
    policies: [{ path: 'p', text: POLICY }],
    endpoints: { path: 'e', text: ENDPOINTS },
    secrets: null,
  });
  if (result.kind === 'rejected') throw new Error(JSON.stringify(result.problems));
  return store.current();
}
