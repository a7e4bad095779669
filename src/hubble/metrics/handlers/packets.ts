import { enumWord } from '../../flow/enum_word.ts';
import { icmpWord, protocolWord } from '../../flow/flow_words.ts';
import {
  DropReason,
  type Flow,
  IPVersionSchema,
  type Layer4,
  type TCPFlags,
  Verdict,
  VerdictSchema,
} from '../../generated/flow/flow_pb.ts';
import type { MetricHandler } from '../handler.ts';

export const TCP_FLAGS: MetricHandler = (parts) => {
  const { context } = parts;
  const counter = parts.counter('tcp_flags_total', 'Flags of TCP.', ['flag', 'family']);
  return (flow) => {
    const flags = tcpFlags(flow);
    if (!isForwarded(flow) || flags === undefined || flow.IP === undefined) return;
    const sides = context.values(flow, false);
    const family = enumWord(IPVersionSchema, flow.IP.ipVersion);
    const add = (flag: string): void => counter.add([...sides, flag, family]);
    if (flags.FIN) add('FIN');
    if (flags.SYN) add(flags.ACK ? 'SYN-ACK' : 'SYN');
    if (flags.RST) add('RST');
  };
};

export const ICMP: MetricHandler = (parts) => {
  const { context } = parts;
  const counter = parts.counter('icmp_total', 'ICMP messages.', ['family', 'type*']);
  return (flow) => {
    const protocol = flow.l4?.protocol;
    if (protocol?.case === 'ICMPv4') {
      counter.add([...context.values(flow, false), 'IPv4', icmpWord(4, protocol.value)]);
    } else if (protocol?.case === 'ICMPv6') {
      counter.add([...context.values(flow, false), 'IPv6', icmpWord(6, protocol.value)]);
    }
  };
};

export const PORT_DISTRIBUTION: MetricHandler = (parts) => {
  const { context } = parts;
  const counter = parts.counter('port_distribution_total', 'Flows by the port asked for.', [
    ...['protocol', 'port*'],
  ]);
  return (flow) => {
    const { l4 } = flow;
    // Of what may be an answer the port is nobody's that can be asked.
    if (!isForwarded(flow) || l4 === undefined || flow.isReply !== false) return;
    const protocol = l4.protocol.case;
    if (protocol === undefined) return;
    counter.add([...context.values(flow, false), protocol, portOf(l4) ?? '0']);
  };
};

export const FLOWS_TO_WORLD: MetricHandler = (parts) => {
  const { context } = parts;
  const isAnyDrop = parts.has('any-drop');
  const isSynOnly = parts.has('syn-only');
  const hasPort = parts.has('port');
  const counter = parts.counter('flows_to_world_total', 'Flows to reserved:world.', [
    ...['protocol', 'verdict'],
    ...(hasPort ? ['port*'] : []),
  ]);
  return (flow) => {
    const { l4, verdict } = flow;
    if (l4 === undefined || flow.eventType === undefined || !isToWorld(flow)) return;
    const isReply = flow.isReply === true;
    const isDropped = verdict === Verdict.DROPPED;
    if (isDropped && !isAnyDrop && flow.dropReasonDesc !== DropReason.POLICY_DENIED) return;
    if (!isDropped && isReply) return;
    if (isSynOnly && (tcpFlags(flow)?.SYN !== true || isReply)) return;
    const port = hasPort ? [portOf(l4) ?? ''] : [];
    counter.add([
      ...context.values(flow, false),
      protocolWord(flow),
      enumWord(VerdictSchema, verdict),
      ...port,
    ]);
  };
};

const WORLD_LABELS = ['reserved:world', 'reserved:world-ipv4', 'reserved:world-ipv6'];

function isToWorld({ destination }: Flow): boolean {
  return destination?.labels.some((label) => WORLD_LABELS.includes(label)) === true;
}

function isForwarded({ verdict }: Flow): boolean {
  return verdict === Verdict.FORWARDED || verdict === Verdict.REDIRECTED;
}

function tcpFlags({ l4 }: Flow): TCPFlags | undefined {
  return l4?.protocol.case === 'TCP' ? l4.protocol.value.flags : undefined;
}

/** Null: the protocol has none. */
function portOf({ protocol }: Layer4): string | null {
  switch (protocol.case) {
    case 'TCP':
    case 'UDP':
    case 'SCTP':
      return String(protocol.value.destinationPort);
    default:
      return null;
  }
}
