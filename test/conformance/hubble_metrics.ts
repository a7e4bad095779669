/**
 * Generated flows and settings: Hubble's own metrics count them, and ours; every sample is the same. Values that no
 * terminal or log should have are left out of the comparison by their escaped form.
 *
 *     node test/conformance/hubble_metrics.ts [ROUNDS] [SEED...]
 *
 * Builds `test/peers/agent/hubble` with Go ($GO, or `go`; $HUBBLE_PEER: one that is built already).
 */
import { spawn } from 'node:child_process';
import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { FlowSchema } from '../../src/hubble/generated/flow/flow_pb.ts';
import { HubbleMetrics } from '../../src/hubble/metrics/hubble_metrics.ts';
import {
  type HubbleMetricRequest,
  parseHubbleMetric,
} from '../../src/model/hubble_metric_request.ts';
import { shownLine } from '../../src/model/shown_text.ts';
import type { ExposedFamily } from '../../src/observe/metrics/exposition.ts';
import { generatedFlow } from '../support/hubble_flows.ts';
import { AGENT_FOLDER, compare, count, goPeer, seeds } from './differential.ts';
import type { PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';

const FLOWS_EACH = 40;
const NAMES = [
  ...['dns', 'drop', 'tcp', 'flow', 'icmp', 'httpV2', 'http', 'policy', 'port-distribution'],
  'flows-to-world',
];
const SWITCHES: Readonly<Record<string, readonly string[]>> = {
  dns: ['query', 'ignoreAAAA'],
  httpV2: ['exemplars=true'],
  http: ['exemplars=false'],
  'flows-to-world': ['any-drop', 'port', 'syn-only'],
};
const IDENTIFIERS = [
  ...['identity', 'namespace', 'pod', 'pod-name', 'dns', 'ip', 'reserved-identity', 'workload'],
  ...['workload-name', 'app'],
];
const CONTEXTS = [
  ...['sourceContext', 'destinationContext', 'sourceEgressContext', 'sourceIngressContext'],
  ...['destinationEgressContext', 'destinationIngressContext'],
];
const LABELS = ['ip', 'pod', 'namespace', 'workload', 'workload_kind', 'app'].flatMap((name) => [
  `source_${name}`,
  `destination_${name}`,
]);

await compare(async () => {
  const peer = new JsonLines(spawn(goPeer(AGENT_FOLDER, './hubble', 'HUBBLE_PEER'), []));
  for (const { count: rounds, random } of seeds(300, 'rounds')) {
    for (let i = 0; i < rounds; i++) await compareRound(random, peer);
  }
  peer.end();
});

async function compareRound(random: PolicySeed, peer: JsonLines): Promise<void> {
  const text = generatedRequest(random);
  const flows = Array.from({ length: FLOWS_EACH }, () => generatedFlow(random));
  const theirs = await peer.ask(JSON.stringify({ metrics: [text], flows }));
  const own = parseHubbleMetric(text);
  if (own.kind === 'error' || theirs['error'] !== undefined) {
    const isSame = own.kind === 'error' && theirs['error'] !== undefined;
    count(isSame, () => ['---', text, own, theirs['error']]);
    return;
  }
  const told = (theirs['samples'] ?? {}) as Samples;
  if (isMisnamed(told)) return;
  const differences = differing(samplesOf(own.request, flows), cleaned(told));
  count(differences.length === 0, () => ['---', text, ...differences.slice(0, 6)]);
}

type Samples = Readonly<Record<string, number>>;

function samplesOf(request: HubbleMetricRequest, flows: readonly object[]): Samples {
  const counted = new HubbleMetrics([request], {
    countMax: 1_000_000,
    idleMs: 1e9,
    nowMs: () => 0,
  });
  for (const flow of flows) counted.count(fromJson(FlowSchema, flow as JsonValue));
  const own = counted.families().filter(({ name }) => /^hubble_(?!lost)/.test(name));
  return Object.fromEntries(own.flatMap(samplesOfFamily));
}

/** In the form of the peer. */
function samplesOfFamily({ name, samples }: ExposedFamily): [string, number][] {
  return samples.flatMap(({ suffix, labels, value }): [string, number][] => {
    const { le, ...others } = labels;
    const texts = Object.entries(others).map(([label, text]) => `${label}=${text}`);
    const key = `${name}{${texts.sort().join(',')}}`;
    if (suffix === '') return [[key, value]];
    if (suffix === '_bucket') return le === '+Inf' ? [] : [[`${key} le ${le}`, value]];
    return [[`${key} ${suffix.slice(1)}`, value]];
  });
}

/**
 * With some numbers of context labels the agent's lists of label names share memory, and `rcode` is overwritten by the
 * `type` of another metric.
 */
function isMisnamed(samples: Samples): boolean {
  return Object.keys(samples).some(
    (key) => /^hubble_dns_(queries|responses)_total/.test(key) && !key.includes('rcode='),
  );
}

/** Of texts that a terminal would obey, ours have the escaped form. */
function cleaned(samples: Samples): Samples {
  const sums: Record<string, number> = {};
  for (const [key, value] of Object.entries(samples)) {
    // Told only where there is an exemplar; it is the count.
    if (!key.endsWith(' le +Inf')) sums[shownLine(key)] = value;
  }
  return sums;
}

function differing(own: Samples, theirs: Samples): string[] {
  const names = new Set([...Object.keys(own), ...Object.keys(theirs)]);
  return [...names]
    .filter((name) => Math.abs((own[name] ?? -1) - (theirs[name] ?? -1)) > 1e-6)
    .map((name) => `${name}: ours ${own[name]}, Hubble's ${theirs[name]}`);
}

function generatedRequest(random: PolicySeed): string {
  const name = random.oneOf(NAMES);
  const options = [
    ...(SWITCHES[name] ?? []).filter(() => random.below(2) === 0),
    ...CONTEXTS.filter(() => random.below(4) === 0).map(
      (context) => `${context}=${someOf(random, IDENTIFIERS).join('|')}`,
    ),
    ...(random.below(2) === 0
      ? [`labelsContext=${someOf(random, [...LABELS, 'traffic_direction']).join(',')}`]
      : []),
  ];
  if (random.below(40) === 0) options.push('labelsContext=source_pod,nonsense');
  if (random.below(40) === 0) options.push('sourceContext=pod|nonsense');
  return options.length === 0 ? name : `${name}:${options.join(';')}`;
}

function someOf(random: PolicySeed, values: readonly string[]): string[] {
  const some = values.filter(() => random.below(4) === 0);
  return some.length === 0 ? [values[0] ?? ''] : some;
}
