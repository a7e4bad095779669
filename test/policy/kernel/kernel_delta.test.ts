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

const POLICY = policy('fromEndpoints: [{ matchLabels: { app: web } }]');

function policy(from: string): string {
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - ${from}
      toPorts: [{ ports: [{ port: web, protocol: TCP }] }]
`;
}

/** On this node. */
const API = pod('api', { ip: '10.0.0.1', port: 80, interface: 'lxc_a' });
const OTHER_API = pod('api-2', { ip: '10.0.0.2', port: 8080, interface: 'lxc_b' });
/** On another one. */
const FAR_API = pod('api-3', { ip: '10.0.0.3', port: 80, interface: null });
const WEB_IP = '10.0.0.4';
const WEB = far('web', WEB_IP);
const OTHER_WEB = far('web-2', '10.0.0.6');
const JOB = far('job', '10.0.0.5');
const OTHER_JOB_IP = '10.0.0.7';
const OTHER_JOB = far('job-2', OTHER_JOB_IP);
const ALL = [API, WEB, OTHER_WEB, JOB, OTHER_JOB];

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

  // Flows that pass in the kernel are asked again by another generation only.
  it.each<readonly [about: string, isLess: boolean, after: readonly string[]]>([
    ['one that is allowed comes', false, [...ALL, far('web-3', '10.0.0.8')]],
    ['one that is denied comes', false, [...ALL, far('job-3', '10.0.0.8')]],
    ['one that is denied goes', false, [API, WEB, OTHER_WEB, JOB]],
    [
      'one that is denied gets other labels',
      false,
      [API, WEB, OTHER_WEB, JOB, far('web-3', OTHER_JOB_IP)],
    ],
    [
      'one that is allowed is another one',
      false,
      [API, far('web-9', WEB_IP), OTHER_WEB, JOB, OTHER_JOB],
    ],
    ['one that is allowed goes', true, [API, OTHER_WEB, JOB, OTHER_JOB]],
    [
      'one that is allowed gets other labels',
      true,
      [API, far('web', WEB_IP, 'job'), OTHER_WEB, JOB, OTHER_JOB],
    ],
    ['one that is denied takes its address', true, [API, far('job-2', WEB_IP), OTHER_WEB, JOB]],
  ])('needs other tables when an address may do less: %s', (_about, isLess, after) => {
    expect(deltaOf(ALL, after) === null).toBe(isLess);
  });

  it("asks what the address could do before it was anybody's: as the world, or by a shorter prefix", () => {
    const world = policy('fromEntities: [world]');
    const cidrs = 'cidrs: [{ cidr: 192.0.2.7/32, labels: ["fqdn:a.test"] }]\n';
    const excepted = policy('fromCIDRSet: [{ cidr: 192.0.2.0/24, except: [192.0.2.0/25] }]');
    expect(deltaOf([API], [API], { cidrs, text: world })).not.toBeNull();
    expect(deltaOf([API], [API, far('x', '203.0.113.5', 'api')], { text: world })).toBeNull();
    expect(deltaOf([API], [API], { cidrs, text: excepted })).not.toBeNull();
  });
});

// The proxy is shown what may have a name: to a new prefix, too, whatever else rules say of it.
it('needs other tables for a new prefix where rules are about names', () => {
  const place = 'cidrs: [{ cidr: 192.0.2.7/32, labels: ["fqdn:a.test"] }';
  const cidrs = `${place}, { cidr: 192.0.2.8/32, labels: ["fqdn:b.test"] }]\n`;
  const earlier = `${place}]\n`;
  const named = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  egress:
    - toFQDNs: [{ matchName: a.test }]
      toPorts: [{ ports: [{ port: "443", protocol: TCP }] }]
`;
  expect(deltaOf([API], [API], { earlier, cidrs, text: named })).toBeNull();
  expect(
    deltaOf(ALL, [...ALL, far('job-3', '10.0.0.8')], { earlier, cidrs: earlier, text: named }),
  ).not.toBeNull();
});

function deltaOf(
  before: readonly string[],
  after: readonly string[],
  { earlier = '', cidrs = '', text: policyText = POLICY } = {},
): KernelDelta | null {
  const checker = new PolicyChecker({ regexEngine: ENGINE, limits: DEFAULT_LIMITS });
  const files = new DecodedFiles();
  const inputOf = (endpoints: readonly string[], more = '') => {
    const text = `endpoints:\n${endpoints.map((line) => `  - ${line}\n`).join('')}${more}`;
    const bundle = {
      policies: [{ path: 'p', text: policyText }],
      endpoints: { path: 'e', text },
      secrets: null,
    };
    const options = { limits: DEFAULT_LIMITS, hasNodeLabels: false, regexEngine: ENGINE };
    const decoded = decodeBundle(bundle, options, files);
    if (decoded.kind === 'rejected') throw new Error(JSON.stringify(decoded.problems));
    return decoded.input;
  };
  expect(checker.update(inputOf(before, earlier)).kind).toBe('accepted');
  const snapshot = checker.current();
  const moved = checker.move(inputOf(after, cidrs));
  if (moved === null || moved.batch === null) throw new Error('no batch');
  const table = kernelTable(snapshot, { isDnsAllowed: false });
  const change = { before: snapshot, after: checker.current(), batches: [moved.batch] };
  return kernelDelta(table, change);
}

function pod(
  name: string,
  own: {
    readonly ip: string;
    readonly port: number;
    readonly interface: string | null;
    readonly app?: string;
  },
): string {
  const place = own.interface === null ? '' : `, interface: ${own.interface}`;
  return `{ name: default/${name}, ip: ${own.ip}, labels: { app: ${own.app ?? 'api'} }, namedPorts: { web: ${own.port} }${place} }`;
}

/** On another node, with the labels of its name's first word if nothing else is said. */
function far(name: string, ip: string, app = name.replace(/-.*/, '')): string {
  return pod(name, { ip, port: 80, interface: null, app });
}
