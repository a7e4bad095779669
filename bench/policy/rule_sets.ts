/**
 * Policy files with many rules, of the kinds that cost differently: told apart by a pattern or by a literal
 * path, patterns that share no beginning, and the same number spread over many endpoints. `edition` changes
 * every rule, so that nothing of the set before is of use.
 */
export const RULE_KINDS = ['patterns', 'literals', 'mixed', 'open patterns', 'endpoints'] as const;
export type RuleKind = (typeof RULE_KINDS)[number];

export interface RuleSet {
  readonly kind: RuleKind;
  readonly count: number;
  readonly edition: number;
}

/** Allowed by every edition. */
export const STEADY_PATH = '/steady';

const ENDPOINT_COUNT = 1000;

/** Allowed by one edition only: whoever is answered is judged by it. */
export function editionPath(edition: number): string {
  return `/edition/${edition}`;
}

export function policyText(set: RuleSet): string {
  const own = [
    rule(STEADY_PATH),
    rule(editionPath(set.edition)),
    ...(set.kind === 'endpoints' ? [] : numbers(set.count).map((i) => rule(pathOf(i, set)))),
  ];
  const documents = [document('api', own)];
  if (set.kind === 'endpoints') {
    const each = Math.ceil(set.count / ENDPOINT_COUNT);
    for (const e of numbers(Math.ceil(set.count / each))) {
      const rules = numbers(each).map((i) => rule(pathOf(e * each + i, set)));
      documents.push(document(`api-${e}`, rules));
    }
  }
  return documents.join('---\n');
}

/** Client, server, and a thousand more servers whose policies nobody asks. */
export function endpointsText(kind: RuleKind): string {
  const others = kind === 'endpoints' ? numbers(ENDPOINT_COUNT) : [];
  return [
    'endpoints:',
    '  - { name: default/api, ip: 127.0.20.1, labels: { app: api } }',
    '  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }',
    ...others.map(
      (e) =>
        `  - { name: default/api-${e}, ip: 10.1.${e >> 8}.${e & 255}, labels: { app: api-${e} } }`,
    ),
    '',
  ].join('\n');
}

/** A path that only the last rule of the endpoint that is asked allows. */
export function lastPath(set: RuleSet): string {
  if (set.kind === 'endpoints') return editionPath(set.edition);
  return pathOf(set.count - 1, set)
    .replace('.*', '/x')
    .replace('[0-9]+', '42');
}

function pathOf(i: number, { kind, edition }: RuleSet): string {
  switch (kind) {
    case 'literals':
      return `/service/${i}/items-${edition}`;
    case 'mixed':
      return i % 2 === 0
        ? `/service/${i}/items-${edition}`
        : `/service/${i}/items-${edition}/[0-9]+`;
    case 'open patterns':
      return `.*/service-${i}/items-${edition}/[0-9]+`;
    case 'patterns':
    case 'endpoints':
      return `/service/${i}/items-${edition}/[0-9]+`;
  }
}

function rule(path: string): string {
  return `              - { method: GET, path: "${path}" }\n`;
}

function document(app: string, rules: readonly string[]): string {
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${app}, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: ${app} } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules:
            http:
${rules.join('')}`;
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}
