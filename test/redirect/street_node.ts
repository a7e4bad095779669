/** A node in memory with two endpoints, one of which a policy selects, and an uplink. */
import { join } from 'node:path';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { FakeNode } from './fake_node.ts';

export const ENDPOINTS = `endpoints:
  - { name: shop/api, ip: 10.0.0.5, labels: { app: api }, interface: lxc_api }
  - { name: shop/web, ip: 10.0.0.6, labels: { app: web }, interface: lxc_web }
  - { name: shop/far, ip: 10.0.1.7, labels: { app: far } }
`;
export const policy = (port: number, l7 = '') => `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: api, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress: [{ toPorts: [{ ports: [{ port: "${port}", protocol: TCP }]${l7} }] }]
`;
const CONFIG = `policies: [policy.yaml]
endpoints: endpoints.yaml
redirect: { root: bpf/sallyport, uplinks: [eth0], interfaces: ["veth_*"], settleMs: 1 }
limits: { redirectGraceMs: 10, redirectPollIntervalMs: 100, redirectRetryMs: 100, reloadDelayMs: 1, reloadPollIntervalMs: 100 }
listeners: [{ name: a, address: "127.0.0.1:0", direction: ingress }]
`;

export function streetNode(): { readonly fake: FakeNode; readonly config: Config } {
  const fake = new FakeNode();
  fake.ip.links.set('eth0', { index: 2, ips: ['192.0.2.7'], isUp: true });
  fake.ip.links.set('lxc_api', { index: 10, ips: ['10.0.0.1'], isUp: true });
  fake.ip.links.set('lxc_web', { index: 11, ips: ['10.0.0.1'], isUp: true });
  fake.write('endpoints.yaml', ENDPOINTS);
  fake.write('policy.yaml', policy(80));
  fake.write('config.yaml', CONFIG);
  const path = join(fake.dir, 'config.yaml');
  const loaded = loadConfig({ path, flags: [], env: {}, cwd: fake.dir });
  if (loaded.kind === 'rejected') throw new Error(loaded.problems.join('\n'));
  return { fake, config: loaded.config };
}
