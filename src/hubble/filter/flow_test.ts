import type { Flow as HubbleFlow } from '../generated/flow/flow_pb.ts';

export type FlowTest = (flow: HubbleFlow) => boolean;
