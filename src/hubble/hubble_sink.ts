import type { Flow } from '../model/flow.ts';
import type { Flow as HubbleFlow, LostEventSource } from './generated/flow/flow_pb.ts';

/** A consumer that gets every flow of the node in Hubble's words: metrics, an exporter. */
export interface HubbleSink {
  /** `of`: the flow of ours that it tells of, or a part of. Never waits. */
  flow(flow: HubbleFlow, of: Flow): void;
  /** So many of ours never came. */
  lost(source: LostEventSource, count: number): void;
  /** Resolves when what waits is written, or given up. */
  close(): Promise<void>;
}
