/** What is taken here and the API server refuses: each validation of Cilium's CRD, by an input that only it refuses. */
import { describe, expect, it } from 'vitest';
import { decodePolicyFile } from '../../../src/control/decode/policy_file.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';

const REFUSED = 'the API server refuses this (CRD of Cilium 1.19): ';
const http = (rule: string) =>
  `toPorts: [{ ports: [{ port: "80", protocol: TCP }], rules: ${rule} }]`;

describe('the API server refuses, and it is told', () => {
  it.each([
    [
      'ports: [{ port: "80", protocol: tcp }]',
      'protocol',
      'must be one of TCP, UDP, SCTP, VRRP, IGMP, ANY (found "tcp")',
    ],
    ['ports: [{ port: "80", protocol: "" }]', 'protocol', 'must be one of TCP'],
    ['ports: [{ port: "0", protocol: GRE }]', 'protocol', 'must be one of TCP'],
    [
      'ports: [{ port: "80" }], rules: {}',
      'rules',
      'exactly one of http, kafka, dns, l7proto must be given (found none)',
    ],
    ['ports: [{ port: "80" }], rules: { http: , dns: ~ }', 'rules', 'exactly one of'],
    ['ports: [{ port: "80" }], rules: { http: [], dns: [] }', 'rules', '(found http and dns)'],
    ['ports: [{ port: "80", protocol: TCP }], rules: { HTTP: [{}] }', 'rules', '(found none)'],
    ['ports: [{ port: "80" }], serverNames: []', 'serverNames', 'must have at least 1 item'],
    ['ports: [{ port: "443" }], serverNames: [a.test, a.test]', 'serverNames[1]', 'is there twice'],
    ['ports: [{ port: "443" }], serverNames: ["a.*.test"]', 'serverNames[0]', 'is not allowed'],
    ['ports: [{ port: 1_000 }]', 'ports[0].port', 'kubectl reads 1_000 without quotes as a number'],
    [
      'ports: [{ port: "80", protocol: TCP }], rules: { http: [{ headerMatches: [{ name: X, value: v, mismatch: "" }] }] }',
      'mismatch',
      'must be one of LOG, ADD, DELETE, REPLACE (found "")',
    ],
    [
      'ports: [{ port: "80", protocol: TCP }], rules: { http: [{ method: y }] }',
      'method',
      'kubectl reads y without quotes as true; write it in quotes: "y"',
    ],
  ])('of toPorts: %s', (element, field, told) => {
    check(`{ endpointSelector: {}, egress: [{ toPorts: [{ ${element} }] }] }`, field, told);
  });

  it.each([
    [
      'toFQDNs: [{ matchName: "", matchPattern: "*.a.test" }]',
      'toFQDNs[0]',
      'exactly one of matchName, matchPattern',
    ],
    ['toFQDNs: [{ matchName: a..test }]', 'matchName', 'is not allowed'],
    ['toFQDNs: [{ matchPattern: ".a.test" }]', 'matchPattern', 'is not allowed'],
    [
      'toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: { dns: [{ matchName: a.test, matchPattern: "*" }] } }]',
      'dns[0]',
      '(found matchName and matchPattern)',
    ],
    [
      'toPorts: [{ ports: [{ port: "53", protocol: UDP }], rules: { dns: [{}] } }]',
      'dns[0]',
      '(found none)',
    ],
    ['toEntities: [world-ipv4]', 'toEntities[0]', 'must be one of all, world, cluster'],
    ['toEntities: [cluster-mesh]', 'toEntities[0]', 'must be one of all'],
    [
      'toCIDR: [10.0.0.1]',
      'toCIDR[0]',
      'is not allowed (found "10.0.0.1"; allowed: an address and a length',
    ],
    [
      'toCIDRSet: [{ cidr: 10.0.0.0/8, cidrGroupRef: "" }]',
      'toCIDRSet[0]',
      'exactly one of cidr, cidrGroupRef',
    ],
    ['toCIDRSet: [{ cidrGroupRef: Upper }]', 'cidrGroupRef', 'the name of an object'],
    ['icmps: [{ fields: [{ type: ExtendedEchoReply }] }]', 'type', 'a number or a name of the CRD'],
  ])('of egress: %s', (element, field, told) => {
    check(`{ endpointSelector: {}, egress: [{ ${element} }] }`, field, told);
  });

  it.each([
    [
      'matchExpressions: [{ key: a, operator: Gt, values: ["1"] }]',
      'operator',
      'must be one of In, NotIn, Exists, DoesNotExist (found "Gt")',
    ],
    ['matchExpressions: [{ key: a, operator: Lt, values: ["1"] }]', 'operator', 'must be one of'],
    ['matchLabels: { app: y }', 'matchLabels.app', 'kubectl reads y without quotes as true'],
    ['matchLabels: { app: N }', 'matchLabels.app', 'as false'],
    ['matchLabels: { app: 1_0 }', 'matchLabels.app', 'as a number'],
    ['matchLabels: { y: a }', 'matchLabels.y', 'kubectl reads the key y without quotes as true'],
  ])('of any selector: %s', (selector, field, told) => {
    for (const spec of [
      `{ endpointSelector: { ${selector} }, ingress: [{}] }`,
      `{ endpointSelector: {}, ingress: [{ fromEndpoints: [{ ${selector} }] }] }`,
      `{ endpointSelector: {}, ingressDeny: [{ fromEndpoints: [{ ${selector} }] }] }`,
      `{ endpointSelector: {}, egress: [{ toEndpoints: [{ ${selector} }] }] }`,
      `{ endpointSelector: {}, egressDeny: [{ toCIDRSet: [{ cidrGroupSelector: { ${selector} } }] }] }`,
      `{ endpointSelector: {}, egress: [{ toServices: [{ k8sServiceSelector: { selector: { ${selector} } } }] }] }`,
    ]) {
      check(spec, field, told);
    }
  });

  it.each([
    ['{ endpointSelector: {}, ingress: [{}], labels: [a] }', 'labels[0]', 'must be an object'],
    [
      '{ endpointSelector: {}, ingress: [{}], labels: [{ value: a }] }',
      'labels[0]',
      'key is required',
    ],
    ['{ endpointSelector: {}, ingress: [{}], description: n }', 'description', 'as false'],
  ])('of the spec: %s', (spec, field, told) => {
    check(spec, field, told);
  });

  it.each(['5', 'yes', 'y', '1_000'])('not of a text that !!str says to be one: %s', (text) => {
    const labels = `{ app: !!str ${text} }`;
    const spec = `{ endpointSelector: { matchLabels: ${labels} }, ingress: [{}] }`;
    const head = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\n';
    expect(toldOf(`${head}spec: ${spec}\n`)).toEqual([]);
  });

  it.each([
    'matchLabels: { "yes": a }',
    'matchExpressions: [{ key: "yes", operator: In, values: [a] }]',
    'matchExpressions: [{ key: !!str on, operator: Exists }]',
    'matchLabels: { !!str off: a }',
  ])('not of a key in quotes that would be a boolean without them: %s', (selector) => {
    const head = 'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\n';
    const spec = `{ endpointSelector: { ${selector} }, ingress: [{}] }`;
    expect(toldOf(`${head}spec: ${spec}\n`)).toEqual([]);
  });

  it('in specs and of a clusterwide policy, too', () => {
    const spec = '{ endpointSelector: {}, ingress: [{ fromEntities: [world-ipv6] }] }';
    for (const kind of ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy']) {
      const text = `apiVersion: cilium.io/v2\nkind: ${kind}\nmetadata: { name: p }\nspecs: [${spec}]\n`;
      expect(toldOf(text)).toEqual([
        expect.stringContaining('specs[0].ingress[0].fromEntities[0]'),
      ]);
    }
  });

  it('of a CIDR group', () => {
    const text =
      'apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: { name: g }\nspec: { externalCIDRs: [10.0.0.1, 10.0.0.0/8] }\n';
    expect(toldOf(text)).toEqual([expect.stringContaining('externalCIDRs[0]')]);
  });
});

describe('nothing is told', () => {
  it.each([
    '{ endpointSelector: { matchLabels: { app: , "y": "y", "k8s:io.kubernetes.pod.namespace": a } }, ingress: [{}] }',
    `{ endpointSelector: {}, ingress: [{ ${http('{ http: [{ path: "/a.*", host: "a[.]b", headerMatches: [{ name: X, mismatch: LOG }] }] }')} }] }`,
    `{ endpointSelector: {}, ingress: [{ ${http('{ http: [] }')} }] }`,
    '{ endpointSelector: {}, egress: [{ toFQDNs: [{ matchName: a.test. }, { matchPattern: "**.a.test" }, { matchPattern: "*" }] }] }',
    '{ endpointSelector: {}, egress: [{ toPorts: [{ ports: [{ port: http-alt }, { port: "0" }], serverNames: ["*.a.test", "**.b"] }] }] }',
    '{ endpointSelector: {}, egress: [{ toCIDRSet: [{ cidr: 10.0.0.0/8, cidrGroupRef: , except: [10.1.0.0/16] }], icmps: [] }] }',
    '{ endpointSelector: {}, egress: [{ icmps: [{ fields: [{ type: 8 }, { type: EchoRequest, family: IPv6 }, { type: "0", family: }] }] }] }',
    '{ nodeSelector: { matchExpressions: [{ key: a, operator: Exists }] }, ingress: [{ fromEntities: [all, kube-apiserver], fromRequires: [] }], log: { value: x }, labels: [{ key: a }] }',
    '{ endpointSelector: {}, enableDefaultDeny: { egress: false }, egress: [{ toServices: [{ k8sService: {} }], authentication: { mode: disabled } }] }',
  ])('of %s', (spec) => {
    const text = `apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: { name: p }\nspec: ${spec}\n`;
    expect(toldOf(text)).toEqual([]);
  });

  it('by who only runs policies', () => {
    const text =
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\nspec: { endpointSelector: {}, ingress: [{ fromEntities: [world-ipv4] }] }\n';
    const decoded = decodePolicyFile({ path: 'p', text }, { limits: DEFAULT_LIMITS });
    expect([decoded.problems, decoded.warnings]).toEqual([[], []]);
  });
});

it('aliases that are read for it do not count again', () => {
  const aliases = ', *a'.repeat(DEFAULT_LIMITS.yamlAliasCountMax);
  const text = `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\nspec: { endpointSelector: {}, ingress: [&a { fromEntities: [world] }${aliases}] }\n`;
  expect(toldOf(text)).toEqual([]);
});

/** `field`: how its path ends. */
function check(spec: string, field: string, told: string): void {
  const text = `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p }\nspec: ${spec}\n`;
  const lines = toldOf(text);
  // What is empty may be too short, too.
  const line = lines.find((one) => one.split(': ', 1)[0]?.endsWith(field));
  expect(line, `${lines.join('\n')}\nof ${text}`).toContain(told);
}

function toldOf(text: string): readonly string[] {
  const options = { limits: DEFAULT_LIMITS, hasNodeLabels: true, isApiServerChecked: true };
  const { problems, warnings } = decodePolicyFile({ path: 'p.yaml', text }, options);
  expect(problems).toEqual([]);
  return warnings
    .filter(({ id }) => id === 'api-server-refuses')
    .map(({ field, message }) => {
      expect(message.startsWith(REFUSED)).toBe(true);
      return `${field}: ${message.slice(REFUSED.length)}`;
    });
}
