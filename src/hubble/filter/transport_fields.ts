import type { Flow as HubbleFlow, Layer4 } from '../generated/flow/flow_pb.ts';
import { BadFilterError } from './bad_filter.ts';
import type { FlowTest } from './flow_test.ts';

type Layer4Case = NonNullable<Layer4['protocol']['case']>;

const LAYER4_CASES: ReadonlyMap<string, readonly Layer4Case[]> = new Map([
  ['icmp', ['ICMPv4', 'ICMPv6']],
  ['icmpv4', ['ICMPv4']],
  ['icmpv6', ['ICMPv6']],
  ['tcp', ['TCP']],
  ['udp', ['UDP']],
  ['sctp', ['SCTP']],
  ['vrrp', ['VRRP']],
  ['igmp', ['IGMP']],
]);
const LAYER7_CASES: ReadonlySet<string> = new Set(['dns', 'http', 'kafka']);
const PORT = /^[0-9]+$/;
const PORT_MAX = 65_535;

/** A request by HTTP is of TCP, too. */
export function protocolsTest(names: readonly string[]): FlowTest {
  const layer4 = new Set<string>();
  const layer7 = new Set<string>();
  for (const name of names) {
    const word = name.toLowerCase();
    const cases = LAYER4_CASES.get(word);
    if (cases !== undefined) for (const one of cases) layer4.add(one);
    else if (LAYER7_CASES.has(word)) layer7.add(word);
    else throw new BadFilterError(`unknown protocol: "${name}"`);
  }
  return ({ l4, l7 }) => layer4.has(l4?.protocol.case ?? '') || layer7.has(l7?.record.case ?? '');
}

/** `portOf`: null where the protocol has none. */
export function portsTest(
  texts: readonly string[],
  portOfFlow: (flow: HubbleFlow) => number | null,
): FlowTest {
  const ports = texts.map((text) => {
    const port = PORT.test(text) ? Number(text) : Number.NaN;
    if (port <= PORT_MAX) return port;
    throw new BadFilterError(`invalid port "${text}" in filter`);
  });
  return (flow) => {
    const port = portOfFlow(flow);
    return port !== null && ports.includes(port);
  };
}

export function portOf({ l4 }: HubbleFlow, end: 'sourcePort' | 'destinationPort'): number | null {
  switch (l4?.protocol.case) {
    case 'TCP':
    case 'UDP':
    case 'SCTP':
      return l4.protocol.value[end];
    default:
      return null;
  }
}
