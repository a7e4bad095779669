/**
 * Generated pods, namespaces and nodes, and filters of labels: which labels are part of an identity, by Cilium's own
 * code and by us.
 *
 *     node test/conformance/pod_labels.ts [QUESTIONS] [SEED...]
 *
 * Builds `test/peers/agent/labels` with Go ($GO, or `go`; $LABELS: one that is built already). Nothing is skipped:
 * without Go it fails. The last line is the sum: "N passed, N failed".
 */
import { spawn } from 'node:child_process';
import {
  type LabelFilterResult,
  nodeLabelFilter,
  podLabelFilter,
} from '../../src/control/decode/kube/label_filter.ts';
import { ClusterState } from '../../src/control/source/kube/cluster_state.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { LabelFilter } from '../../src/policy/label_filter.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { AGENT_FOLDER, compare, count, goPeer, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';

type Texts = Readonly<Record<string, string>>;

interface Question {
  readonly namespace: string;
  readonly namespaceLabels: Texts;
  readonly podLabels: Texts;
  readonly serviceAccount: string;
  readonly cluster: string;
  readonly nodeLabels: Texts;
  readonly labels: readonly string[];
  readonly nodePrefixes: readonly string[];
}

interface Answer {
  readonly isError: boolean;
  readonly pod: readonly string[];
  readonly host: readonly string[];
  readonly node: readonly string[];
}

/**
 * Keys on both sides of what the agent's own patterns tell apart. None begins with "reserved.", which the agent takes
 * off, and we do not (docs/differences.md).
 */
const PREFIXES = [
  ...[
    '',
    'app.kubernetes.io/',
    'kubernetes.io/',
    'io.kubernetes.',
    'io.kubernetes.pod.namespace',
    'k8s.io/',
  ],
  ...[
    'io.cilium.k8s.',
    'io.cilium.k8s',
    'io.cilium.',
    'io.cilium.k8s.namespace.labels.',
    'x.io.cilium.k8s.',
  ],
  ...[
    'statefulset.kubernetes.io/',
    'apps.kubernetes.io/',
    'batch.kubernetes.io/',
    'topology.kubernetes.io/',
  ],
  ...[
    'beta.kubernetes.io/',
    'my.beta.kubernetes.io/',
    'beta.kubernetes.io.beta.kubernetes.io/',
    'xkubernetes.io/',
  ],
  ...[
    'app/',
    'example.com/',
    'pod-template-',
    'annotation',
    'my-annotation.',
    'etcd_node',
    'node.k8s.io/',
  ],
];
const TAILS = [
  ...[
    'app',
    'name',
    'pod-name',
    'pod-index',
    'job-completion-index',
    'controller-uid',
    'hash',
    'generation',
  ],
  ...[
    'zone',
    'arch',
    'os',
    'x',
    'a.b_c',
    'policy.cluster',
    'policy.serviceaccount',
    'metadata.name',
    'host',
  ],
];
const VALUES = ['', 'a', 'web', 'x.y_z', '0'];

/** What users write into the options, with what regular expressions can do. */
const PATTERNS = [
  ...[
    'app',
    'k8s:app',
    '!app',
    'k8s:!app',
    'any:app',
    'node:zone',
    '!k8s:app',
    'reserved:.*',
    '.*',
    '!.*',
    '!',
    'k8s:!',
  ],
  ...[
    'app.kubernetes.io',
    '!app\\.kubernetes\\.io/name',
    'kubernetes.io/arch',
    '^app$',
    'app$',
    '\\bapp',
    '(?i)APP',
  ],
  ...[
    'a|app',
    'app|a',
    'a.*?b',
    'a+?',
    '(app)+',
    '[a-z.]+',
    '[^/]+/',
    '!io.kubernetes',
    'io\\.kubernetes\\.pod\\.namespace',
  ],
  ...[
    '!io.kubernetes.pod.namespace',
    '!io.cilium.k8s.policy',
    'io.cilium.k8s.policy.cluster',
    '!example',
    'example.com/x',
  ],
  ...[
    '',
    'k8s:',
    '(',
    '[',
    'a{2}',
    '\\pL+',
    '(?:app|zone)',
    'topology.kubernetes.io/zone',
    '!topology',
    'x*',
    '!x*',
  ],
];

const regex = createRe2Engine(DEFAULT_LIMITS);

await compare(main);

async function main(): Promise<void> {
  const peer = new JsonLines(spawn(goPeer(AGENT_FOLDER, './labels', 'LABELS'), []));
  for (const { count: questionCount, random } of seeds(2000, 'questions')) {
    for (let i = 0; i < questionCount; i++) {
      const question = generate(random);
      compareAnswers(question, answerOf(await peer.ask(JSON.stringify(question))));
    }
  }
  peer.end();
}

function generate(random: PolicySeed): Question {
  const texts = (countMax: number): Texts =>
    Object.fromEntries(
      Array.from({ length: random.below(countMax + 1) }, () => [key(random), random.oneOf(VALUES)]),
    );
  const patterns = (): readonly string[] =>
    random.below(3) === 0
      ? []
      : Array.from({ length: random.below(4) }, () => random.oneOf(PATTERNS));
  const namespace = random.oneOf(['shop', 'default', 'kube-system']);
  return {
    namespace,
    namespaceLabels: { 'kubernetes.io/metadata.name': namespace, ...texts(4) },
    podLabels: texts(8),
    serviceAccount: random.oneOf(['', 'default', 'robot']),
    cluster: random.oneOf(['default', 'east']),
    nodeLabels: texts(5),
    labels: patterns(),
    nodePrefixes: patterns(),
  };
}

/** One that the API server takes. */
function key(random: PolicySeed): string {
  for (;;) {
    const text = `${random.oneOf(PREFIXES)}${random.oneOf(TAILS)}`;
    if (/^[^/]*(\/[^/]+)?$/.test(text)) return text;
  }
}

function answerOf(line: Readonly<Record<string, unknown>>): Answer {
  const list = (name: string): readonly string[] => (line[name] as readonly string[] | null) ?? [];
  return {
    isError: 'error' in line,
    pod: list('pod'),
    host: list('host'),
    node: list('node'),
  };
}

/** The whole way from the objects to the labels of endpoints. */
function ownAnswer(question: Question): Answer {
  const filters = [
    podLabelFilter(question.labels, regex),
    nodeLabelFilter(question.nodePrefixes, regex),
  ];
  const [pods, nodes] = filters.map(filterOf);
  if (pods === null || nodes === null || pods === undefined || nodes === undefined) {
    return { isError: true, pod: [], host: [], node: [] };
  }
  const state = new ClusterState({
    cluster: question.cluster,
    nodeName: 'here',
    identities: 'own',
    hasNodeLabels: true,
    labelFilter: pods,
    nodeLabelFilter: nodes,
  });
  const seen = (namespace: string | null, name: string, object: object) => ({
    ...{ namespace, name, uid: null, version: '1' },
    object: JSON.parse(JSON.stringify(object)),
  });
  const { namespace, namespaceLabels, podLabels, serviceAccount, nodeLabels } = question;
  state.put('Namespace', seen(null, namespace, { metadata: { labels: namespaceLabels } }));
  state.put(
    'Pod',
    seen(namespace, 'pod', {
      metadata: { labels: podLabels },
      spec: { serviceAccountName: serviceAccount },
      status: { podIP: '10.0.0.1' },
    }),
  );
  for (const [name, address] of [
    ['here', '10.9.0.1'],
    ['there', '10.9.0.2'],
  ] as const) {
    const status = { addresses: [{ type: 'InternalIP', address }] };
    state.put('Node', seen(null, name, { metadata: { labels: nodeLabels }, status }));
  }
  const { endpoints } = state.inventory();
  const labelsOf = (name: string, isOwn: (label: string) => boolean): readonly string[] =>
    (endpoints.find((one) => one.name === name)?.labels ?? [])
      .filter(isOwn)
      // Cilium writes the "=" of an empty value, too, in some places; here both are read as one label.
      .map((label) => label.replace(/=$/, ''))
      .sort();
  const isReserved = (label: string): boolean => label.startsWith('reserved:');
  return {
    isError: false,
    pod: labelsOf(`${namespace}/pod`, () => true),
    host: labelsOf('Node/here', (label) => !isReserved(label)),
    node: labelsOf('Node/there', (label) => label.startsWith('node:')),
  };
}

function filterOf(result: LabelFilterResult): LabelFilter | null {
  return result.kind === 'ok' ? result.filter : null;
}

function compareAnswers(question: Question, theirs: Answer): void {
  const own = ownAnswer(question);
  const wanted = {
    ...theirs,
    pod: sorted(theirs.pod),
    host: sorted(theirs.host),
    node: sorted(theirs.node),
  };
  count(JSON.stringify(own) === JSON.stringify(wanted), () => [
    '---',
    question,
    { agent: wanted, own },
  ]);
}

function sorted(labels: readonly string[]): readonly string[] {
  return labels.map((label) => label.replace(/=$/, '')).sort();
}
