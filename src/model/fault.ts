/**
 * What can go wrong on the data plane, each with who is to blame and what the client sees. A
 * fault is data: `proxy/local_reply` turns it into bytes, `observe/` into a log field and a label. Which rule
 * was broken, where a fault has several, `fault_detail.ts` says.
 */
export type Blame = 'downstream' | 'upstream' | 'control' | 'internal';

export interface FaultSpec {
  readonly blame: Blame;
  /** HTTP status of the local reply; 0 when the connection is only closed or reset. */
  readonly status: number;
  readonly about: string;
}

export const FAULTS = {
  // the client's
  'malformed-request-line': fault(
    'downstream',
    400,
    'the request line breaks the grammar of RFC 9112 3',
  ),
  'malformed-field': fault('downstream', 400, 'a field line breaks the grammar of RFC 9112 5'),
  'underscore-field': fault(
    'downstream',
    400,
    'a field name holds "_", which underscoreFields refuses',
  ),
  'malformed-target': fault(
    'downstream',
    400,
    'the request target breaks the grammar of RFC 9112 3.2',
  ),
  'malformed-host': fault(
    'downstream',
    400,
    'not exactly one Host field with a valid value (RFC 9112 3.2)',
  ),
  'malformed-content-length': fault(
    'downstream',
    400,
    'Content-Length is not one number (RFC 9112 6.3)',
  ),
  'malformed-transfer-encoding': fault(
    'downstream',
    400,
    'Transfer-Encoding is not exactly "chunked" (RFC 9112 6.1)',
  ),
  'ambiguous-framing': fault(
    'downstream',
    400,
    'both Content-Length and Transfer-Encoding (RFC 9112 6.1)',
  ),
  'malformed-chunk': fault(
    'downstream',
    400,
    'the chunked coding breaks its grammar (RFC 9112 7.1)',
  ),
  'malformed-expect': fault(
    'downstream',
    417,
    'an expectation other than 100-continue (RFC 9110 10.1.1)',
  ),
  'malformed-upgrade': fault(
    'downstream',
    400,
    'an upgrade that is not to one protocol, or on a request that closes, or with content where there should be none',
  ),
  'upgrade-refused': fault(
    'downstream',
    403,
    'an upgrade to a protocol that behaviour.upgrades does not name',
  ),
  'early-tunnel-bytes': fault('downstream', 400, 'too many bytes before the upgrade was accepted'),
  'malformed-proxy-protocol': fault(
    'downstream',
    0,
    'the PROXY protocol header breaks its grammar',
  ),
  'untrusted-proxy': fault(
    'downstream',
    0,
    'the connection is not from one of trustedProxies, whose PROXY headers are believed',
  ),
  'malformed-client-hello': fault('downstream', 0, 'the TLS ClientHello cannot be read'),
  'server-name-changed': fault(
    'downstream',
    0,
    'a second TLS ClientHello names another server than the first, which was judged (RFC 8446 4.1.2)',
  ),
  'unsupported-version': fault('downstream', 505, 'an HTTP version other than 1.0 and 1.1'),
  'http10-refused': fault('downstream', 426, 'HTTP/1.0, which is not enabled'),
  'connect-refused': fault('downstream', 405, 'CONNECT is not offered'),
  'unsupported-coding': fault(
    'downstream',
    501,
    'a transfer coding other than chunked (RFC 9112 6.1)',
  ),
  'method-too-long': fault('downstream', 501, 'the method is longer than methodBytesMax'),
  'chunk-extension-too-long': fault(
    'downstream',
    413,
    'chunk extensions are longer than chunkExtensionBytesMax or chunkExtensionTotalBytesMax',
  ),
  'malformed-pseudo-field': fault(
    'downstream',
    400,
    'the pseudo-fields are not exactly those of a request (RFC 9113 8.3)',
  ),
  'http2-error': fault('downstream', 0, 'the connection breaks RFC 9113'),
  'http2-abuse': fault(
    'downstream',
    0,
    'the connection spent its budget of frames that only cost us work',
  ),
  'target-too-long': fault('downstream', 414, 'the request target is longer than targetBytesMax'),
  'escaped-slash': fault(
    'downstream',
    307,
    'the path holds %2F or %5C: the client is sent to the unescaped path, which is judged then',
  ),
  'head-too-large': fault(
    'downstream',
    431,
    'the head is larger than headBytesMax or headFieldCountMax',
  ),
  'head-timeout': fault('downstream', 408, 'the head did not arrive within headTimeoutMs'),
  'body-timeout': fault('downstream', 408, 'content stopped for longer than bodyTimeoutMs'),
  'detect-timeout': fault(
    'downstream',
    0,
    'no bytes that tell the protocol within detectTimeoutMs',
  ),
  'proxy-protocol-timeout': fault('downstream', 0, 'no PROXY header within proxyProtocolTimeoutMs'),
  'unknown-protocol': fault(
    'downstream',
    400,
    'the first bytes are of no protocol that can be judged',
  ),
  'malformed-question': fault(
    'downstream',
    0,
    'a DNS message that is not one question with one reading: FORMERR, or NOTIMP',
  ),
  'downstream-closed': fault('downstream', 0, 'the client closed before the response was complete'),
  'downstream-gave-up': fault(
    'downstream',
    0,
    'the client sent its FIN after the request, and no response came: the upstream was told by a FIN, too',
  ),
  'downstream-reset': fault('downstream', 0, 'the client reset the connection'),

  // the upstream's
  'connect-failed': fault(
    'upstream',
    503,
    'the upstream refused the connection or cannot be reached',
  ),
  'connect-timeout': fault('upstream', 504, 'the upstream did not accept within connectTimeoutMs'),
  'upstream-closed': fault('upstream', 503, 'the upstream closed before a complete response head'),
  'upstream-reset': fault('upstream', 503, 'the upstream reset the connection'),
  'upstream-truncated': fault('upstream', 0, 'the upstream closed in the middle of its response'),
  'malformed-response': fault('upstream', 502, 'the response breaks the grammar of RFC 9112'),
  'unsolicited-response': fault(
    'upstream',
    502,
    'the upstream answered what nobody had asked: it may have taken content for a request',
  ),
  'response-head-too-large': fault('upstream', 502, 'the response head is larger than its bounds'),
  'upstream-http2-error': fault(
    'upstream',
    502,
    'the upstream does not speak HTTP/2, or breaks RFC 9113',
  ),
  'unexpected-upgrade': fault(
    'upstream',
    502,
    'the upstream switched protocols without being asked',
  ),
  'stream-idle-timeout': fault('upstream', 504, 'nothing moved for streamIdleTimeoutMs'),
  'request-timeout': fault(
    'upstream',
    504,
    'the response was not complete within requestTimeoutMs',
  ),
  'malformed-answer': fault(
    'upstream',
    0,
    'the answer of a DNS server breaks RFC 1035, or too many came that answer nothing that was asked: SERVFAIL',
  ),
  'answer-timeout': fault('upstream', 0, 'the DNS server did not answer within dnsAnswerTimeoutMs'),

  // ours
  overloaded: fault('internal', 503, 'the proxy is at its bound of connections or memory'),
  draining: fault('internal', 503, 'the proxy is shutting down'),
  evicted: fault(
    'internal',
    0,
    'closed to make room: at a bound of the proxy, its source held more than any other',
  ),
  'internal-error': fault('internal', 500, 'an error of the proxy itself'),
  'no-redirect-record': fault(
    'internal',
    0,
    'the kernel has no record of the connection: it came past the redirect, or was pushed out',
  ),
  'no-destination': fault('internal', 0, 'the original destination is not known'),
  'policy-changed': fault(
    'control',
    0,
    'the connection is no longer allowed by the policy in force',
  ),
} as const satisfies Record<string, FaultSpec>;

export type Fault = keyof typeof FAULTS;

function fault(blame: Blame, status: number, about: string): FaultSpec {
  return { blame, status, about };
}
