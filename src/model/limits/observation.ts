import { HOUR, KIB, MIB, SECOND, spec } from './spec.ts';

/** Bounds of the access log, the metrics and the admin server. */
export const OBSERVATION_LIMITS = {
  configBytesMax: spec(1 * MIB, 1 * KIB, 64 * MIB, 'bytes of the configuration file'),
  accessLogBufferBytesMax: spec(
    16 * MIB,
    4 * KIB,
    1024 * MIB,
    'access log bytes waiting for a slow sink; above: records are dropped and counted',
  ),
  denialLinesPerSecond: spec(
    100,
    0,
    1_000_000,
    'access log lines of denied and failed requests for each source address; what is left out is counted and told; 0: all',
  ),
  denialLineBurstCount: spec(
    1000,
    1,
    1_000_000,
    'such lines that a source address may cause at once',
  ),
  denialSourceCountMax: spec(
    4096,
    16,
    1_000_000,
    'source addresses whose denial lines are counted apart',
  ),
  denialQuietMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'how long a source has been quiet when a line of its own says how many were left out',
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
  flowDelayMs: spec(
    10,
    1,
    10 * SECOND,
    'how long a flow waits for others to go to the supervisor with it',
  ),
  flowBufferBytesMax: spec(
    1 * MIB,
    4 * KIB,
    1024 * MIB,
    'bytes of flows that a worker has sent and the supervisor has not taken; above: flows are left out and counted',
  ),
  flowRingCountMax: spec(
    0,
    0,
    65_536,
    'flows that the supervisor keeps for `GET /flows?last=`; 0: none, and workers send no flows until somebody follows them',
  ),
  kernelFlowIntervalMs: spec(
    1 * SECOND,
    50,
    1 * HOUR,
    'how often the kernel is asked what it refused and redirected, while somebody follows flows',
  ),
  kernelFlowCountMax: spec(
    4096,
    1,
    65_536,
    'flows of the kernel that one look tells; above: left out and counted',
  ),
  flowFollowerCountMax: spec(8, 1, 1000, 'requests that follow flows at the same time'),
  flowQueueCountMax: spec(
    1024,
    1,
    1_000_000,
    'flows that wait for one that follows them; above: it loses flows, and is told how many',
  ),
  adminBodyBytesMax: spec(1 * MIB, 1 * KIB, 64 * MIB, 'bytes of a request to the admin server'),
  adminConnectionCountMax: spec(
    64,
    1,
    10_000,
    'connections of the admin server; above: half requests, idle and unread ones make room, of the address with the most first',
  ),
  adminAnswerTimeoutMs: spec(
    5 * SECOND,
    100,
    5 * 60 * SECOND,
    'waiting of `/policies` and `/explain` for a policy set that is being checked; then they answer 503',
  ),
  adminTimeoutMs: spec(
    10 * SECOND,
    100,
    5 * 60 * SECOND,
    'a request to the admin server, and an idle connection of it',
  ),
} as const;
