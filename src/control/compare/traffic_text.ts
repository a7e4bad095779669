/** Ports and protocols in few words: "TCP 80, 443", "everything but TCP 8080". */
import { POLICY_PROTOCOLS, type PolicyProtocol } from '../../model/identity.ts';
import { type PortArea, portsOf } from './direction_changes.ts';

export function trafficText(areas: readonly PortArea[]): string {
  const left = complementOf(areas);
  if (left.length === 0) return 'everything';
  const own = listText(areas);
  const others = listText(left);
  return own.length <= others.length ? own : `everything but ${others}`;
}

/** All that is not in `areas`. */
function complementOf(areas: readonly PortArea[]): readonly PortArea[] {
  return POLICY_PROTOCOLS.flatMap((protocol) => {
    const [first, last] = portsOf(protocol);
    const left: PortArea[] = [];
    let next = first;
    for (const area of areas.filter((one) => one.protocol === protocol)) {
      if (area.first > next) left.push({ protocol, first: next, last: area.first - 1 });
      next = area.last + 1;
    }
    if (next <= last) left.push({ protocol, first: next, last });
    return left;
  });
}

function listText(areas: readonly PortArea[]): string {
  return [...Map.groupBy(areas, ({ protocol }) => protocol)]
    .map(([protocol, own]) => protocolText(protocol, own))
    .join(', ');
}

function protocolText(protocol: PolicyProtocol, areas: readonly PortArea[]): string {
  const [first, last] = portsOf(protocol);
  const [area] = areas;
  const isWhole = areas.length === 1 && area?.first === first && area.last === last;
  if (protocol === 'other') return 'other protocols';
  if (isWhole) return protocol;
  const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  const shift = isIcmp ? 1 : 0;
  const ranges = areas.map((one) =>
    one.first === one.last ? String(one.first - shift) : `${one.first - shift}-${one.last - shift}`,
  );
  return `${protocol}${isIcmp ? ' type' : ''} ${ranges.join(', ')}`;
}
