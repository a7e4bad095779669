/** What `sallyport bench` keeps to, whatever it is given. */
const MIB = 1024 * 1024;

/** Bytes of the file of requests. */
export const REQUESTS_BYTES_MAX = 16 * MIB;
/** Requests in it. */
export const REQUEST_COUNT_MAX = 10_000;
/** Listeners of the proxy: one for each endpoint, direction, remote identity, port and proxy id. */
export const GROUP_COUNT_MAX = 64;
/** --connections. */
export const CONNECTION_COUNT_MAX = 256;
/** Connections of all groups together, on each side of the proxy. */
export const CONNECTION_TOTAL_MAX = 4096;
/** --seconds, of a round and side. */
export const ROUND_SECONDS_MIN = 0.1;
export const ROUND_SECONDS_MAX = 600;
/** --rounds. */
export const ROUND_COUNT_MAX = 20;
export const WARM_UP_MS_MAX = 1000;

/** Of one request: the proxy answers or resets within it, or is broken. */
export const REQUEST_TIMEOUT_MS = 10_000;
export const READY_TIMEOUT_MS = 60_000;
/** Of the access log of the bench; a longer one is emptied, as nobody reads it. */
export const ACCESS_LOG_BYTES_MAX = 64 * MIB;
export const ACCESS_LOG_CHECK_MS = 500;
/** From SIGTERM to SIGKILL; the proxy drains for five seconds at most. */
export const STOP_TIMEOUT_MS = 8_000;

/** Time that measuring single verdicts may take; rules that are left then have no figure. */
export const MICRO_TIME_MAX_MS = 10_000;
export const MICRO_WARM_UP_MS = 100;
export const MICRO_BATCH_COUNT = 11;
export const MICRO_BATCH_MS = 0.25;
/** Of one rule: requests that are measured by turns. */
export const MICRO_REQUEST_COUNT_MAX = 64;

/** Rows that the table shows; json and yaml have all. */
export const SHOWN_ROW_COUNT_MAX = 50;
/** Lines of each list below it. */
export const SHOWN_LINE_COUNT_MAX = 12;
/** Mismatches that are kept; further ones are counted. */
export const KEPT_MISMATCH_COUNT_MAX = 100;
