/**
 * Which of Hubble's metrics are counted, and by which labels: `dns:query;ignoreAAAA`, as in the list `hubble.metrics.enabled`
 * of Cilium's Helm values. The words are Cilium's (pkg/hubble/metrics).
 */
import { nearestName } from './nearest.ts';

/** What can be counted, each with its own options. */
export const HUBBLE_METRICS = {
  dns: ['query', 'ignoreAAAA'],
  drop: [],
  tcp: [],
  flow: [],
  icmp: [],
  httpV2: ['exemplars'],
  http: ['exemplars'],
  policy: [],
  'port-distribution': [],
  'flows-to-world': ['any-drop', 'port', 'syn-only'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type HubbleMetricName = keyof typeof HUBBLE_METRICS;

/** What a side of a flow may be called by. */
export const SIDE_IDENTIFIERS = [
  'identity',
  'namespace',
  'pod',
  'pod-name',
  'dns',
  'ip',
  'reserved-identity',
  'workload',
  'workload-name',
  'app',
] as const;

export type SideIdentifier = (typeof SIDE_IDENTIFIERS)[number];

/** In the order in which they become labels. */
export const CONTEXT_LABELS = [
  'source_ip',
  'source_pod',
  'source_namespace',
  'source_workload',
  'source_workload_kind',
  'source_app',
  'destination_ip',
  'destination_pod',
  'destination_namespace',
  'destination_workload',
  'destination_workload_kind',
  'destination_app',
  'traffic_direction',
] as const;

export type ContextLabel = (typeof CONTEXT_LABELS)[number];

export interface HubbleMetricRequest {
  /** As it was written. */
  readonly text: string;
  readonly name: HubbleMetricName;
  /** Of the metric's own options, those that are on. */
  readonly switches: ReadonlySet<string>;
  readonly labels: readonly ContextLabel[];
  readonly source: SideRequest;
  readonly destination: SideRequest;
}

/** The first that says something is the label's value; null: not said. */
export interface SideRequest {
  readonly any: readonly SideIdentifier[] | null;
  /** In its direction this one wins. */
  readonly egress: readonly SideIdentifier[] | null;
  readonly ingress: readonly SideIdentifier[] | null;
}

export type HubbleMetricResult =
  | { readonly kind: 'request'; readonly request: HubbleMetricRequest }
  | { readonly kind: 'error'; readonly message: string };

export function parseHubbleMetric(text: string): HubbleMetricResult {
  const colon = text.indexOf(':');
  const written = colon === -1 ? text : text.slice(0, colon);
  const name = METRIC_NAMES.find((one) => one === written);
  if (name === undefined) return wrong(`unknown metric "${written}"; ${hint(written)}`);
  const options = colon === -1 ? [] : text.slice(colon + 1).split(';');
  const read = readOptions(name, options.filter((option) => option !== '').map(optionOf));
  if (typeof read === 'string') return wrong(`${name}: ${read}`);
  return { kind: 'request', request: { text, ...read } };
}

/** Null: they can be counted together. */
export function hubbleMetricsProblem(requests: readonly HubbleMetricRequest[]): string | null {
  const names = requests.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) return `"${twice}" is asked for twice`;
  if (names.includes('http') && names.includes('httpV2')) {
    return 'http and httpV2 count under the same names; give one of them';
  }
  return null;
}

const METRIC_NAMES = Object.keys(HUBBLE_METRICS) as HubbleMetricName[];

const SIDE_OPTIONS = [
  'sourceContext',
  'sourceEgressContext',
  'sourceIngressContext',
  'destinationContext',
  'destinationEgressContext',
  'destinationIngressContext',
] as const;

const LABELS_OPTION = 'labelsContext';

interface Option {
  readonly name: string;
  readonly values: readonly string[];
}

/** `labelsContext=a,b`: commas separate labels, `|` separates alternatives. */
function optionOf(text: string): Option {
  const equals = text.indexOf('=');
  if (equals === -1) return { name: text, values: [] };
  const value = text.slice(equals + 1);
  const separator = value.includes('|') ? '|' : ',';
  const values = value.split(separator).filter((one) => one !== '');
  return { name: text.slice(0, equals), values };
}

/** A text: what is wrong. Names of options are taken in any case, as Cilium's are. */
function readOptions(
  name: HubbleMetricName,
  options: readonly Option[],
): Omit<HubbleMetricRequest, 'text'> | string {
  const own: readonly string[] = HUBBLE_METRICS[name];
  const known = [...SIDE_OPTIONS, LABELS_OPTION, ...own];
  const switches = new Set<string>();
  const sides = new Map<string, readonly SideIdentifier[]>();
  let labels: readonly ContextLabel[] = [];
  for (const { name: written, values } of options) {
    const option = known.find((one) => one.toLowerCase() === written.toLowerCase());
    if (option === undefined) return `unknown option "${written}"; there are ${known.join(', ')}`;
    if (own.includes(option)) {
      if (isOn(option, values)) switches.add(option);
      continue;
    }
    if (option === LABELS_OPTION) {
      const unknown = values.find((value) => !isOneOf(CONTEXT_LABELS, value));
      if (unknown !== undefined) return notOneOf(option, unknown, CONTEXT_LABELS);
      labels = CONTEXT_LABELS.filter((label) => values.includes(label));
      continue;
    }
    const lower = values.map((value) => value.toLowerCase());
    const unknown = lower.find((value) => !isOneOf(SIDE_IDENTIFIERS, value));
    if (unknown !== undefined) return notOneOf(option, unknown, SIDE_IDENTIFIERS);
    sides.set(option, lower as SideIdentifier[]);
  }
  return {
    ...{ name, switches, labels },
    source: sideOf(sides, 'source'),
    destination: sideOf(sides, 'destination'),
  };
}

/** A switch is on when it is named; exemplars need the word. */
function isOn(option: string, values: readonly string[]): boolean {
  return option !== 'exemplars' || values[0] === 'true';
}

function sideOf(
  sides: ReadonlyMap<string, readonly SideIdentifier[]>,
  side: 'source' | 'destination',
): SideRequest {
  return {
    any: sides.get(`${side}Context`) ?? null,
    egress: sides.get(`${side}EgressContext`) ?? null,
    ingress: sides.get(`${side}IngressContext`) ?? null,
  };
}

function isOneOf<Word extends string>(words: readonly Word[], word: string): word is Word {
  return words.some((one) => one === word);
}

function notOneOf(option: string, word: string, words: readonly string[]): string {
  return `${option}: "${word}" is none of ${words.join(', ')}`;
}

function hint(name: string): string {
  const nearest = nearestName(name, METRIC_NAMES);
  return nearest === null ? `there are ${METRIC_NAMES.join(', ')}` : `did you mean ${nearest}?`;
}

function wrong(message: string): HubbleMetricResult {
  return { kind: 'error', message };
}
