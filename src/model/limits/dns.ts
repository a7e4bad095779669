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
} as const;
