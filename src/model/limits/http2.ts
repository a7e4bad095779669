import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of one HTTP/2 connection. They hold on each side. */
export const HTTP2_LIMITS = {
  h2StreamCountMax: spec(100, 1, 100_000, 'streams open at once; above: REFUSED_STREAM'),
  h2StreamWindowBytes: spec(
    64 * KIB,
    1 * KIB,
    1024 * MIB,
    'flow-control window of a stream: content of it that may wait for the other side; for a connection, multiply by the streams that may be open',
  ),
  h2ConnectionWindowBytes: spec(
    1 * MIB,
    64 * KIB,
    1024 * MIB,
    'flow-control window of a connection: content of all its streams that may be in transit',
  ),
  h2ContentBytesMax: spec(
    256 * MIB,
    1 * MIB,
    64 * 1024 * MIB,
    'content of all HTTP/2 streams of a worker that may wait for peers that do not read it; above: the largest holder (by identity, address and connection) loses the streams that have stood still for the longest, down to 7/8',
  ),
  h2HeaderTableBytes: spec(4 * KIB, 0, 64 * KIB, 'HPACK dynamic table of the client’s fields'),
  h2HeaderBlockBytesMax: spec(
    512 * KIB,
    1 * KIB,
    16 * MIB,
    'encoded bytes of one header block; should be several times headBytesMax, because a head above headBytesMax costs only its stream; above: the connection is closed',
  ),
  h2ContinuationCountMax: spec(
    64,
    0,
    1000,
    'CONTINUATION frames of one header block; above: the connection is closed',
  ),
  h2SettingCountMax: spec(
    32,
    6,
    2000,
    'entries of one SETTINGS frame; above: the connection is closed',
  ),
  h2ResetCountMax: spec(
    100,
    1,
    1_000_000,
    'streams reset at once, by the client or because of its errors; each answer of the upstream makes up for half a reset, and a stream that lived n times 10 ms counts 1/n³; above: the connection is closed',
  ),
  h2ControlFrameCountMax: spec(
    500,
    10,
    100_000,
    'answers to control frames that wait for a peer that does not read; above: the connection is closed',
  ),
  h2QueuedFrameCountMax: spec(
    2000,
    10,
    1_000_000,
    'frames without content that wait for a peer that does not read; above: the connection is closed',
  ),
  h2EmptyFrameCountMax: spec(
    8,
    0,
    10_000,
    'empty frames in a row (no content, no fields, no end of anything); above: the connection is closed',
  ),
  h2NoiseFrameCountMax: spec(
    100,
    1,
    1_000_000,
    'frames that advance no request (PING, SETTINGS, PRIORITY, unknown) beyond what streams, content and time allow; above: the connection is closed',
  ),
  h2NoiseFramesPerSecond: spec(
    10,
    0,
    1_000_000,
    'frames of that kind that are forgiven each second',
  ),
  h2WindowUpdateSlackCount: spec(
    5,
    0,
    1_000_000,
    'WINDOW_UPDATE frames beyond 2 × (streams + 10 × DATA frames sent); above: the connection is closed',
  ),
  h2ClosedStreamCountMax: spec(
    256,
    16,
    65_536,
    'closed streams that are remembered, so that late frames get the right answer',
  ),
  h2ResetWindowMs: spec(
    1 * SECOND,
    100,
    1 * HOUR,
    'the time in which h2ResetCountMax resets are forgiven',
  ),
  h2SettingsTimeoutMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'from our SETTINGS to their acknowledgement; above: SETTINGS_TIMEOUT',
  ),
  h2StallPingIntervalMs: spec(
    30 * SECOND,
    100,
    1 * HOUR,
    'how often a paused client (its upstream does not read) gets a PING, so that we notice when it has gone',
  ),
} as const;
