import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of connections, and of the memory that a worker gives them. */
export const CONNECTION_LIMITS = {
  bufferBytesMax: spec(
    64 * KIB,
    4 * KIB,
    16 * MIB,
    'bytes waiting in one direction before the other side is paused',
  ),
  readMemoryBytesMax: spec(
    8 * MIB,
    1 * MIB,
    1024 * MIB,
    'bytes read from sockets before the memory of finished reads is reclaimed',
  ),
  detectBytesMax: spec(
    32 * KIB,
    64,
    256 * KIB,
    'bytes of a TLS ClientHello, headers of records included; above: reset',
  ),
  proxyProtocolBytesMax: spec(536, 232, 4 * KIB, 'bytes of a PROXY protocol header'),
  connectionCountMax: spec(
    10_000,
    1,
    1_000_000,
    'downstream connections of one worker; at this bound the largest holder makes room, or gets 503',
  ),
  memoryBytesMax: spec(
    1024 * MIB,
    64 * MIB,
    1024 * 1024 * MIB,
    'resident memory of one worker; from 7/8 of it the largest holder makes room; above it new work gets 503',
  ),
  requestCountMax: spec(
    50_000,
    1,
    10_000_000,
    'requests, HTTP/2 streams and tunnels that one worker serves at once; above: the largest holder makes room',
  ),
  evictionRestMinMs: spec(
    1 * SECOND,
    0,
    1 * HOUR,
    'idle time after which a connection may make room for a connection of its own source, or of a source with as many',
  ),
  idleTimeoutMs: spec(1 * HOUR, 100, 24 * HOUR, 'how long a connection may be without a request'),
  connectTimeoutMs: spec(
    2 * SECOND,
    10,
    5 * 60 * SECOND,
    'how long a connection attempt to the upstream may take; above: 504',
  ),
  detectTimeoutMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'from accept to the first bytes that tell the protocol',
  ),
  proxyProtocolTimeoutMs: spec(
    5 * SECOND,
    100,
    1 * HOUR,
    'from accept to a whole PROXY protocol header',
  ),
  drainTimeoutMs: spec(5 * SECOND, 0, 1 * HOUR, 'from SIGTERM to cutting what is still open'),
  listenBacklogMax: spec(
    4096,
    1,
    65_535,
    'connections that wait at a listener to be accepted; net.core.somaxconn is a second bound',
  ),
  delayedCloseTimeoutMs: spec(
    1 * SECOND,
    0,
    60 * SECOND,
    'how long the client may take to read our last reply before its socket is closed; starts again with each byte that it sends',
  ),
  lingerTimeoutMs: spec(
    30 * SECOND,
    0,
    1 * HOUR,
    'how long bytes that a client sends after our last reply are read and dropped; closing earlier would destroy the reply',
  ),
  sweepIntervalMs: spec(
    100,
    10,
    10 * SECOND,
    'how often time-outs are checked; this is their resolution',
  ),
} as const;
