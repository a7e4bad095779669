import type { ProxyFlow } from '../../model/flow.ts';

/** A consumer that gets every flow of a worker: the access log, the metrics, the sender to followers. */
export interface FlowSink {
  /**
   * Never waits. The flow is the sink's for the time of the call: the next one may be the same object
   * (record_flow.ts). A sink that keeps it keeps a copy.
   */
  flow(flow: ProxyFlow): void;
  /** Resolves when what waits has gone on, or is given up. Flows that come later are counted at most. */
  close(): Promise<void>;
}
