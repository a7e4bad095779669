/** Parts of a flow before it is a message: only the fields that say something. */
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import type { FlowSchema } from '../generated/flow/flow_pb.ts';

/** Without the messages themselves, which cannot be spread into one another. */
type Plain<Init> = Exclude<Init, Message<string> | undefined>;
type Member<Init, Name extends keyof Init> = Plain<NonNullable<Init[Name]>>;

export type FlowInit = Plain<MessageInitShape<typeof FlowSchema>>;
export type IpInit = Member<FlowInit, 'IP'>;
export type Layer4Init = Member<FlowInit, 'l4'>;
export type EndpointInit = Member<FlowInit, 'source'>;
export type PolicyInit = Plain<NonNullable<FlowInit['egressAllowedBy']>[number]>;
export type Layer7Init = Member<FlowInit, 'l7'>;
type RecordInit = NonNullable<Layer7Init['record']>;
export type HttpInit = Plain<Extract<RecordInit, { case: 'http' }>['value']>;
export type DnsInit = Plain<Extract<RecordInit, { case: 'dns' }>['value']>;
