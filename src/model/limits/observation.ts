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
    'access log lines of denied and failed requests for each source address; lines left out are counted and reported; 0: no bound',
  ),
  denialLineBurstCount: spec(
    1000,
    1,
    1_000_000,
    'such lines that one source address may cause at once',
  ),
  denialSourceCountMax: spec(
    4096,
    16,
    1_000_000,
    'source addresses whose denial lines are counted one by one',
  ),
  denialQuietMs: spec(
    10 * SECOND,
    100,
    1 * HOUR,
    'quiet time of a source after which a separate line says how many of its lines were left out',
  ),
  accessLogDelayMs: spec(
    50,
    1,
    10 * SECOND,
    'how long an access log line may wait for others to be written together',
  ),
  accessLogCloseTimeoutMs: spec(
    2 * SECOND,
    10,
    60 * SECOND,
    'how long the sink of the access log may take for the last lines at the end',
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
    'how long a flow may wait for others to be sent to the supervisor together',
  ),
  flowBufferBytesMax: spec(
    1 * MIB,
    4 * KIB,
    1024 * MIB,
    'bytes of flows that a worker has sent and the supervisor has not read yet; above: flows are left out and counted',
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
    'flows that wait for one follower; above: it loses flows, and a line says how many',
  ),
  adminBodyBytesMax: spec(1 * MIB, 1 * KIB, 64 * MIB, 'bytes of a request to the admin server'),
  adminConnectionCountMax: spec(
    64,
    1,
    10_000,
    'connections of the admin server; above: half requests, idle and unread connections make room, first those of the address with the most',
  ),
  adminAnswerTimeoutMs: spec(
    5 * SECOND,
    100,
    5 * 60 * SECOND,
    'how long `/policies` and `/explain` wait for a policy set that is being checked; then they answer 503',
  ),
  adminTimeoutMs: spec(
    10 * SECOND,
    100,
    5 * 60 * SECOND,
    'how long a request to the admin server may take, and a connection to it may be idle',
  ),
} as const;
