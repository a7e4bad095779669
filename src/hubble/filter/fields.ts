/** One test for each field of a filter. */
import type { CompileSearch } from '../../regex/search.ts';
import type {
  Endpoint,
  EventTypeFilter,
  FlowFilter,
  Flow as HubbleFlow,
  NetworkInterface,
  Service,
  TCPFlags,
  Workload,
} from '../generated/flow/flow_pb.ts';
import { Verdict } from '../generated/flow/flow_pb.ts';
import { addressesTest } from './addresses.ts';
import { BadFilterError } from './bad_filter.ts';
import type { FlowTest } from './flow_test.ts';
import { HTTP_TESTS } from './http_fields.ts';
import { selectorsTest } from './label_selector.ts';
import { namePattern, nodePattern } from './name_patterns.ts';
import { searches } from './searches.ts';
import { portOf, portsTest, protocolsTest } from './transport_fields.ts';

type FieldName = Exclude<keyof FlowFilter, '$typeName' | '$unknown' | 'experimental'>;
type Values<Name extends FieldName> = FlowFilter[Name];
type FieldTest<Name extends FieldName> = (
  values: Values<Name>,
  compile: CompileSearch,
  filter: FlowFilter,
) => FlowTest;

/** Of another cluster there is none. */
const DEFAULT_CLUSTER = 'default';
const DEFAULT_NAMESPACE = 'default';

const source = (flow: HubbleFlow): Endpoint | undefined => flow.source;
const destination = (flow: HubbleFlow): Endpoint | undefined => flow.destination;

/** Each field that there is: the compiler names one that is missing. */
const TESTS: { readonly [Name in FieldName]: FieldTest<Name> } = {
  sourceIp: (ips) => addressesTest(ips, (flow) => flow.IP?.source),
  destinationIp: (ips) => addressesTest(ips, (flow) => flow.IP?.destination),
  sourceIpXlated: (ips) => addressesTest(ips, (flow) => flow.IP?.sourceXlated),
  ipVersion: (versions) => (flow) => versions.includes(flow.IP?.ipVersion ?? 0),
  sourcePod: (names) => namesTest(names, (flow) => podOf(flow.source)),
  destinationPod: (names) => namesTest(names, (flow) => podOf(flow.destination)),
  sourceService: (names) => namesTest(names, (flow) => flow.sourceService),
  destinationService: (names) => namesTest(names, (flow) => flow.destinationService),
  sourceFqdn: (names, compile) => domainsTest(names, compile, (flow) => flow.sourceNames),
  destinationFqdn: (names, compile) => domainsTest(names, compile, (flow) => flow.destinationNames),
  sourceLabel: (texts) => selectorsTest(texts, (flow) => flow.source?.labels),
  destinationLabel: (texts) => selectorsTest(texts, (flow) => flow.destination?.labels),
  nodeLabels: (texts) => selectorsTest(texts, (flow) => flow.nodeLabels),
  sourceWorkload: (workloads) => workloadsTest(workloads, source),
  destinationWorkload: (workloads) => workloadsTest(workloads, destination),
  sourceClusterName: (names) => clustersTest(names, source),
  destinationClusterName: (names) => clustersTest(names, destination),
  sourceIdentity: (identities) => identitiesTest(identities, source),
  destinationIdentity: (identities) => identitiesTest(identities, destination),
  trafficDirection: (directions) => (flow) => directions.includes(flow.trafficDirection),
  verdict: (verdicts) => (flow) => verdicts.includes(flow.verdict),
  dropReasonDesc: (reasons) => (flow) =>
    flow.verdict === Verdict.DROPPED && reasons.includes(flow.dropReasonDesc),
  interface: interfacesTest,
  eventType: eventTypesTest,
  protocol: protocolsTest,
  sourcePort: (ports) => portsTest(ports, (flow) => portOf(flow, 'sourcePort')),
  destinationPort: (ports) => portsTest(ports, (flow) => portOf(flow, 'destinationPort')),
  reply: (replies) => (flow) => {
    // A drop says nothing of it; the user interface asks for those as for what was sent first.
    if (flow.isReply === undefined && flow.verdict !== Verdict.DROPPED) return false;
    return replies.includes(flow.isReply ?? false);
  },
  dnsQuery: (patterns, compile) => {
    const find = searches(patterns, compile);
    return ({ l7 }) => l7?.record.case === 'dns' && find(l7.record.value.query);
  },
  ...HTTP_TESTS,
  tcpFlags: flagsTest,
  nodeName: (patterns, compile) => {
    const isNamed = searches([patterns.map(nodePattern).join('|')], compile);
    return ({ nodeName }) => nodeName !== '' && isNamed(withCluster(nodeName));
  },
  traceId: (ids) => (flow) => ids.includes(flow.traceContext?.parent?.traceId ?? ''),
  ipTraceId: (ids) => (flow) => ids.includes(flow.ipTraceId?.traceId ?? 0n),
  uuid: (ids) => (flow) => ids.includes(flow.uuid),
  encrypted: (values) => (flow) => values.includes(flow.IP?.encrypted ?? false),
};

/** Null: the filter says nothing of the field. */
export const FIELDS: readonly ((filter: FlowFilter, compile: CompileSearch) => FlowTest | null)[] =
  (Object.keys(TESTS) as FieldName[]).map(
    (name) => (filter, compile) => fieldTest(name, filter, compile),
  );

function fieldTest<Name extends FieldName>(
  name: Name,
  filter: FlowFilter,
  compile: CompileSearch,
): FlowTest | null {
  return filter[name].length === 0 ? null : TESTS[name](filter[name], compile, filter);
}

function podOf(endpoint: Endpoint | undefined): Pick<Service, 'name' | 'namespace'> | undefined {
  return endpoint && { namespace: endpoint.namespace, name: endpoint.podName };
}

/** "namespace/prefix", "namespace/", "/prefix"; without a slash the namespace is that which kubectl takes. */
function namesTest(
  texts: readonly string[],
  nameOf: (flow: HubbleFlow) => Pick<Service, 'name' | 'namespace'> | undefined,
): FlowTest {
  const wanted = texts.map((text) => {
    if (text === '') throw new BadFilterError('invalid filter, name must not be empty');
    const [first = '', second] = text.split('/');
    return second === undefined
      ? { namespace: DEFAULT_NAMESPACE, prefix: first }
      : { namespace: first, prefix: second };
  });
  return (flow) => {
    const { namespace = '', name = '' } = nameOf(flow) ?? {};
    if (namespace === '' && name === '') return false;
    return wanted.some(
      (one) => name.startsWith(one.prefix) && (one.namespace === '' || one.namespace === namespace),
    );
  };
}

function domainsTest(
  texts: readonly string[],
  compile: CompileSearch,
  namesOf: (flow: HubbleFlow) => readonly string[],
): FlowTest {
  const isNamed = searches([`^(?:${texts.map(namePattern).join('|')})$`], compile);
  return (flow) => namesOf(flow).some(isNamed);
}

function workloadsTest(
  wanted: readonly Workload[],
  endpointOf: (flow: HubbleFlow) => Endpoint | undefined,
): FlowTest {
  return (flow) =>
    (endpointOf(flow)?.workloads ?? []).some(({ name, kind }) =>
      wanted.some(
        (one) => (one.name === '' || one.name === name) && (one.kind === '' || one.kind === kind),
      ),
    );
}

function clustersTest(
  names: readonly string[],
  endpointOf: (flow: HubbleFlow) => Endpoint | undefined,
): FlowTest {
  if (names.includes('')) throw new BadFilterError('invalid filter, name must not be empty');
  return (flow) => names.includes(endpointOf(flow)?.clusterName ?? '');
}

function identitiesTest(
  identities: readonly number[],
  endpointOf: (flow: HubbleFlow) => Endpoint | undefined,
): FlowTest {
  return (flow) => {
    const endpoint = endpointOf(flow);
    return endpoint !== undefined && identities.includes(endpoint.identity);
  };
}

function interfacesTest(wanted: readonly NetworkInterface[]): FlowTest {
  return ({ interface: own }) =>
    own !== undefined &&
    wanted.some(
      ({ index, name }) =>
        (index === 0 || index === own.index) && (name === '' || name === own.name),
    );
}

function eventTypesTest(wanted: readonly EventTypeFilter[]): FlowTest {
  return ({ eventType: own }) =>
    own !== undefined &&
    wanted.some(
      ({ type, matchSubType, subType }) =>
        (type === 0 || type === own.type) && (!matchSubType || subType === own.subType),
    );
}

const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'NS'] as const;

/** Others than those that are asked for may be set, too. */
function flagsTest(wanted: readonly TCPFlags[]): FlowTest {
  return ({ l4 }) => {
    const own = l4?.protocol.case === 'TCP' ? l4.protocol.value.flags : undefined;
    if (own === undefined) return false;
    return wanted.some((one) => FLAGS.every((flag) => !one[flag] || own[flag]));
  };
}

function withCluster(nodeName: string): string {
  return nodeName.includes('/') ? nodeName : `${DEFAULT_CLUSTER}/${nodeName}`;
}
