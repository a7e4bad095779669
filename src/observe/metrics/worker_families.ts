/**
 * What one worker has to do, by its number. The kernel deals out connections, not work: a few long HTTP/2
 * connections can all land on one worker, and only here does that show, as everything else is summed.
 */
import type { MetricFamily } from './counters.ts';

export interface WorkerLoad {
  readonly connectionsOpen: number;
  readonly streamsOpen: number;
  readonly requests: number;
}

export function workerFamilies(worker: string, load: WorkerLoad): readonly MetricFamily[] {
  const one = (name: MetricFamily['name'], value: number): MetricFamily => ({
    name,
    samples: [{ suffix: '', labels: { worker }, value }],
  });
  return [
    one('sallyport_worker_connections_open', load.connectionsOpen),
    one('sallyport_worker_http2_streams_open', load.streamsOpen),
    one('sallyport_worker_http_requests_total', load.requests),
    one('sallyport_worker_busy_seconds_total', performance.eventLoopUtilization().active / 1000),
  ];
}
