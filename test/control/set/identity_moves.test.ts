/** Which inputs only say who else is who, and that they end where a store is that has seen nothing else. */
import { describe, expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { DecodedFiles } from '../../../src/control/source/files/decoded_files.ts';
import type { Port, ProxyId } from '../../../src/model/identity.ts';
import { IDENTITY_WORLD } from '../../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { decideConnection } from '../../../src/policy/decide/decide.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';

const ENGINE = createRe2Engine(DEFAULT_LIMITS);
const IPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '192.0.2.7'];

const POLICY = policy('fromEndpoints: [{ matchLabels: { app: web } }]');
const API = '{ name: default/api, ip: 10.0.0.1, labels: { app: api } }';
const WEB = '{ name: default/web, ip: 10.0.0.2, labels: { app: web } }';
const OTHER_WEB = '{ name: default/web-2, ip: 10.0.0.3, labels: { app: web } }';

const moves: readonly (readonly [about: string, endpoints: string])[] = [
  ['a pod comes', endpoints(API, WEB, OTHER_WEB)],
  ['a pod goes', endpoints(API)],
  ['a pod gets the address of another', endpoints(API, WEB.replace('10.0.0.2', '10.0.0.3'))],
  ['two change places', endpoints(API.replace('0.1', '0.2'), WEB.replace('0.2', '0.1'))],
  ['a pod gets the labels of another', endpoints(API, WEB.replace('app: web', 'app: api'))],
  [
    'a name resolves',
    `${endpoints(API, WEB)}cidrs: [{ cidr: 192.0.2.7/32, labels: ["fqdn:a.test"] }]\n`,
  ],
];

const wholes: readonly (readonly [about: string, files: Files])[] = [
  ['a rule changes', { policies: policy('fromEntities: [world]') }],
  [
    'a pod of labels that nobody had comes',
    { endpoints: endpoints(API, WEB, OTHER_WEB.replace('app: web', 'app: new')) },
  ],
  [
    'a port gets a name',
    { endpoints: endpoints(API, WEB.replace(/ }$/, ', namedPorts: { web: 80 } }')) },
  ],
];

describe('an input that only says who else is who', () => {
  it.each(moves)('%s', (_about, changed) => {
    const store = new Store();
    store.take({});
    const before = store.store.current().revision;
    expect(store.move({ endpoints: changed })).toBeGreaterThan(0);
    expect(store.store.current().revision).toBe(before);
    expect(verdictsOf(store.store.current())).toEqual(fresh({ endpoints: changed }));
    // The same again is nobody else; back again is what was.
    expect(store.move({ endpoints: changed })).toBe(0);
    expect(store.move({})).toBeGreaterThan(0);
    expect(verdictsOf(store.store.current())).toEqual(fresh({}));
  });

  it('is whole for those that start later', () => {
    const store = new Store();
    store.take({});
    store.move({ endpoints: endpoints(API, WEB, OTHER_WEB) });
    const resolved = store.store.resolved();
    expect(resolved?.enforced.policies.map(({ name }) => name).sort()).toEqual([
      'default/api',
      'default/web',
      'default/web-2',
    ]);
    expect(resolved?.roster.ipcache.lookup('10.0.0.3')).toBe(
      store.store.current().ipcache.lookup('10.0.0.2'),
    );
  });
});

describe('an input that is a set of its own', () => {
  it.each(wholes)('%s', (_about, files) => {
    const store = new Store();
    store.take({});
    expect(store.move(files)).toBeNull();
    store.take(files);
    expect(verdictsOf(store.store.current())).toEqual(fresh(files));
  });

  it('an identity loses the label by which a rule found the port that it has a name for', () => {
    const labels = [
      'reserved:host',
      'k8s:app=web',
      'k8s:io.kubernetes.pod.namespace=default',
      'k8s:io.cilium.k8s.policy.cluster=default',
    ];
    const host = `{ name: default/host, ip: 192.0.2.7, labels: ${JSON.stringify(labels)}, namedPorts: { web: 80 } }`;
    const labelled = endpoints(API, host);
    // The labels of a reserved identity are what all who have it share.
    const bare = `${labelled}identities: [{ id: 1, labels: ["reserved:host"] }]\n`;
    const store = new Store();
    store.take({ endpoints: labelled });
    expect(fresh({ endpoints: bare })).not.toEqual(verdictsOf(store.store.current()));
    expect(store.move({ endpoints: bare })).toBeNull();
    store.take({ endpoints: bare });
    expect(verdictsOf(store.store.current())).toEqual(fresh({ endpoints: bare }));
  });

  it.each([
    ['goes', endpoints(API, WEB)],
    ['goes to another address', endpoints(API, WEB, OTHER_WEB.replace('10.0.0.3', '192.0.2.7'))],
  ])('an endpoint whose name a policy in wire form has borrowed %s', (_about, changed) => {
    const wire = 'name: w\nendpoint_ips: ["10.0.0.3"]\nendpoint_id: 77\n';
    const ports = 'ingress_per_port_policies: [{ port: 80 }]\n';
    const policies = `${POLICY}---\n${wire}${ports}`;
    const store = new Store();
    store.take({ policies, endpoints: endpoints(API, WEB, OTHER_WEB) });
    expect(store.move({ policies, endpoints: changed })).toBeNull();
    store.take({ policies, endpoints: changed });
    expect(verdictsOf(store.store.current())).toEqual(fresh({ policies, endpoints: changed }));
    expect(store.store.current().endpoint('10.0.0.3').name).toBe('npds/77');
  });

  it('the first after another store has ended, numbered after what that one told', () => {
    const store = new Store();
    store.restore({}, 41);
    expect(store.move({ endpoints: endpoints(API) })).toBeNull();
    store.take({ endpoints: endpoints(API) });
    expect(store.store.resolved()?.roster.sequence).toBeGreaterThan(41);
  });
});

interface Files {
  readonly policies?: string;
  readonly endpoints?: string;
}

class Store {
  readonly store = new PolicyChecker({ regexEngine: ENGINE, limits: DEFAULT_LIMITS });
  readonly #files = new DecodedFiles();

  take(files: Files): void {
    const result = this.store.update(this.#input(files));
    if (result.kind === 'rejected') throw new Error(JSON.stringify(result.problems));
  }

  restore(files: Files, sequence: number): void {
    this.store.restore(this.#input(files), { revision: 7, sequence });
  }

  /** How many deltas; null: it is a set of its own. */
  move(files: Files): number | null {
    const moved = this.store.move(this.#input(files));
    return moved === null ? null : (moved.batch?.deltas.length ?? 0);
  }

  #input({ policies = POLICY, endpoints: own = endpoints(API, WEB) }: Files) {
    const bundle = {
      policies: [{ path: 'p', text: policies }],
      endpoints: { path: 'e', text: own },
      secrets: null,
    };
    const options = { limits: DEFAULT_LIMITS, hasNodeLabels: false, regexEngine: ENGINE };
    const decoded = decodeBundle(bundle, options, this.#files);
    if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
    return decoded.input;
  }
}

function fresh(files: Files): readonly string[] {
  const store = new Store();
  store.take(files);
  return verdictsOf(store.store.current());
}

function verdictsOf(snapshot: PolicySnapshot): readonly string[] {
  return IPS.flatMap((ip) =>
    (['ingress', 'egress'] as const).flatMap((direction) =>
      IPS.map((remoteIp) => {
        const remote = snapshot.ipcache.lookup(remoteIp) ?? IDENTITY_WORLD;
        const port = snapshot.endpoint(ip).port(direction, 'TCP', 80 as Port);
        const { verdict } = decideConnection(port.view(0 as ProxyId, remote), '');
        return `${ip} ${direction} ${remoteIp}: ${verdict}`;
      }),
    ),
  );
}

function policy(from: string): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - ${from}
  egress:
    - toFQDNs: [{ matchName: a.test }]
    - toEndpoints: [{ matchLabels: { app: web } }]
      toPorts: [{ ports: [{ port: web, protocol: TCP }] }]
`;
}

function endpoints(...lines: readonly string[]): string {
  return `endpoints:\n${lines.map((line) => `  - ${line}\n`).join('')}`;
}
