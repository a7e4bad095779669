/** The parts of a line of `hubble observe`: who, what kind, which verdict. They say what Hubble's own client says. */
import { enumWord } from '../flow/enum_word.ts';
import {
  EVENT_TYPES,
  matchTypeWord,
  observationPoint,
  observationPointOf,
} from '../flow/flow_words.ts';
import {
  AuthType,
  AuthTypeSchema,
  DebugCapturePointSchema,
  type Endpoint,
  type Flow,
  L7FlowTypeSchema,
  type Policy,
  type Service,
  SocketTranslationPoint,
  SocketTranslationPointSchema,
  TrafficDirection,
  TrafficDirectionSchema,
  Verdict,
  VerdictSchema,
} from '../generated/flow/flow_pb.ts';
import { dropReasonText } from './drop_reason_text.ts';

export interface SideTexts {
  readonly source: string;
  readonly destination: string;
}

/** `isTranslated`: names where there are some, instead of addresses. */
export function hostTexts(flow: Flow, isTranslated: boolean): SideTexts {
  const { IP, ethernet, source, destination } = flow;
  if (IP === undefined) {
    return { source: ethernet?.source ?? '', destination: ethernet?.destination ?? '' };
  }
  const [sourcePort, destinationPort] = portsOf(flow);
  const host = (side: Omit<Host, 'isTranslated'>): string => hostText({ ...side, isTranslated });
  return {
    source: host({
      ...{ ip: IP.source, port: sourcePort, endpoint: source },
      ...{ service: flow.sourceService, names: flow.sourceNames },
    }),
    destination: host({
      ...{ ip: IP.destination, port: destinationPort, endpoint: destination },
      ...{ service: flow.destinationService, names: flow.destinationNames },
    }),
  };
}

interface Host {
  readonly ip: string;
  readonly port: number;
  readonly endpoint: Endpoint | undefined;
  readonly service: Service | undefined;
  readonly names: readonly string[];
  readonly isTranslated: boolean;
}

function hostText({ ip, port, endpoint, service, names, isTranslated }: Host): string {
  const namespace = service?.namespace ?? endpoint?.namespace ?? '';
  const pod = endpoint?.podName ?? '';
  const serviceName = service?.name ?? '';
  const name = pod === '' ? serviceName : pod;
  let host = ip;
  if (isTranslated && name !== '') host = namespace === '' ? name : `${namespace}/${name}`;
  else if (isTranslated && names.length > 0) host = names.join(',');
  if (port === 0) return host;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function portsOf({ l4 }: Flow): readonly [number, number] {
  const protocol = l4?.protocol;
  switch (protocol?.case) {
    case 'TCP':
    case 'UDP':
    case 'SCTP':
      return [protocol.value.sourcePort, protocol.value.destinationPort];
    default:
      return [0, 0];
  }
}

/** Cilium's pkg/identity; 0 is what a side without an identity has. */
const RESERVED: ReadonlyMap<number, string> = new Map([
  [0, 'unknown'],
  [1, 'host'],
  [2, 'world'],
  [3, 'unmanaged'],
  [4, 'health'],
  [5, 'init'],
  [6, 'remote-node'],
  [7, 'kube-apiserver'],
  [8, 'ingress'],
  [9, 'world-ipv4'],
  [10, 'world-ipv6'],
]);

export function identityText(endpoint: Endpoint | undefined): string {
  const identity = endpoint?.identity ?? 0;
  const name = RESERVED.get(identity);
  return name === undefined ? `(ID:${identity})` : `(${name})`;
}

export function reservedIdentity(name: string): number | null {
  return [...RESERVED].find(([, word]) => word === name)?.[0] ?? null;
}

/** "http-request", "to-endpoint", "policy-verdict:L3-L4 INGRESS". */
export function kindText(flow: Flow): string {
  const { l7, trafficDirection } = flow;
  if (l7 !== undefined) {
    const type = enumWord(L7FlowTypeSchema, l7.type).toLowerCase();
    const { record } = l7;
    if (record.case === 'dns') return `dns-${type} ${record.value.observationSource}`;
    return `${record.case ?? 'l7'}-${type}`;
  }
  const subType = flow.eventType?.subType ?? 0;
  switch (flow.eventType?.type ?? 0) {
    case EVENT_TYPES.trace:
      return observationPoint(subType) ?? String(subType & 0xff);
    case EVENT_TYPES.drop:
      return dropReasonText(subType);
    case EVENT_TYPES.policyVerdict: {
      const match = matchTypeWord(flow.policyMatchType);
      return `policy-verdict:${match} ${enumWord(TrafficDirectionSchema, trafficDirection)}`;
    }
    case EVENT_TYPES.capture:
      return enumWord(DebugCapturePointSchema, flow.debugCapturePoint);
    case EVENT_TYPES.traceSock:
      return SOCKET_POINTS.get(flow.sockXlatePoint) ?? socketPointWord(flow);
    default:
      return 'UNKNOWN';
  }
}

const SOCKET_POINTS: ReadonlyMap<number, string> = new Map<number, string>([
  [SocketTranslationPoint.SOCK_XLATE_POINT_PRE_DIRECTION_FWD, 'pre-xlate-fwd'],
  [SocketTranslationPoint.SOCK_XLATE_POINT_POST_DIRECTION_FWD, 'post-xlate-fwd'],
  [SocketTranslationPoint.SOCK_XLATE_POINT_PRE_DIRECTION_REV, 'pre-xlate-rev'],
  [SocketTranslationPoint.SOCK_XLATE_POINT_POST_DIRECTION_REV, 'post-xlate-rev'],
]);

function socketPointWord({ sockXlatePoint }: Flow): string {
  return enumWord(SocketTranslationPointSchema, sockXlatePoint);
}

/** Of a policy's verdict other words, and with `hasPolicies` by whom. */
export function verdictText(flow: Flow, hasPolicies: boolean): string {
  const word = enumWord(VerdictSchema, flow.verdict);
  if (flow.eventType?.type !== EVENT_TYPES.policyVerdict) return word;
  switch (flow.verdict) {
    case Verdict.FORWARDED:
    case Verdict.REDIRECTED:
      return `ALLOWED${hasPolicies ? policiesText(flow, 'AllowedBy') : ''}`;
    case Verdict.DROPPED:
    case Verdict.ERROR:
      return `DENIED${hasPolicies ? policiesText(flow, 'DeniedBy') : ''}`;
    case Verdict.AUDIT:
      return 'AUDITED';
    default:
      return word;
  }
}

function policiesText(flow: Flow, how: 'AllowedBy' | 'DeniedBy'): string {
  const named = policiesOf(flow, how).filter(({ kind, name }) => kind !== '' && name !== '');
  if (named.length === 0) return '';
  return ` BY ${named.map(({ kind, name }) => `${name} (${kind})`).join(', ')}`;
}

function policiesOf(flow: Flow, how: 'AllowedBy' | 'DeniedBy'): readonly Policy[] {
  switch (flow.trafficDirection) {
    case TrafficDirection.EGRESS:
      return flow[`egress${how}`];
    case TrafficDirection.INGRESS:
      return flow[`ingress${how}`];
    default:
      return [];
  }
}

export function summaryText({ ipTraceId, Summary, authType }: Flow): string {
  const traceId = ipTraceId?.traceId ?? 0n;
  const trace = traceId > 0n ? `IP Trace ID: ${traceId}; ` : '';
  const isAuthenticated = authType !== AuthType.DISABLED;
  const auth = isAuthenticated ? `; Auth: ${enumWord(AuthTypeSchema, authType)}` : '';
  return `${trace}${Summary}${auth}`;
}

const EVENT_WORDS: ReadonlyMap<string, number> = new Map([
  ['drop', EVENT_TYPES.drop],
  ['debug', EVENT_TYPES.debug],
  ['capture', EVENT_TYPES.capture],
  ['trace', EVENT_TYPES.trace],
  ['policy-verdict', EVENT_TYPES.policyVerdict],
  ['trace-sock', EVENT_TYPES.traceSock],
  ['l7', EVENT_TYPES.l7],
]);

export interface EventType {
  readonly type: number;
  readonly matchSubType: boolean;
  readonly subType: number;
}

/** "l7", "trace:to-endpoint", "1:133". Throws for what is none. */
export function eventTypeOf(text: string): EventType {
  const colon = text.indexOf(':');
  const word = colon === -1 ? text : text.slice(0, colon);
  const type = EVENT_WORDS.get(word) ?? numberOf(word, [...EVENT_WORDS.keys()]);
  if (colon === -1) return { type, matchSubType: false, subType: 0 };
  const subWord = text.slice(colon + 1);
  const point = type === EVENT_TYPES.trace ? observationPointOf(subWord) : null;
  return { type, matchSubType: true, subType: point ?? numberOf(subWord, []) };
}

function numberOf(text: string, words: readonly string[]): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  const known = words.length === 0 ? '' : `: give one of ${words.join(', ')}`;
  throw new Error(`"${text}" is no kind of event${known}`);
}
