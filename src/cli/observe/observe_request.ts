/** What the flags of `observe` ask for. */
import { create } from '@bufbuild/protobuf';
import { FieldMaskSchema } from '@bufbuild/protobuf/wkt';
import { filterOfJson } from '../../hubble/export/flow_log.ts';
import { compileFieldMask } from '../../hubble/flow/field_mask.ts';
import type { FlowFilter } from '../../hubble/generated/flow/flow_pb.ts';
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
} from '../../hubble/generated/observer/observer_pb.ts';
import { parseTime } from '../../hubble/print/time_text.ts';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Args } from '../args.ts';
import { filtersOf } from './filter_flags.ts';

export type RequestResult =
  | { readonly kind: 'request'; readonly request: GetFlowsRequest }
  | { readonly kind: 'error'; readonly message: string };

const LAST_DEFAULT = 20n;
const ALL = 2n ** 64n - 1n;
/** What lines for people are made of: all that others need not send. */
const PRINTED_FIELDS = [
  ...['time', 'verdict', 'ethernet', 'IP', 'l4'],
  ...['source.identity', 'source.namespace', 'source.pod_name'],
  ...['destination.identity', 'destination.namespace', 'destination.pod_name'],
  ...['Type', 'node_name', 'l7', 'event_type', 'source_service', 'destination_service'],
  ...['is_reply', 'Summary', 'ip_trace_id', 'auth_type'],
  ...['source_names', 'destination_names', 'traffic_direction', 'policy_match_type'],
];
const POLICY_FIELDS = [
  ...['egress_allowed_by', 'ingress_allowed_by', 'egress_denied_by', 'ingress_denied_by'],
];

export function observeRequest(args: Args, limits: DocumentLimits, nowMs: number): RequestResult {
  try {
    return { kind: 'request', request: requestOf(args, limits, nowMs) };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { kind: 'error', message: error.message };
  }
}

/** Flows are chosen here by what the server cannot look at. */
export function hasOwnChoice(args: Args): boolean {
  return ['policy', 'rule', 'would-deny'].some((name) => args.has(name));
}

class UsageError extends Error {}

function requestOf(args: Args, limits: DocumentLimits, nowMs: number): GetFlowsRequest {
  const first = countOf(args, 'first');
  const last = countOf(args, 'last');
  const isFollowed = args.has('follow');
  forbidBoth(args, [
    ['first', 'last'],
    ['first', 'all'],
    ['first', 'follow'],
    ['last', 'all'],
  ]);
  const since = timeOf(args, 'since', nowMs);
  const until = isFollowed ? null : timeOf(args, 'until', nowMs);
  const read = filtersOf(args.given);
  if (read.kind === 'error') throw new UsageError(read.message);
  const { allow, deny } = read.filters;
  return create(GetFlowsRequestSchema, {
    number: first ?? last ?? defaultNumber(args, since !== null || until !== null),
    first: first !== null,
    follow: isFollowed,
    whitelist: [...allow, ...rawFilters(args, 'allowlist', limits)],
    blacklist: [...deny, ...rawFilters(args, 'denylist', limits)],
    ...(since === null ? {} : { since }),
    ...(until === null ? {} : { until }),
    ...maskOf(args),
  });
}

function defaultNumber(args: Args, hasTime: boolean): bigint {
  if (args.has('all')) return ALL;
  const isWhole = hasTime || args.has('follow') || args.has('input-file');
  return isWhole ? 0n : LAST_DEFAULT;
}

function forbidBoth(args: Args, pairs: readonly (readonly [string, string])[]): void {
  const both = pairs.find(([one, other]) => args.has(one) && args.has(other));
  if (both !== undefined) throw new UsageError(`give --${both[0]} or --${both[1]}, not both`);
}

function countOf(args: Args, flag: string): bigint | null {
  const text = args.value(flag);
  if (text === null) return null;
  if (!/^[0-9]{1,20}$/.test(text) || BigInt(text) > ALL) {
    throw new UsageError(`--${flag}: "${text}" is no whole number`);
  }
  // As with Hubble, none is as if it were not said.
  return BigInt(text) === 0n ? null : BigInt(text);
}

function timeOf(args: Args, flag: string, nowMs: number) {
  const text = args.value(flag);
  if (text === null) return null;
  const parsed = parseTime(text, nowMs);
  if (parsed.kind === 'error') throw new UsageError(`--${flag}: ${parsed.message}`);
  return parsed.time;
}

/** One JSON value of a flag may be several filters, one after the other. */
function rawFilters(args: Args, flag: string, limits: DocumentLimits): FlowFilter[] {
  return args.values(flag).map((text) => {
    const json = parseJson(text, limits);
    if (json.kind === 'error') throw new UsageError(`--${flag}: ${json.message}`);
    const filter = filterOfJson(json.value);
    if (filter === null) throw new UsageError(`--${flag}: ${text} is no filter of flows`);
    return filter;
  });
}

/** None: all fields are asked for. */
function maskOf(args: Args): Partial<Pick<GetFlowsRequest, 'fieldMask'>> {
  const fields = args.values('field-mask').flatMap((text) => text.split(','));
  const isJson = args.value('output')?.startsWith('json') === true;
  if (fields.length > 0 && !isJson) {
    throw new UsageError('--field-mask is for -o json: other forms print what they need');
  }
  const compiled = compileFieldMask(fields);
  if (compiled.kind === 'error') throw new UsageError(`--field-mask: ${compiled.message}`);
  if (fields.length > 0) return { fieldMask: create(FieldMaskSchema, { paths: fields }) };
  const isAll =
    isJson ||
    args.value('use-default-field-masks') === 'false' ||
    args.has('why') ||
    hasOwnChoice(args);
  if (isAll) return {};
  const paths = [...PRINTED_FIELDS, ...(args.has('print-policy-names') ? POLICY_FIELDS : [])];
  return { fieldMask: create(FieldMaskSchema, { paths }) };
}
