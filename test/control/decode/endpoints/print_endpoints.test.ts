/** An inventory that is printed and decoded again is the same inventory. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { printEndpoints } from '../../../../src/control/decode/endpoints/print_endpoints.ts';
import type { Inventory } from '../../../../src/policy/resolve/inventory.ts';
import { inventoryOf } from '../../../support/inventory.ts';

const FIXTURES = join(import.meta.dirname, '../../../../fixtures/policy');

const EVERYTHING = `
cluster: east
endpoints:
  - { name: shop/api, ips: [10.0.0.1, "fd00::1"], labels: { app: api }, identity: 4000, endpointId: 7, interface: lxc1,
      namedPorts: { http: 80, DNS: { port: 53, protocol: UDP }, dns: 53, dNS: { port: 54, protocol: TCP } },
      namespaceLabels: { team: blue }, serviceAccount: robot }
  - { name: shop/bare }
  - { name: shop/init, labels: ["reserved:init"] }
identities:
  - { id: 5000, labels: ["k8s:app=far", "k8s:io.kubernetes.pod.namespace=other", "k8s:io.cilium.k8s.policy.cluster=west"] }
  - { id: 5001, labels: ["reserved:kube-apiserver"] }
cidrs:
  - { cidr: 203.0.113.0/24, labels: ["fqdn:api.example.com"] }
  - { cidr: 198.51.100.0/24, identity: 16777217 }
services:
  - { name: shop/api, labels: { app: api }, ips: [10.0.0.1] }
  - { name: shop/db, endpoints: { matchLabels: { app: db, "any:x": "" },
      matchExpressions: [{ key: tier, operator: NotIn, values: [a, b] }, { key: k8s:y, operator: Exists }, { key: z, operator: DoesNotExist }] } }
  - { name: shop/all, endpoints: {} }
  - { name: shop/web, clusterIPs: [10.96.0.1, "fd96::1"], externalIPs: [198.51.100.1], sessionAffinitySeconds: 60,
      consistentHashing: true, endpoints: {},
      ports: [{ name: http, port: 80, targetPort: web, nodePort: 30080 }, { port: 53, protocol: UDP, targetPort: 5353 }] }
listeners: { envoy: 12000 }
`;

describe('an inventory that is printed', () => {
  it('says everything that an endpoints file can', () => {
    expect(again(inventoryOf(EVERYTHING))).toEqual(inventoryOf(EVERYTHING));
  });

  const fixtures = readdirSync(FIXTURES).flatMap((name) => {
    const { endpoints } = parse(readFileSync(join(FIXTURES, name), 'utf8')) as {
      readonly endpoints?: unknown;
    };
    return typeof endpoints === 'object' && endpoints !== null ? [{ name, endpoints }] : [];
  });

  it('has fixtures to go by', () => {
    expect(fixtures.length).toBeGreaterThan(20);
  });

  it.each(fixtures)('is read as it was: $name', ({ endpoints }) => {
    const inventory = inventoryOf(JSON.stringify(endpoints));
    expect(again(inventory)).toEqual(inventory);
  });

  it('is no text when a file cannot say it', () => {
    const service = {
      namespace: 'a',
      name: 'b',
      labels: [],
      ips: [],
      selector: { requirements: [{ key: 'k8s:x', operator: 'gt', values: ['1'] } as const] },
      spec: null,
      slices: null,
    };
    const inventory = { ...inventoryOf(''), services: [service] };
    expect(() => printEndpoints(inventory)).toThrow('an endpoints file cannot say gt');
  });
});

function again(inventory: Inventory): Inventory {
  return inventoryOf(printEndpoints(inventory));
}
