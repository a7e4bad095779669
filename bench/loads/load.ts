/** What makes requests, and what it tells of them. Runs on the core that is not measured. */
import type { Sample } from '../report/report.ts';

export interface LoadResult {
  readonly requests: number;
  /** Requests with another status than expected, errors, time-outs. */
  readonly failures: number;
  readonly seconds: number;
  readonly contentBytes: number;
  /** Absent where the tool cannot tell. */
  readonly latency?: Latency;
  /** What else it has measured: columns of the scenario. */
  readonly figures?: Sample;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export interface LoadRun {
  /** As typed, or in words. For the report. */
  readonly description: string;
  readonly run: (url: string, seconds: number) => Promise<LoadResult>;
}
