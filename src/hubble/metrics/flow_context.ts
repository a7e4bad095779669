/** Who the sides of a flow are, as labels of a metric. Order and fallbacks are Cilium's (pkg/hubble/metrics/api). */
import type {
  ContextLabel,
  HubbleMetricRequest,
  SideIdentifier,
  SideRequest,
} from '../../model/hubble_metric_request.ts';
import { type Endpoint, type Flow, TrafficDirection } from '../generated/flow/flow_pb.ts';

export class FlowContext {
  readonly labelNames: readonly string[];
  readonly #labels: readonly OfFlow[];
  /** Null: it is no label. */
  readonly #source: SideContext | null;
  readonly #destination: SideContext | null;

  constructor({
    labels,
    source,
    destination,
  }: Pick<HubbleMetricRequest, 'labels' | 'source' | 'destination'>) {
    this.#labels = labels.map((label) => LABELS[label]);
    this.#source = sideContext(source);
    this.#destination = sideContext(destination);
    this.labelNames = [
      ...labels,
      ...(this.#source === null ? [] : ['source']),
      ...(this.#destination === null ? [] : ['destination']),
    ];
  }

  /** `isTurned`: the flow is an answer, and the labels are to say who asked. */
  values(flow: Flow, isTurned: boolean): string[] {
    const source = sourceOf(flow);
    const destination = destinationOf(flow);
    const [first, second] = isTurned ? [destination, source] : [source, destination];
    const values = this.#labels.map((of) => of(flow, first, second));
    const ofSource = labelValue(this.#source, flow, source);
    const ofDestination = labelValue(this.#destination, flow, destination);
    if (this.#source !== null) values.push(isTurned ? ofDestination : ofSource);
    if (this.#destination !== null) values.push(isTurned ? ofSource : ofDestination);
    return values;
  }
}

/** One side of a flow. */
interface Side {
  readonly endpoint: Endpoint | undefined;
  readonly ip: string;
  readonly names: readonly string[];
}

type OfSide = (side: Side) => string;

interface SideContext {
  readonly any: readonly OfSide[];
  readonly egress: readonly OfSide[];
  readonly ingress: readonly OfSide[];
}

/** What is said for one direction wins over what is said for both. */
function sideContext({ any, egress, ingress }: SideRequest): SideContext | null {
  if ([any, egress, ingress].every((list) => list === null || list.length === 0)) return null;
  const of = (list: readonly SideIdentifier[] | null): readonly OfSide[] =>
    (list ?? any ?? []).map((identifier) => IDENTIFIERS[identifier]);
  return { any: of(any), egress: of(egress), ingress: of(ingress) };
}

function labelValue(context: SideContext | null, { trafficDirection }: Flow, side: Side): string {
  if (context === null) return '';
  let alternatives = context.any;
  if (trafficDirection === TrafficDirection.INGRESS) alternatives = context.ingress;
  else if (trafficDirection === TrafficDirection.EGRESS) alternatives = context.egress;
  for (const of of alternatives) {
    const value = of(side);
    if (value !== '') return value;
  }
  return '';
}

function sourceOf({ source, IP, sourceNames }: Flow): Side {
  return { endpoint: source, ip: IP?.source ?? '', names: sourceNames };
}

function destinationOf({ destination, IP, destinationNames }: Flow): Side {
  return { endpoint: destination, ip: IP?.destination ?? '', names: destinationNames };
}

const NO_TEXTS: readonly string[] = [];

const namespaceOf: OfSide = ({ endpoint }) => endpoint?.namespace ?? '';
const podOf: OfSide = ({ endpoint }) => endpoint?.podName ?? '';
const workloadOf: OfSide = ({ endpoint }) => endpoint?.workloads[0]?.name ?? '';
const workloadKindOf: OfSide = ({ endpoint }) => endpoint?.workloads[0]?.kind ?? '';
const ipOf: OfSide = ({ ip }) => ip;
const appOf: OfSide = ({ endpoint }) => appLabel(endpoint?.labels ?? NO_TEXTS);

const IDENTIFIERS: Readonly<Record<SideIdentifier, OfSide>> = {
  identity: ({ endpoint }) => (endpoint?.labels ?? NO_TEXTS).join(','),
  namespace: namespaceOf,
  // As Cilium's: without a pod it is "namespace/".
  pod: (side) => withNamespace(side, podOf(side), true),
  'pod-name': podOf,
  dns: ({ names }) => names.join(','),
  ip: ipOf,
  'reserved-identity': ({ endpoint }) => reservedLabel(endpoint?.labels ?? NO_TEXTS),
  workload: (side) => withNamespace(side, workloadOf(side), false),
  'workload-name': workloadOf,
  app: appOf,
};

function withNamespace({ endpoint }: Side, name: string, isAlways: boolean): string {
  const namespace = endpoint?.namespace ?? '';
  return namespace === '' || (name === '' && !isAlways) ? name : `${namespace}/${name}`;
}

const API_SERVER = 'reserved:kube-apiserver';

function reservedLabel(labels: readonly string[]): string {
  if (labels.includes(API_SERVER)) return API_SERVER;
  return labels.find((label) => label.startsWith('reserved:')) ?? '';
}

const APP_LABELS = ['k8s:app.kubernetes.io/name=', 'k8s:k8s-app=', 'k8s:app='];

function appLabel(labels: readonly string[]): string {
  for (const label of labels) {
    const prefix = APP_LABELS.find((one) => label.startsWith(one));
    if (prefix !== undefined && label.length > prefix.length) return label.slice(prefix.length);
  }
  return '';
}

type OfFlow = (flow: Flow, source: Side, destination: Side) => string;

const LABELS: Readonly<Record<ContextLabel, OfFlow>> = {
  source_ip: ofSource(ipOf),
  source_pod: ofSource(podOf),
  source_namespace: ofSource(namespaceOf),
  source_workload: ofSource(workloadOf),
  source_workload_kind: ofSource(workloadKindOf),
  source_app: ofSource(appOf),
  destination_ip: ofDestination(ipOf),
  destination_pod: ofDestination(podOf),
  destination_namespace: ofDestination(namespaceOf),
  destination_workload: ofDestination(workloadOf),
  destination_workload_kind: ofDestination(workloadKindOf),
  destination_app: ofDestination(appOf),
  traffic_direction: ({ trafficDirection }) => DIRECTIONS.get(trafficDirection) ?? 'unknown',
};

function ofSource(of: OfSide): OfFlow {
  return (_, source) => of(source);
}

function ofDestination(of: OfSide): OfFlow {
  return (_, __, destination) => of(destination);
}

const DIRECTIONS: ReadonlyMap<TrafficDirection, string> = new Map([
  [TrafficDirection.INGRESS, 'ingress'],
  [TrafficDirection.EGRESS, 'egress'],
]);
