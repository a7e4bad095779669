/** Why the kernel programs drop a packet: a word for flows and counters, and what it means. */
export const DROP_REASONS = {
  'denied-egress': 'no egress rule of the sender allows it, or one denies it',
  'denied-ingress': 'no ingress rule of the receiver allows it, or one denies it',
  'no-generation': 'no policy is in force yet',
  'unknown-interface': 'the interface is named by no file',
  'foreign-source': "the source address is not the sender's own",
  malformed: 'the packet is malformed',
  fragment: 'a fragment whose first part was not seen',
  vlan: 'it has a VLAN tag',
  'not-ip': 'it is neither IP nor ARP',
  stale: 'the connection is older than the rule, or unknown',
  'no-listener': 'it has L7 rules and no proxy listens',
  'rate-limited': 'too many new connections of one endpoint, or from outside to one, in a second',
  unredirectable:
    'it has L7 rules and cannot be brought to the proxy (neither TCP nor UDP, from the host, or to a Service by its address)',
  'record-lost': 'it was marked for the proxy and its record is gone',
  'unknown-sender': 'a NAT or a tunnel of the node left no trace of who sent it',
  'foreign-neighbour':
    'it claims an address that is not its own, or is sent to one that is another’s',
  'no-backend': 'the Service has no backend',
  'too-many-backends': 'more identities and ports are behind the Service than are asked about (32)',
} as const satisfies Record<string, string>;

export type DropReason = keyof typeof DROP_REASONS;

export function isDropReason(word: string): word is DropReason {
  return Object.hasOwn(DROP_REASONS, word);
}
