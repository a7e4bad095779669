/** Files: what documents are in them, where things stand, and YAML and JSON themselves. */

import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/control/decode/problem.ts';
import { filePlace } from '../../support/file_place.ts';
import { cnp, decodeText, http, problemsOf, specOf, valid, wire } from './decoding.ts';

const SPEC = '{ endpointSelector: {}, ingress: [{}] }';

describe('a file', () => {
  it.each(['', '\n', '---\n', '# nothing\n', '---\n---\n', 'null\n'])(
    'may be empty: %j',
    (text) => {
      expect(valid(text)).toMatchObject({ specs: [], cidrGroups: [], wirePolicies: [], names: [] });
    },
  );

  it('may hold documents of every kind, whatever stands first', () => {
    const text = [
      cnp(SPEC),
      `apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: { name: c }\nspecs: [${SPEC}, ${SPEC}]`,
      'apiVersion: cilium.io/v2alpha1\nkind: CiliumCIDRGroup\nmetadata: { name: g, labels: { a: b } }\nspec: { externalCIDRs: [10.0.0.0/8, 10.1.2.3/16] }',
      wire(''),
      'apiVersion: cilium.io/v2\nkind: CiliumEnvoyConfig\nmetadata: { name: e, namespace: x }\nspec: { anything: [1] }',
    ].join('\n---\n');
    const decoded = valid(text);
    expect(
      decoded.names.map(({ kind, name, place }) => `${filePlace(place).line}: ${kind} ${name}`),
    ).toEqual([
      '1: CiliumNetworkPolicy shop/p',
      '7: CiliumClusterwideNetworkPolicy c',
      '12: CiliumCIDRGroup g',
      '17: cilium.NetworkPolicy npds/42',
    ]);
    expect(decoded.specs.map(({ origin }) => `${origin.policy} ${origin.rule}`)).toEqual([
      'shop/p ',
      'c specs[0]',
      'c specs[1]',
    ]);
    expect(decoded.cidrGroups).toMatchObject([
      {
        name: 'g',
        labels: ['cidrgroup:a=b'],
        prefixes: [{ text: '10.0.0.0/8' }, { text: '10.1.0.0/16' }],
      },
    ]);
    expect(decoded.warnings.map(({ message }) => message)).toEqual([
      'Envoy configurations are not used here: rules that name one of its listeners are not served',
    ]);
  });

  it.each(['List', 'CiliumNetworkPolicyList'])('may be a %s of objects', (kind) => {
    const item = `{ apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: { name: p, namespace: shop, uid: x, managedFields: [{}] }, spec: ${SPEC}, status: { conditions: [] } }`;
    const decoded = valid(
      `{ apiVersion: v1, kind: ${kind}, metadata: { resourceVersion: "" }, items: [${item}] }`,
    );
    expect(decoded.specs).toEqual([specOf(cnp(SPEC))]);
    expect(valid(`{ kind: ${kind}, items: [] }`).specs).toEqual([]);
  });

  it('is told from a list by its content: paths of problems are within the file', () => {
    const text = `kind: List\nitems:\n- apiVersion: cilium.io/v2\n  kind: CiliumNetworkPolicy\n  metadata: { name: p }\n  spec: { endpointSelector: {}, ingress: [{ fromEntities: [x] }] }\n`;
    const [problem] = decodeText(text).problems;
    expect(problem && formatProblem(problem)).toMatch(
      /^policy\.yaml:6:\d+: items\[0\]\.spec\.ingress\[0\]\.fromEntities\[0\]: must be one of all, /,
    );
  });

  it('a namespace that is not given is default; a dry run is asked for by annotation', () => {
    const object = (annotation: string) =>
      `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, annotations: { a: b, sallyport.dev/dry-run: "${annotation}" } }\nspec: ${SPEC}`;
    expect(specOf(object('true'))).toMatchObject({
      origin: { policy: 'default/p' },
      namespace: 'default',
      isDryRun: true,
    });
    expect(specOf(object('false')).isDryRun).toBe(false);
  });

  it.each([
    ['sallyport.dev/dryrun', 'did you mean sallyport.dev/dry-run?'],
    ['sallyport.dev/Dry-Run', 'did you mean sallyport.dev/dry-run?'],
    ['Sallyport.dev/dry-run', 'did you mean sallyport.dev/dry-run?'],
    ['sallyport.dev/ignore', ''],
    ['sallyport.dev/', ''],
    ['sallyport.dev/toString', ''],
  ])('an annotation of ours that is not known is an error: %s', (name, hint) => {
    const text = (kind: string, group: string) =>
      `apiVersion: ${group}\nkind: ${kind}\nmetadata: { name: p, annotations: { "${name}": "true" } }\nspec: ${SPEC}`;
    const [told] = problemsOf(text('CiliumNetworkPolicy', 'cilium.io/v2'));
    expect(told).toContain(`unknown annotation "${name}"`);
    expect(told).toContain(hint);
    expect(told).toContain('(allowed: sallyport.dev/dry-run, sallyport.dev/ignore-findings)');
    expect(problemsOf(text('Deployment', 'apps/v1'))).toEqual([]);
  });

  it.each([
    'example.com/dry-run',
    'kubectl.kubernetes.io/last-applied-configuration',
    'dry-run',
    'sallyport.dev.example/x',
  ])('an annotation of others is theirs: %s', (name) => {
    const text = `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: { name: p, annotations: { ${name}: "x" } }\nspec: ${SPEC}`;
    expect(specOf(text).isDryRun).toBe(false);
  });

  it('one bad document does not hide what is wrong with the others', () => {
    expect(problemsOf(`a: [\n---\n${cnp('{}')}`).length).toBeGreaterThan(1);
    expect(problemsOf(`${cnp('{ endpointSelector: 1 }')}---\nkind: x\n`)).toEqual(
      expect.arrayContaining([
        'spec.endpointSelector: must be a map (found 1)',
        expect.stringContaining('is no policy (found kind "x"'),
      ]),
    );
  });
});

describe('places', () => {
  it('are those of the value, in line and column from 1', () => {
    const text = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: p
spec:
  endpointSelector: {}
  ingress:
    - toPorts:
        - ports:
            - port: "80"
              protocol: TCP
          rules:
            http:
              - method: GET
                path: "/a("
`;
    expect(decodeText(text).problems.map(formatProblem)).toEqual([
      'policy.yaml:15:23: spec.ingress[0].toPorts[0].rules.http[0].path: is no RE2 pattern: missing ): \\/a( (found "/a(")',
    ]);
  });

  it('of rules are kept, for problems that are found later', () => {
    const { positions } = valid(http('{ path: /x }'));
    const places = [...positions].map(
      ([key, place]) => `${key.replace('\n', ' ')} ${filePlace(place).line}`,
    );
    expect(places.toSorted()).toEqual([
      'shop/p  4',
      'shop/p ingress[0] 4',
      'shop/p ingress[0].toPorts[0] 4',
      'shop/p ingress[0].toPorts[0].rules.http[0] 4',
    ]);
  });
});

describe('YAML and JSON', () => {
  const json = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: {
      endpointSelector: { matchLabels: { app: 'on' } },
      ingress: [
        {
          toPorts: [
            {
              ports: [{ port: '80', protocol: 'TCP' }],
              rules: { http: [{ path: '/\u00e9\t"\\.' }] },
            },
          ],
        },
      ],
    },
  };

  it.each(['', '  ', '\t'])('JSON with indentation %j is read', (indent) => {
    const spec = specOf(JSON.stringify(json, null, indent));
    expect(spec.subject.selector.requirements[0]?.values).toEqual(['on']);
    expect(spec.rules[0]?.ports?.[0]?.l7).toMatchObject({
      rules: [{ matchers: [{ value: { pattern: '/\u00e9\t"\\.' } }] }],
    });
  });

  it('line ends and a byte order mark do not matter', () => {
    const text = cnp(SPEC);
    expect(specOf(`\ufeff${text.replaceAll('\n', '\r\n')}`)).toEqual(specOf(text));
  });

  it('anchors are expanded, up to a bound', () => {
    const text = (count: number) =>
      cnp(
        `{ endpointSelector: {}, ingress: [&a { fromEntities: [world] }${', *a'.repeat(count)}] }`,
      );
    expect(specOf(text(9)).rules).toHaveLength(10);
    expect(problemsOf(text(11))).toContain(
      'spec.ingress[11]: more aliases than yamlAliasCountMax (10)',
    );
  });

  it('an alias of aliases cannot blow up', () => {
    const lines = ['a0: &a0 [x, x]'];
    for (let i = 1; i < 30; i++) lines.push(`a${i}: &a${i} [*a${i - 1}, *a${i - 1}]`);
    expect(problemsOf(`${lines.join('\n')}\nkind: List\nitems: *a29\n`).length).toBeGreaterThan(0);
    expect(problemsOf('kind: List\nitems: &x [*x, *x]\n').length).toBeGreaterThan(0);
  });

  it.each([
    ['lists', '['.repeat(20_000)],
    ['maps', `${'{a: '.repeat(20_000)}1`],
    ['closed lists', `${'['.repeat(500)}${']'.repeat(500)}`],
    ['closed maps', `${'{a: '.repeat(500)}1${'}'.repeat(500)}`],
  ])('deep %s are a problem, no crash', (_, text) => {
    expect(problemsOf(text).length).toBeGreaterThan(0);
  });

  it('the same thing is told once', () => {
    const problems = problemsOf('1: a\nkind: CiliumNetworkPolicy\n');
    expect(new Set(problems).size).toBe(problems.length);
  });

  it('a template that was not rendered is named as what it is', () => {
    const { problems } = decodeText(http('{ method: {{ .method }} }'));
    expect(problems.map(formatProblem)).toEqual([
      'policy.yaml:4:121: spec.ingress[0].toPorts[0].rules.http[0].method: must be a string (found a map)',
      'policy.yaml:4:121: has "{{": a template is no policy, it must be rendered first',
    ]);
  });
});
