/** Words that Hubble's users see for numbers of a flow: protocols, kinds of events, codes of ICMP and DNS. */
import type { Flow } from '../generated/flow/flow_pb.ts';

/** Of `event_type.type` (cilium pkg/monitor/api). */
export const EVENT_TYPES = {
  drop: 1,
  debug: 2,
  capture: 3,
  trace: 4,
  policyVerdict: 5,
  traceSock: 7,
  l7: 129,
} as const;

const OBSERVATION_POINTS: readonly string[] = [
  'to-endpoint',
  'to-proxy',
  'to-host',
  'to-stack',
  'to-overlay',
  'from-endpoint',
  'from-proxy',
  'from-host',
  'from-stack',
  'from-overlay',
  'from-network',
  'to-network',
  'from-crypto',
  'to-crypto',
];

/** Null: no such point. */
export function observationPoint(subType: number): string | null {
  return OBSERVATION_POINTS[subType] ?? null;
}

/** Null: no such word. */
export function observationPointOf(word: string): number | null {
  const found = OBSERVATION_POINTS.indexOf(word);
  return found === -1 ? null : found;
}

const MATCH_TYPES = ['none', 'L3-Only', 'L3-L4', 'L4-Only', 'all', 'L3-Proto', 'Proto-Only'];

export function matchTypeWord(type: number): string {
  return MATCH_TYPES[type] ?? 'unknown';
}

/** "HTTP", "TCP": the highest that is known. */
export function protocolWord(flow: Flow): string {
  switch (flow.eventType?.type ?? 0) {
    case EVENT_TYPES.l7:
      return l7Word(flow) ?? 'Unknown L7';
    case EVENT_TYPES.drop:
    case EVENT_TYPES.trace:
    case EVENT_TYPES.policyVerdict:
    case EVENT_TYPES.capture:
      return flow.l4?.protocol.case ?? 'Unknown L4';
    default:
      return 'Unknown flow';
  }
}

/** Null: none that is known. */
export function l7Word({ l7 }: Flow): 'DNS' | 'HTTP' | 'Kafka' | null {
  const protocol = l7?.record.case;
  return protocol === undefined ? null : L7_WORDS[protocol];
}

const L7_WORDS = { dns: 'DNS', http: 'HTTP', kafka: 'Kafka' } as const;

const RCODES: ReadonlyMap<number, string> = new Map([
  [0, 'No Error'],
  [1, 'Format Error'],
  [2, 'Server Failure'],
  [3, 'Non-Existent Domain'],
  [4, 'Not Implemented'],
  [5, 'Query Refused'],
  [6, 'Name Exists when it should not'],
  [7, 'RR Set Exists when it should not'],
  [8, 'RR Set that should exist does not'],
  [9, 'Not Authorized'],
  [10, 'Name not contained in zone'],
  [11, 'DSO-TYPE Not Implemented'],
  [16, 'Bad OPT Version'],
  [17, 'Key not recognized'],
  [18, 'Signature out of time window'],
  [19, 'Bad TKEY Mode'],
  [20, 'Duplicate key name'],
  [21, 'Algorithm not supported'],
  [22, 'Bad Truncation'],
  [23, 'Bad/missing Server Cookie'],
]);

/** "" for a code that has no name. */
export function rcodeWord(rcode: number): string {
  return RCODES.get(rcode) ?? '';
}

interface IcmpWord {
  readonly word: string;
  /** Null: the type has no codes. */
  readonly codes: ReadonlyMap<number, string> | null;
}

/** As gopacket names them, which Hubble prints. */
const ICMP4: ReadonlyMap<number, IcmpWord> = new Map([
  [0, plain('EchoReply')],
  [
    3,
    coded(
      'DestinationUnreachable',
      'Net Host Protocol Port FragmentationNeeded SourceRoutingFailed NetUnknown HostUnknown SourceIsolated NetAdminProhibited HostAdminProhibited NetTOS HostTOS CommAdminProhibited HostPrecedence PrecedenceCutoff',
    ),
  ],
  [4, plain('SourceQuench')],
  [5, coded('Redirect', 'Net Host TOS+Net TOS+Host')],
  [8, plain('EchoRequest')],
  [9, plain('RouterAdvertisement')],
  [10, plain('RouterSolicitation')],
  [11, coded('TimeExceeded', 'TTLExceeded FragmentReassemblyTimeExceeded')],
  [12, coded('ParameterProblem', 'PointerIndicatesError MissingOption BadLength')],
  [13, plain('TimestampRequest')],
  [14, plain('TimestampReply')],
  [15, plain('InfoRequest')],
  [16, plain('InfoReply')],
  [17, plain('AddressMaskRequest')],
  [18, plain('AddressMaskReply')],
]);

const ICMP6: ReadonlyMap<number, IcmpWord> = new Map([
  [
    1,
    coded(
      'DestinationUnreachable',
      'NoRouteToDst AdminProhibited BeyondScopeOfSrc AddressUnreachable PortUnreachable SrcAddressFailedPolicy RejectRouteToDst',
    ),
  ],
  [2, plain('PacketTooBig')],
  [3, coded('TimeExceeded', 'HopLimitExceeded FragmentReassemblyTimeExceeded')],
  [
    4,
    coded('ParameterProblem', 'ErroneousHeaderField UnrecognizedNextHeader UnrecognizedIPv6Option'),
  ],
  [128, plain('EchoRequest')],
  [129, plain('EchoReply')],
  [133, plain('RouterSolicitation')],
  [134, plain('RouterAdvertisement')],
  [135, plain('NeighborSolicitation')],
  [136, plain('NeighborAdvertisement')],
  [137, plain('Redirect')],
]);

export function icmpWord(
  family: 4 | 6,
  { type, code }: { readonly type: number; readonly code: number },
): string {
  const known = (family === 4 ? ICMP4 : ICMP6).get(type);
  if (known === undefined) return `${type}(${code})`;
  const { word, codes } = known;
  if (codes === null && code === 0) return word;
  const name = codes?.get(code);
  return `${word}(${name ?? `Code: ${code}`})`;
}

function plain(word: string): IcmpWord {
  return { word, codes: null };
}

/** `codes`: their names from 0 on, with spaces between. */
function coded(word: string, codes: string): IcmpWord {
  return { word, codes: new Map(codes.split(' ').entries()) };
}
