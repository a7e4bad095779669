/**
 * Every bound and every time-out of the program, with its default and its range. Nothing else in
 * `src/` may hold one: a queue, buffer, cache or loop takes its bound from here.
 *
 * Defaults follow Envoy's edge advice and Cilium's agent where they agree, and are stricter where
 * an attack says so. The configuration's `limits:` accepts exactly these names; time-outs are in
 * milliseconds, and 0 means "off" where the range begins at 0.
 */
export interface LimitSpec {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly about: string;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const SECOND = 1000;
const HOUR = 3600 * SECOND;

export const LIMITS = {
  // heads
  headBytesMax: spec(
    60 * KIB,
    1 * KIB,
    1 * MIB,
    'bytes of a request head, start line included; above: 431',
  ),
  headFieldCountMax: spec(100, 1, 10_000, 'field lines of a request head; above: 431'),
  targetBytesMax: spec(32 * KIB, 256, 512 * KIB, 'bytes of a request target; above: 414'),
  responseHeadBytesMax: spec(60 * KIB, 1 * KIB, 1 * MIB, 'bytes of a response head; above: 502'),
  responseFieldCountMax: spec(200, 1, 10_000, 'field lines of a response head; above: 502'),
  informationalResponseCountMax: spec(16, 1, 1000, '1xx responses to one request; above: 502'),

  // content
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
  bufferBytesMax: spec(
    64 * KIB,
    4 * KIB,
    16 * MIB,
    'bytes waiting in one direction before the other side is paused',
  ),
  pipelinedBytesMax: spec(
    64 * KIB,
    1 * KIB,
    1 * MIB,
    'bytes of later requests held while one is in flight; then the client is paused',
  ),
  readMemoryBytesMax: spec(
    8 * MIB,
    1 * MIB,
    1024 * MIB,
    'bytes read from sockets after which the memory of reads that are over is taken back',
  ),
  earlyTunnelBytesMax: spec(
    16 * KIB,
    0,
    1 * MIB,
    'bytes held after an upgrade request until the upstream accepts it; above: 400',
  ),
  detectBytesMax: spec(
    16 * KIB,
    64,
    64 * KIB,
    'bytes read to tell the protocol and the server name of a connection',
  ),
  proxyProtocolBytesMax: spec(536, 232, 4 * KIB, 'bytes of a PROXY protocol header'),

  // connections
  connectionCountMax: spec(
    10_000,
    1,
    1_000_000,
    'downstream connections of one worker; above: 503 and close',
  ),
  requestsPerConnectionMax: spec(
    0,
    0,
    1_000_000_000,
    'requests on one connection before it is closed; 0: no bound',
  ),
  memoryBytesMax: spec(
    1024 * MIB,
    64 * MIB,
    1024 * 1024 * MIB,
    'resident memory of one worker above which new work gets 503',
  ),
  upstreamRetryCountMax: spec(
    1,
    0,
    1,
    'times that an idempotent request without content is sent again after a stale connection',
  ),

  // HTTP/2 (each connection, both sides)
  h2StreamCountMax: spec(100, 1, 100_000, 'streams open at once; above: REFUSED_STREAM'),
  h2StreamWindowBytes: spec(
    64 * KIB,
    1 * KIB,
    1024 * MIB,
    'flow-control window of a stream: content that may wait for the other side',
  ),
  h2ConnectionWindowBytes: spec(
    1 * MIB,
    64 * KIB,
    1024 * MIB,
    'flow-control window of a connection: content of all its streams that may wait',
  ),
  h2HeaderTableBytes: spec(4 * KIB, 0, 64 * KIB, 'HPACK dynamic table of the client’s fields'),
  h2HeaderBlockBytesMax: spec(
    64 * KIB,
    1 * KIB,
    1 * MIB,
    'encoded bytes of one header block; above: the connection is closed',
  ),
  h2ContinuationCountMax: spec(
    16,
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
    'streams reset within h2ResetWindowMs, by the client or because of its errors; above: the connection is closed',
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
    'frames, but for those of content, that wait for a peer that does not read; above: the connection is closed',
  ),
  h2EmptyFrameCountMax: spec(
    8,
    0,
    10_000,
    'frames in a row without content or fields that end nothing; above: the connection is closed',
  ),
  h2NoiseFrameCountMax: spec(
    100,
    1,
    1_000_000,
    'frames that move no request on (PING, SETTINGS, PRIORITY, unknown) beyond what streams, content and time allow; above: the connection is closed',
  ),
  h2NoiseFramesPerSecond: spec(
    10,
    0,
    1_000_000,
    'frames of that kind that are forgotten each second',
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

  // time
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
    'between two reads of request content; above: 408',
  ),
  idleTimeoutMs: spec(1 * HOUR, 100, 24 * HOUR, 'a connection without a request'),
  streamIdleTimeoutMs: spec(
    300 * SECOND,
    0,
    24 * HOUR,
    'a request or tunnel on which neither side moves a byte; above: 504 or close',
  ),
  requestTimeoutMs: spec(
    0,
    0,
    24 * HOUR,
    'from a request head to the end of its response; above: 504 or close',
  ),
  connectTimeoutMs: spec(
    2 * SECOND,
    10,
    5 * 60 * SECOND,
    'a connection attempt to the upstream; above: 504',
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
  h2ResetWindowMs: spec(10 * SECOND, 100, 1 * HOUR, 'the time in which h2ResetCountMax counts'),
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
    'how often a client that is not read, as its upstream does not read, is sent a PING: so its end is noticed',
  ),
  drainTimeoutMs: spec(5 * SECOND, 0, 1 * HOUR, 'from SIGTERM to cutting what is still open'),
  listenBacklogMax: spec(
    4096,
    1,
    65_535,
    'connections that wait at a listener to be accepted; net.core.somaxconn bounds it, too',
  ),
  listenerLingerMs: spec(
    300,
    0,
    60 * SECOND,
    'from SIGTERM to closing a transparent listener: the kernel may have sent it connections before the next proxy took over',
  ),
  redirectCheckIntervalMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'how often the pins of the redirect are looked at: whether they were made anew, or slots are empty',
  ),
  delayedCloseTimeoutMs: spec(
    1 * SECOND,
    0,
    60 * SECOND,
    'waiting for the client to read our last reply before its socket is closed',
  ),
  sweepIntervalMs: spec(
    100,
    10,
    10 * SECOND,
    'how often time-outs are looked at: their resolution',
  ),

  // policy
  policyBytesMax: spec(64 * MIB, 1 * KIB, 1024 * MIB, 'bytes of all policy files together'),
  policyFileCountMax: spec(100_000, 1, 10_000_000, 'policy files in force together'),
  yamlAliasCountMax: spec(100, 0, 100_000, 'expanded aliases of one YAML document'),
  regexBytesMax: spec(4 * KIB, 16, 1 * MIB, 'bytes of one regular expression'),
  regexMemoryBytesMax: spec(
    1 * MIB,
    16 * KIB,
    256 * MIB,
    'memory of one compiled regular expression',
  ),
  regexCacheCountMax: spec(
    20_000,
    1,
    10_000_000,
    'compiled patterns that are kept, so that a reload compiles only new ones',
  ),
  regexSetMemoryBytesMax: spec(
    64 * MIB,
    64 * KIB,
    2048 * MIB,
    'memory of one pattern set, of which a port can have several; a set that needs more denies',
  ),
  identityCountMax: spec(1_000_000, 1, 16_000_000, 'identities known at once'),
  viewCacheCountMax: spec(4096, 1, 1_000_000, 'cached (port, remote) views of one port policy'),

  // observation and control
  configBytesMax: spec(1 * MIB, 1 * KIB, 64 * MIB, 'bytes of the configuration file'),
  accessLogBufferBytesMax: spec(
    16 * MIB,
    4 * KIB,
    1024 * MIB,
    'access log bytes waiting for a slow sink; above: records are dropped and counted',
  ),
  accessLogDelayMs: spec(
    50,
    1,
    10 * SECOND,
    'how long an access log line waits for others to be written with it',
  ),
  accessLogCloseTimeoutMs: spec(
    2 * SECOND,
    10,
    60 * SECOND,
    'waiting for the sink of the access log to take the last lines',
  ),
  internalErrorLogIntervalMs: spec(
    1 * SECOND,
    0,
    1 * HOUR,
    'least time between two log lines on internal errors; those between are counted',
  ),
  metricPolicyLabelCountMax: spec(
    10_000,
    10,
    1_000_000,
    'rules that get their own hit counter; above: they share one',
  ),
  adminBodyBytesMax: spec(1 * MIB, 1 * KIB, 64 * MIB, 'bytes of a request to the admin server'),
  adminConnectionCountMax: spec(64, 1, 10_000, 'connections of the admin server; above: closed'),
  adminTimeoutMs: spec(
    10 * SECOND,
    100,
    5 * 60 * SECOND,
    'a request to the admin server, and an idle connection of it',
  ),
  reloadDelayMs: spec(100, 0, 60 * SECOND, 'quiet time after a file change before it is read'),
  policyTurnMs: spec(
    3,
    1,
    1 * SECOND,
    'work of a worker on a new policy before traffic has its turn; what cannot be put down takes longer',
  ),
  reloadPollIntervalMs: spec(
    1 * SECOND,
    50,
    1 * HOUR,
    'between two looks at watched files, for changes that the system does not report',
  ),
  askedLabelSetCountMax: spec(
    4096,
    1,
    1_000_000,
    'label sets that questions asked about and that have an identity for it',
  ),
  restartBackoffMinMs: spec(
    100,
    1,
    60 * SECOND,
    'first wait before a dead worker is started again',
  ),
  restartBackoffMaxMs: spec(
    30 * SECOND,
    1,
    1 * HOUR,
    'longest wait before a dead worker is started again',
  ),
  workerReplyTimeoutMs: spec(
    5 * SECOND,
    100,
    60 * SECOND,
    'waiting for a worker to answer the supervisor',
  ),
  workerUpdateTimeoutMs: spec(
    60 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'a worker that has not taken over a policy set after this is restarted: it would enforce an old one',
  ),
  workerStartTimeoutMs: spec(
    60 * SECOND,
    1 * SECOND,
    1 * HOUR,
    'a worker that has not bound its listeners after this is started again',
  ),
  workerOutputLineBytesMax: spec(
    256 * KIB,
    4 * KIB,
    16 * MIB,
    'bytes of one line that a worker prints; the rest of a longer one is dropped',
  ),
  redirectGraceMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'from putting new kernel tables in force to removing those before',
  ),
  redirectPollIntervalMs: spec(250, 50, 60 * SECOND, 'between looks at the interfaces of the node'),
  redirectRepairIntervalMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'between checks that rules, routes and programs are still there, and which addresses the node has',
  ),
  redirectRetryMs: spec(
    2 * SECOND,
    100,
    60 * SECOND,
    'before kernel tables that could not be written are tried again',
  ),
  ciliumCacheTtlMs: spec(
    3,
    0,
    1 * SECOND,
    'how long an answer of Cilium’s ipcache is used again; 0 asks each time',
  ),
  ciliumCacheCountMax: spec(4096, 1, 1_000_000, 'answers of Cilium’s ipcache that are kept'),
  ciliumMapAgeMaxMs: spec(
    1 * SECOND,
    10,
    60 * SECOND,
    'before a map of Cilium’s is opened again: its agent may have pinned another one',
  ),
  commandTimeoutMs: spec(
    120 * SECOND,
    100,
    1 * HOUR,
    'waiting for iproute2, which waits for the kernel while a thousand programs are detached',
  ),
  commandOutputBytesMax: spec(
    64 * MIB,
    64 * KIB,
    1024 * MIB,
    'bytes of what iproute2 tells of the interfaces of the node',
  ),
  statusRowCountMax: spec(
    50,
    1,
    1_000_000,
    'rows of one table of `redirect status`; `-o json` has all of them',
  ),
} as const satisfies Record<string, LimitSpec>;

export type LimitName = keyof typeof LIMITS;

export type Limits = { readonly [Name in LimitName]: number };

export const DEFAULT_LIMITS: Limits = Object.freeze(
  Object.fromEntries(Object.entries(LIMITS).map(([name, { default: value }]) => [name, value])),
) as Limits;

function spec(value: number, min: number, max: number, about: string): LimitSpec {
  return { default: value, min, max, about };
}
