/**
 * What one worker has to do, by its number. The kernel deals out connections, not work: a few long HTTP/2
 * connections can all land on one worker, and only here does that show, as everything else is summed.
 */
import { familyOf, type MetricFamily } from './family.ts';

export interface WorkerLoad {
  readonly connectionsOpen: number;
  readonly streamsOpen: number;
  readonly requests: number;
}

export function workerFamilies(worker: string, load: WorkerLoad): readonly MetricFamily[] {
  return [
    familyOf('sallyport_worker_connections_open', load.connectionsOpen, { worker }),
    familyOf('sallyport_worker_http2_streams_open', load.streamsOpen, { worker }),
    familyOf('sallyport_worker_http_requests_total', load.requests, { worker }),
    familyOf(
      'sallyport_worker_busy_seconds_total',
      performance.eventLoopUtilization().active / 1000,
      { worker },
    ),
  ];
}

export function accessLogFamilies(counts: {
  readonly writtenLines: number;
  readonly droppedLines: number;
  readonly suppressedLines: number;
  readonly errors: number;
}): readonly MetricFamily[] {
  return [
    familyOf('sallyport_access_log_records_total', counts.writtenLines),
    familyOf('sallyport_access_log_dropped_total', counts.droppedLines),
    familyOf('sallyport_access_log_suppressed_total', counts.suppressedLines),
    familyOf('sallyport_access_log_errors_total', counts.errors),
  ];
}
