/** Policies of a few shapes that meet each other: the same peers and ports, with and without L7 rules. */

export interface GeneratedSet {
  /** YAML, one document or more. */
  readonly text: string;
  /** "namespace/name" of each. */
  readonly names: readonly string[];
}

/** The same numbers for the same seed. */
export class PolicySeed {
  #state: number;

  constructor(seed: number) {
    this.#state = seed * 2654435761 + 1;
  }

  /** Whole, from 0 to below `count`. */
  below(count: number): number {
    this.#state = (Math.imul(this.#state, 1103515245) + 12345) & 0x7fffffff;
    return (this.#state >>> 8) % count;
  }

  oneOf<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)] as Value;
  }
}

const EGRESS_PEERS = [
  'toEndpoints: [{ matchLabels: { k8s-app: kube-dns, "k8s:io.kubernetes.pod.namespace": kube-system } }]',
  'toEndpoints: [{ matchLabels: { app: orders } }]',
  'toEndpoints: [{}]',
  'toEntities: [cluster]',
  'toEntities: [world]',
  'toEntities: [all]',
] as const;
const INGRESS_PEERS = [
  'fromEndpoints: [{ matchLabels: { app: web } }]',
  'fromEndpoints: [{}]',
  'fromEntities: [all]',
  'fromEntities: [world]',
] as const;
const DNS_RULES = [
  '{ matchName: good.test }',
  '{ matchPattern: "*.good.test" }',
  '{ matchPattern: "**.test" }',
  '{ matchPattern: "*" }',
  '{ matchPattern: "*.com" }',
  '{ matchPattern: "**" }',
  '{ matchPattern: "g*d.test" }',
] as const;
const HTTP_RULES = [
  '{ path: /public }',
  '{ path: "/public.*" }',
  '{ method: GET, path: "/v[0-9]+/.*" }',
  '{ method: POST }',
  '{ headers: ["X-A 1"] }',
  // The same to a request, and not to the agent.
  '{ headers: ["x-a: 1"] }',
  '{ headerMatches: [{ name: X-A, value: "1" }] }',
  '{}',
] as const;

export function generateSet(random: PolicySeed): GeneratedSet {
  const names: string[] = [];
  const documents: string[] = [];
  for (let i = 0; i <= random.below(3); i++) {
    names.push(`shop/p${i}`);
    const make = random.below(4) === 0 ? networkPolicyOf : documentOf;
    documents.push(make(`p${i}`, random));
  }
  return { text: documents.join('---\n'), names };
}

function documentOf(name: string, random: PolicySeed): string {
  const isEgress = random.below(3) > 0;
  const direction = isEgress ? 'egress' : 'ingress';
  const rules = severalOf(random, isEgress ? egressRule : ingressRule);
  const denies = random.below(3) === 0 ? severalOf(random, (one) => denyRule(one, isEgress)) : [];
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: ${isEgress ? 'web' : 'orders'} } }
  ${direction}:
${rules.join('')}${denies.length === 0 ? '' : `  ${direction}Deny:\n${denies.join('')}`}`;
}

const BLOCKS = ['{ ipBlock: { cidr: 0.0.0.0/0 } }', '{ ipBlock: { cidr: 192.0.2.0/24 } }'] as const;
const POD_PEERS = [
  '{ podSelector: { matchLabels: { app: orders } } }',
  '{ podSelector: {} }',
  '{ podSelector: { matchExpressions: [{ key: app, operator: NotIn, values: [web] }] } }',
  '{ namespaceSelector: {} }',
  '{ namespaceSelector: { matchExpressions: [{ key: team, operator: DoesNotExist }] } }',
  '{ namespaceSelector: {}, podSelector: { matchLabels: { k8s-app: kube-dns } } }',
] as const;
const POLICY_PORTS = [
  '{ port: 53, protocol: UDP }',
  '{ port: 80 }',
  '{ port: 79, endPort: 9000 }',
  '{ protocol: UDP }',
  '{}',
] as const;

/** NetworkPolicy of Kubernetes; the kind stands on a line of its own, by which the agent knows it. */
function networkPolicyOf(name: string, random: PolicySeed): string {
  const [direction, peer, subject] = random.oneOf([
    ['egress', 'to', 'web'],
    ['ingress', 'from', 'orders'],
  ]);
  const ruleOf = (): string => {
    const peers = [random.oneOf([...POD_PEERS, ...BLOCKS]), random.oneOf(POD_PEERS)];
    const ports = [random.oneOf(POLICY_PORTS), random.oneOf(POLICY_PORTS)];
    const parts = [`${peer}: [${peers.slice(random.below(3)).join(', ')}]`];
    if (random.below(3) > 0) parts.push(`ports: [${ports.slice(random.below(3)).join(', ')}]`);
    return `{ ${parts.join(', ')} }`;
  };
  const types = random.oneOf([
    '',
    '  policyTypes: [Ingress]\n',
    '  policyTypes: [Egress, Ingress]\n',
  ]);
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
  podSelector: { matchLabels: { app: ${subject} } }
${types}  ${direction}: [${severalOf(random, ruleOf).join(', ')}]
`;
}

function severalOf(random: PolicySeed, make: (random: PolicySeed) => string): readonly string[] {
  return Array.from({ length: 1 + random.below(4) }, () => make(random));
}

function denyRule(random: PolicySeed, isEgress: boolean): string {
  const peer = random.oneOf(isEgress ? EGRESS_PEERS : INGRESS_PEERS);
  return `  - ${peer}\n${portsOf(random, ['none', 'exact', 'exact', 'range', 'wildcard'])}`;
}

function egressRule(random: PolicySeed): string {
  const peer = `  - ${random.oneOf(EGRESS_PEERS)}\n`;
  return peer + portsOf(random, ['none', 'dns', 'dns', 'http', 'exact', 'range', 'wildcard']);
}

function ingressRule(random: PolicySeed): string {
  return `  - ${random.oneOf(INGRESS_PEERS)}\n${portsOf(random, ['none', 'http', 'http', 'exact', 'range', 'wildcard'])}`;
}

/** Often with a rule twice: the agent compares lists with one in a way of its own. */
function listOf(random: PolicySeed, rules: readonly string[]): string {
  const first = random.oneOf(rules);
  const others = Array.from({ length: random.below(3) }, () =>
    random.oneOf([first, random.oneOf(rules)]),
  );
  return [first, ...others].join(', ');
}

function portsOf(random: PolicySeed, kinds: readonly string[]): string {
  switch (random.oneOf(kinds)) {
    case 'dns': {
      const protocol = random.oneOf(['UDP', 'ANY']);
      const rules = listOf(random, DNS_RULES);
      return `    toPorts: [{ ports: [{ port: "53", protocol: ${protocol} }], rules: { dns: [${rules}] } }]\n`;
    }
    case 'http': {
      const rules = listOf(random, HTTP_RULES);
      const port = random.oneOf(['80', '8080']);
      return `    toPorts: [{ ports: [{ port: "${port}", protocol: TCP }], rules: { http: [${rules}] } }]\n`;
    }
    case 'exact':
      return `    toPorts: [{ ports: [{ port: "${random.oneOf(['53', '80', '8080'])}", protocol: ${random.oneOf(['UDP', 'TCP', 'ANY'])} }] }]\n`;
    case 'range': {
      const [first, last] = random.oneOf([
        [50, 60],
        [53, 54],
        [79, 9000],
        [1, 65535],
      ]);
      return `    toPorts: [{ ports: [{ port: "${first}", endPort: ${last}, protocol: ${random.oneOf(['UDP', 'TCP', 'ANY'])} }] }]\n`;
    }
    case 'wildcard':
      return `    toPorts: [{ ports: [{ port: "0", protocol: ${random.oneOf(['UDP', 'ANY'])} }] }]\n`;
    default:
      return '';
  }
}
