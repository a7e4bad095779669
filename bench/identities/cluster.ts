/** A cluster for the bench: so many addresses over so many identities, under a thousand policies. */

import type { PolicyInput } from '../../src/control/set/policy_input.ts';
import { decodeBundle } from '../../src/control/source/files/decode_bundle.ts';
import { type IpPrefix, parseIp } from '../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { EMPTY_INVENTORY, type InventoryEndpoint } from '../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';

export const POLICY_COUNT = 1000;
export const WORKLOAD = { ip: '10.250.0.1', port: 8080, interface: 'lxc_bench' } as const;

/** Of the apps 0 to `POLICY_COUNT` - 1 each has a policy. */
export function labelsOf(app: string): readonly string[] {
  return [
    `k8s:app=${app}`,
    'k8s:io.cilium.k8s.policy.cluster=default',
    'k8s:io.kubernetes.pod.namespace=default',
  ];
}

export function inputOf(addressCount: number, identityCount: number): PolicyInput {
  const regexEngine = createRe2Engine(DEFAULT_LIMITS);
  const bundle = {
    policies: [{ path: 'bench', text: policies() }],
    endpoints: null,
    secrets: null,
  };
  const decoded = decodeBundle(bundle, {
    limits: DEFAULT_LIMITS,
    hasNodeLabels: false,
    regexEngine,
  });
  if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems[0]));
  const endpoints = Array.from({ length: addressCount }, (_, i) =>
    endpoint(`pod-${i}`, { ip: addressOf(i), app: `app-${i % identityCount}` }),
  );
  const workload = endpoint('workload', { ip: WORKLOAD.ip, app: 'app-0' });
  const inventory = {
    ...EMPTY_INVENTORY,
    endpoints: [{ ...workload, interface: WORKLOAD.interface }, ...endpoints],
  };
  return { ...decoded.input, inventory };
}

export function addressOf(index: number): string {
  return `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
}

export function prefixOf(ip: string): IpPrefix {
  const address = parseIp(ip);
  if (address === null) throw new Error(ip);
  return { address, length: 32, text: `${ip}/32` };
}

function endpoint(
  name: string,
  { ip, app }: { readonly ip: string; readonly app: string },
): InventoryEndpoint {
  return {
    name: `default/${name}`,
    ips: [prefixOf(ip).address],
    labels: labelsOf(app),
    identity: null,
    endpointId: 0,
    namedPorts: [],
    isLocal: true,
    interface: null,
    podUid: null,
  };
}

/** Each names the next app, every tenth all that have a label; of the first everybody may ask the workload. */
function policies(): string {
  return Array.from({ length: POLICY_COUNT }, (_, i) => {
    const peer =
      i % 10 === 9
        ? '{ matchExpressions: [{ key: app, operator: Exists }] }'
        : `{ matchLabels: { app: app-${i + 1} } }`;
    return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p${i}, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: app-${i} } }
  ingress:
    - fromEndpoints: [${peer}]
      toPorts:
        - ports: [{ port: "${WORKLOAD.port}", protocol: TCP }]
          rules: { http: [{ method: GET, path: "/a/[0-9]+" }, { path: "/p${i}/.*" }] }
${i === 0 ? `    - fromEntities: [world]\n      toPorts: [{ ports: [{ port: "${WORKLOAD.port}", protocol: TCP }], rules: { http: [{ method: GET }] } }]\n` : ''}`;
  }).join('---\n');
}
