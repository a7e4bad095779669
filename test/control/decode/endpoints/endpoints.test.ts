import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEndpoints } from '../../../../src/control/decode/endpoints/endpoints.ts';
import { ENDPOINTS_SCHEMA } from '../../../../src/control/decode/endpoints/endpoints_schema.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import type { Inventory } from '../../../../src/policy/resolve/inventory.ts';
import { lineAndColumn } from '../../../support/file_place.ts';

const LIMITS = { ...DEFAULT_LIMITS, yamlAliasCountMax: 10 };

describe('an endpoints file', () => {
  it('is an inventory with complete labels', () => {
    const inventory = decoded(`
cluster: north
endpoints:
  - name: shop/api
    ips: [10.0.0.7, "2001:db8::7"]
    labels: { app: api, "cni:zone": z }
    identity: 1234
    endpointId: 7
    namedPorts: { HTTP: 8080, dns: { port: 53, protocol: UDP } }
    interface: lxc_api.7
    podUid: 0b0c4f4e-6f0e-4f0c-9d3a-2f6d1f0a7c11
    namespaceLabels: { team: a }
    serviceAccount: robot
identities: [{ id: 1300, labels: ["k8s:app=x"] }]
cidrs: [{ cidr: 203.0.113.0/24, identity: 16777300, labels: ["fqdn:api.example.com"] }]
services: [{ name: shop/db, ips: [192.0.2.1], endpoints: { matchLabels: { app: db } } }]
listeners: { front: 15 }
`);
    expect(inventory.endpoints[0]).toMatchObject({
      name: 'shop/api',
      identity: 1234,
      endpointId: 7,
      isLocal: true,
      interface: 'lxc_api.7',
      podUid: '0b0c4f4e-6f0e-4f0c-9d3a-2f6d1f0a7c11',
      labels: [
        'cni:zone=z',
        'k8s:app=api',
        'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop',
        'k8s:io.cilium.k8s.namespace.labels.team=a',
        'k8s:io.cilium.k8s.policy.cluster=north',
        'k8s:io.cilium.k8s.policy.serviceaccount=robot',
        'k8s:io.kubernetes.pod.namespace=shop',
      ],
      namedPorts: [
        { name: 'http', port: 8080, protocol: 'TCP' },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    });
    expect(inventory.endpoints[0]?.ips.map(({ text }) => text)).toEqual([
      '10.0.0.7',
      '2001:db8::7',
    ]);
    expect(inventory.identities).toEqual([{ identity: 1300, labels: ['k8s:app=x'] }]);
    expect(inventory.cidrs[0]).toMatchObject({
      identity: 16777300,
      labels: ['fqdn:api.example.com'],
    });
    expect(inventory.services[0]?.selector?.requirements).toHaveLength(2);
    expect(inventory.listeners.get('front')).toBe(15);
  });

  it.each(['', '# nothing yet\n', '{}'])('may be empty: %j', (text) => {
    expect(decoded(text).endpoints).toEqual([]);
  });

  it('may be JSON', () => {
    expect(decoded('{"endpoints":[{"name":"a/b","ip":"10.0.0.1"}]}').endpoints).toHaveLength(1);
  });

  it('leaves labels of hosts as they are', () => {
    const inventory = decoded(
      'endpoints: [{ name: n/a, ip: 10.0.0.1, labels: ["reserved:host"] }]',
    );
    expect(inventory.endpoints[0]?.labels).toEqual(['reserved:host']);
  });

  it('keeps labels that name namespace and cluster themselves', () => {
    const labels = '["k8s:io.kubernetes.pod.namespace=x", "k8s:io.cilium.k8s.policy.cluster=y"]';
    const inventory = decoded(`endpoints: [{ name: n/a, ip: 10.0.0.1, labels: ${labels} }]`);
    expect(inventory.endpoints[0]?.labels).toContain('k8s:io.kubernetes.pod.namespace=x');
    expect(inventory.endpoints[0]?.labels).not.toContain('k8s:io.kubernetes.pod.namespace=n');
  });
});

describe('a wrong endpoints file is rejected', () => {
  const cases: readonly [text: string, at: string, field: string, message: string][] = [
    ['endpoint: []', '1:11', 'endpoint', 'unknown field (allowed: cluster'],
    ['endpoints:\n  - nme: a/b', '2:10', 'endpoints[0].nme', 'unknown field'],
    ['endpoints:\n  - { ip: 10.0.0.1 }', '2:5', 'endpoints[0]', 'name is missing'],
    ['endpoints:\n  - { name: ab, ip: 10.0.0.1 }', '2:13', 'endpoints[0].name', '"namespace/name"'],
    ['endpoints: {}', '1:12', 'endpoints', 'must be a list (found a map)'],
    ['[]', '1:1', '', 'must be a map (found a list)'],
    ['endpoints:\n  - { name: a/b, ip: 10.0.0.256 }', '2:22', 'endpoints[0].ip', 'IP address'],
    [
      'endpoints:\n  - { name: a/b, ip: 10.0.0.1, ips: [10.0.0.2] }',
      '2:22',
      'endpoints[0].ip',
      'both',
    ],
    [
      'endpoints:\n  - { name: a/b, labels: { v: 1 } }',
      '2:31',
      'endpoints[0].labels.v',
      'put it in quotes',
    ],
    [
      'endpoints:\n  - { name: a/b, labels: ["nope:x=y"] }',
      '2:27',
      'endpoints[0].labels[0]',
      'must be a label',
    ],
    [
      'endpoints:\n  - { name: a/b, interface: sixteen-letters- }',
      '2:29',
      'endpoints[0].interface',
      'at most 15 characters',
    ],
    [
      'endpoints: [{ name: a/b, interface: lxc1 }, { name: a/c, interface: lxc1 }]',
      '1:69',
      'endpoints[1].interface',
      'lxc1 is also the interface of a/b',
    ],
    [
      'endpoints:\n  - { name: a/b, identity: -1 }',
      '2:28',
      'endpoints[0].identity',
      '1 to 4294967295',
    ],
    [
      'endpoints:\n  - { name: a/b, namedPorts: { http: 0 } }',
      '2:38',
      'endpoints[0].namedPorts.http',
      '1 to 65535',
    ],
    [
      'endpoints:\n  - { name: a/b }\n  - { name: a/b }',
      '3:13',
      'endpoints[1].name',
      'a/b is there twice',
    ],
    [
      'endpoints:\n  - { name: a/b, ip: 10.0.0.1 }\n  - { name: a/c, ip: "::ffff:10.0.0.1" }',
      '3:22',
      'endpoints[1].ip',
      '10.0.0.1 is also of a/b',
    ],
    [
      'endpoints:\n  - { name: a/b, endpointId: 3 }\n  - { name: a/c, endpointId: 3 }',
      '3:30',
      'endpoints[1].endpointId',
      'also of a/b',
    ],
    [
      'endpoints:\n  - { name: a/b, podUid: me }',
      '2:26',
      'endpoints[0].podUid',
      'must be the UID of a pod',
    ],
    [
      `endpoints:\n  - { name: a/b, podUid: ${UID} }\n  - { name: a/c, podUid: ${UID} }`,
      '3:26',
      'endpoints[1].podUid',
      'is also the UID of a/b',
    ],
    ['identities: [{ id: 5 }]', '1:14', 'identities[0]', 'labels is missing'],
    ['cidrs: [{ cidr: 10.0.0.1 }]', '1:17', 'cidrs[0].cidr', 'must be a prefix'],
    ['cidrs: [{ cidr: 10.0.0.1/24 }]', '1:17', 'cidrs[0].cidr', 'no bits set beyond it'],
    ['cidrs: [{ cidr: 10.0.0.0/24 }, { cidr: 10.0.0.0/24 }]', '1:40', 'cidrs[1].cidr', 'twice'],
    [
      'services: [{ name: a/b, ports: [{ port: 80 }] }]',
      '1:12',
      'services[0]',
      'clusterIPs is missing',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1] }]',
      '1:12',
      'services[0]',
      'ports is missing',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1, 10.96.0.2], ports: [{ port: 80 }] }]',
      '1:12',
      'services[0]',
      'one address of each family',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1], externalIPs: ["fd00::1"], ports: [{ port: 80 }] }]',
      '1:12',
      'services[0]',
      'fd00::1 needs an address of its family',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1], ports: [{ port: 80, targetPort: web }], ips: [10.0.0.1] }]',
      '1:82',
      'services[0].ports[0].targetPort',
      'must be a number',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1], ports: [{ port: 80 }, { port: 80 }] }]',
      '1:12',
      'services[0]',
      'TCP 10.96.0.1 80 is also of services[0]',
    ],
    [
      'services:\n  - { name: a/b, clusterIPs: [10.96.0.1], ports: [{ port: 80 }] }\n  - { name: a/c, clusterIPs: [10.96.0.1], ports: [{ port: 80 }] }',
      '3:5',
      'services[1]',
      'TCP 10.96.0.1 80 is also of services[0]',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1], ports: [{ port: 80 }], sessionAffinitySeconds: 0 }]',
      '1:97',
      'services[0].sessionAffinitySeconds',
      '1 to 86400',
    ],
    [
      'services: [{ name: a/b, clusterIPs: [10.96.0.1], ports: [{ port: 80 }], consistentHashing: "yes" }]',
      '1:92',
      'services[0].consistentHashing',
      'true or false',
    ],
    ['listeners: { front: 70000 }', '1:21', 'listeners.front', '1 to 65535'],
    ['cluster: [', '1:11', '', 'Flow sequence'],
    ['cluster: a\ncluster: b', '2:1', '', 'unique'],
    ['cluster: a\n---\ncluster: b', '2:1', '', 'multiple documents'],
  ];
  it.each(cases)('%j', (text, at, field, message) => {
    const result = decodeEndpoints({ path: 'endpoints.yaml', text }, LIMITS);
    const [problem] = result.kind === 'rejected' ? result.problems : [];
    expect(problem && lineAndColumn(problem.place)).toBe(at);
    expect(problem?.field).toBe(field);
    expect(problem?.message).toContain(message);
  });

  it('with all its problems', () => {
    const text = 'endpoints:\n  - { name: ab }\n  - { name: a/b, ip: x }\nfoo: 1';
    const result = decodeEndpoints({ path: 'endpoints.yaml', text }, LIMITS);
    expect(result.kind === 'rejected' ? result.problems.length : 0).toBe(3);
  });

  it('when aliases are too many', () => {
    const aliases = Array.from({ length: 12 }, (_, i) => `- { name: a/e${i}, labels: *l }`);
    const text = `endpoints:\n- { name: a/x, labels: &l { app: y } }\n${aliases.join('\n')}`;
    const result = decodeEndpoints({ path: 'endpoints.yaml', text }, LIMITS);
    expect(result.kind === 'rejected' ? result.problems[0]?.message : '').toContain(
      'yamlAliasCountMax',
    );
  });

  it('whatever it is, without an exception', () => {
    const keys = fc.constantFrom(
      'endpoints',
      'name',
      'ip',
      'ips',
      'labels',
      'cidrs',
      'cidr',
      'services',
      'ports',
      'port',
      'clusterIPs',
      'identities',
      'id',
      'listeners',
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        fc.string(),
        fc.integer(),
        fc.constant(null),
        fc.boolean(),
        tie('list'),
        tie('map'),
      ),
      list: fc.array(tie('value'), { maxLength: 3 }),
      map: fc.dictionary(keys, tie('value'), { maxKeys: 4 }),
    }));
    fc.assert(
      fc.property(value, (one) => {
        const result = decodeEndpoints({ path: 'x', text: JSON.stringify(one) }, LIMITS);
        expect(['ok', 'rejected']).toContain(result.kind);
      }),
    );
  });
});

const UID = '0b0c4f4e6f0e4f0c9d3a2f6d1f0a7c11';

describe('endpoints.schema.json', () => {
  it('is the schema of the code', () => {
    const path = fileURLToPath(new URL('../../../../endpoints.schema.json', import.meta.url));
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(ENDPOINTS_SCHEMA)),
    );
  });
});

function decoded(text: string): Inventory {
  const result = decodeEndpoints({ path: 'endpoints.yaml', text }, LIMITS);
  if (result.kind === 'rejected') throw new Error(JSON.stringify(result.problems));
  return result.inventory;
}
