/** What a set that only says who else is who may change of a kernel's tables, and what needs other tables. */
import { describe, expect, it } from 'vitest';
import { PolicyChecker } from '../../../src/control/set/policy_checker.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import { DecodedFiles } from '../../../src/control/source/files/decoded_files.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { type KernelDelta, kernelDelta } from '../../../src/policy/kernel/kernel_delta.ts';
import { kernelTable } from '../../../src/policy/kernel/kernel_table.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';

const ENGINE = createRe2Engine(DEFAULT_LIMITS);

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: web } }]
      toPorts: [{ ports: [{ port: web, protocol: TCP }] }]
`;

/** On this node. */
const API = pod('api', { ip: '10.0.0.1', port: 80, interface: 'lxc_a' });
const OTHER_API = pod('api-2', { ip: '10.0.0.2', port: 8080, interface: 'lxc_b' });
/** On another one. */
const FAR_API = pod('api-3', { ip: '10.0.0.3', port: 80, interface: null });

describe('a set that only says who else is who', () => {
  it('needs no other tables when the endpoint is on another node', () => {
    const moved = deltaOf([API, OTHER_API, FAR_API], [API, OTHER_API]);
    expect(moved).not.toBeNull();
  });

  it('needs other tables when ports of an endpoint of this node have other names', () => {
    // Another endpoint has these names already, so its policy is known.
    const renamed = pod('api', { ip: '10.0.0.1', port: 8080, interface: 'lxc_a' });
    expect(deltaOf([API, OTHER_API], [renamed, OTHER_API])).toBeNull();
  });
});

function deltaOf(before: readonly string[], after: readonly string[]): KernelDelta | null {
  const checker = new PolicyChecker({ regexEngine: ENGINE, limits: DEFAULT_LIMITS });
  const files = new DecodedFiles();
  const inputOf = (endpoints: readonly string[]) => {
    const text = `endpoints:\n${endpoints.map((line) => `  - ${line}\n`).join('')}`;
    const bundle = {
      policies: [{ path: 'p', text: POLICY }],
      endpoints: { path: 'e', text },
      secrets: null,
    };
    const options = { limits: DEFAULT_LIMITS, hasNodeLabels: false, regexEngine: ENGINE };
    const decoded = decodeBundle(bundle, options, files);
    if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
    return decoded.input;
  };
  expect(checker.update(inputOf(before)).kind).toBe('accepted');
  const snapshot = checker.current();
  const moved = checker.move(inputOf(after));
  if (moved === null || moved.batch === null) throw new Error('no batch');
  const table = kernelTable(snapshot, { isDnsAllowed: false });
  const change = { before: snapshot, after: checker.current(), batches: [moved.batch] };
  return kernelDelta(table, change);
}

function pod(
  name: string,
  own: { readonly ip: string; readonly port: number; readonly interface: string | null },
): string {
  const place = own.interface === null ? '' : `, interface: ${own.interface}`;
  return `{ name: default/${name}, ip: ${own.ip}, labels: { app: api }, namedPorts: { web: ${own.port} }${place} }`;
}
