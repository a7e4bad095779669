import { HOUR, KIB, SECOND, spec } from './spec.ts';

/** Bounds of listeners with `protocol: dns`. */
export const DNS_LIMITS = {
  dnsQuestionCountMax: spec(
    4096,
    1,
    1_000_000,
    'DNS questions by UDP that one worker waits for at once; each is a socket; at this bound the source with the most of them makes room, or gets SERVFAIL',
  ),
  dnsSourceQuestionCountMax: spec(
    1024,
    1,
    1_000_000,
    'DNS questions by UDP of one source address that one worker waits for at once; above: SERVFAIL',
  ),
  dnsPipelinedCountMax: spec(
    64,
    1,
    4096,
    'DNS questions of one TCP connection that wait for their answers; above: no more of them are read',
  ),
  dnsQuestionBytesMax: spec(
    4 * KIB,
    512,
    65_535,
    'bytes of a DNS question; above: dropped by UDP, closed by TCP',
  ),
  dnsAnswerTimeoutMs: spec(
    10 * SECOND,
    100,
    5 * 60 * SECOND,
    'how long a DNS server may take to answer a question; after that nothing is answered, as if it had been asked directly',
  ),
  dnsTcpIdleTimeoutMs: spec(
    30 * SECOND,
    100,
    1 * HOUR,
    'how long a TCP connection with DNS questions may be without a whole question, and its answers unread',
  ),
  dnsAnswerAddressCountMax: spec(
    1000,
    1,
    10_000,
    'addresses of one DNS answer that are told; those above are passed on only',
  ),
  dnsLearnWaitMs: spec(
    2 * SECOND,
    0,
    30 * SECOND,
    'how long an answer waits at most until its addresses are in force for its name (toFQDNs); then it is let go all the same, and counted',
  ),
  dnsLearnWaitingCountMax: spec(
    4096,
    1,
    1_000_000,
    'DNS answers of one worker that wait for their addresses at once; above: let go at once, and counted',
  ),
  dnsLearnedTtlMinMs: spec(
    0,
    0,
    24 * HOUR,
    'what is learned of a name stays at least so long, whatever its TTL says (tofqdns-min-ttl)',
  ),
  dnsLearnedTtlMaxMs: spec(
    168 * HOUR,
    1 * SECOND,
    8760 * HOUR,
    'what is learned of a name stays at most so long by its TTL',
  ),
  dnsLearnedGraceMs: spec(
    60 * SECOND,
    1 * SECOND,
    24 * HOUR,
    'how long an address of a name stays behind its TTL, or behind the last sign of an open connection to it',
  ),
  dnsLearnedNameAddressCountMax: spec(
    1000,
    1,
    100_000,
    'addresses of one name that are kept for one endpoint; above: those that it was told longest ago go',
  ),
  dnsLearnedEndpointAddressCountMax: spec(
    10_000,
    1,
    1_000_000,
    'pairs of a name and an address that are kept for one endpoint; above: those that it asked for longest ago go',
  ),
  dnsLearnedAddressNameCountMax: spec(
    100,
    1,
    10_000,
    'names of one address that are kept for one endpoint; above: those that it asked for longest ago go',
  ),
  dnsLearnedAddressCountMax: spec(
    100_000,
    1,
    1_000_000,
    'pairs of a name and an address that are kept in all; above: the endpoint that has the most makes room',
  ),
} as const;
