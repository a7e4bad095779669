import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of one message and one request, whichever the version; at HTTP/2 those of `http2.ts` join them. */
export const HTTP_LIMITS = {
  headBytesMax: spec(
    60 * KIB,
    1 * KIB,
    1 * MIB,
    'bytes of a request head, start line included; above: 431',
  ),
  headFieldCountMax: spec(100, 1, 10_000, 'field lines of a request head; above: 431'),
  methodBytesMax: spec(64, 8, 4 * KIB, 'bytes of a method; above: 501'),
  targetBytesMax: spec(32 * KIB, 256, 512 * KIB, 'bytes of a request target; above: 414'),
  responseHeadBytesMax: spec(60 * KIB, 1 * KIB, 1 * MIB, 'bytes of a response head; above: 502'),
  responseFieldCountMax: spec(200, 1, 10_000, 'field lines of a response head; above: 502'),
  informationalResponseCountMax: spec(
    10_000,
    1,
    1_000_000_000,
    '1xx responses to one request, which some upstreams send as heartbeats; above: 502',
  ),
  chunkExtensionBytesMax: spec(1 * KIB, 0, 64 * KIB, 'bytes of the extensions of one chunk'),
  chunkExtensionTotalBytesMax: spec(
    16 * KIB,
    0,
    1 * MIB,
    'bytes of chunk extensions of one message',
  ),
  trailerBytesMax: spec(8 * KIB, 0, 1 * MIB, 'bytes of a trailer section'),
  trailerFieldCountMax: spec(32, 0, 1000, 'field lines of a trailer section'),
  discardedContentBytesMax: spec(
    64 * KIB,
    0,
    64 * MIB,
    'bytes of a refused request that are read and dropped to keep the connection',
  ),
  pipelinedBytesMax: spec(
    64 * KIB,
    1 * KIB,
    1 * MIB,
    'bytes of later requests kept while one is in flight; above: the client is paused',
  ),
  earlyTunnelBytesMax: spec(
    16 * KIB,
    0,
    1 * MIB,
    'bytes kept after an upgrade request until the upstream accepts it; above: 400',
  ),
  requestsPerConnectionMax: spec(
    0,
    0,
    1_000_000_000,
    'requests on one connection before it is closed; 0: no bound',
  ),
  upstreamRetryCountMax: spec(
    1,
    0,
    1,
    'times that an idempotent request without content is sent again after a stale connection',
  ),
  headTimeoutMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'from the first byte of a head to its last; above: 408',
  ),
  bodyTimeoutMs: spec(
    60 * SECOND,
    100,
    1 * HOUR,
    'waiting for request content before any response; content that has arrived extends it by the time it takes at bodyBytesPerSecondMin; above: 408; not for gRPC',
  ),
  bodyBytesPerSecondMin: spec(
    240,
    0,
    1024 * MIB,
    'average rate of request content that extends bodyTimeoutMs; 0: content may be slow without bound',
  ),
  halfClosedTimeoutMs: spec(
    60 * SECOND,
    0,
    24 * HOUR,
    'how long a client that has sent its FIN after an HTTP/1.1 request may wait for a byte of response; then both sides are closed, because it may be gone',
  ),
  streamIdleTimeoutMs: spec(
    300 * SECOND,
    0,
    24 * HOUR,
    'how long neither side of a request or tunnel may move a byte; above: 504 or close',
  ),
  requestTimeoutMs: spec(
    0,
    0,
    24 * HOUR,
    'from a request head to the end of its response; above: 504 or close',
  ),
} as const;
