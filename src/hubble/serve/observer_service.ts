/** The service Observer: flows of this node, and what there is to say about them. */
import { create, type Message } from '@bufbuild/protobuf';
import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  Metadata,
  type ServerErrorResponse,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { CompileSearch } from '../../regex/search.ts';
import { compileFilters } from '../filter/filters.ts';
import { extensionsOf } from '../flow/extensions.ts';
import { compileFieldMask } from '../flow/field_mask.ts';
import { type NodeNaming, nodeNameOf } from '../flow/hubble_flows.ts';
import {
  type FlowFilter,
  type Flow as HubbleFlow,
  LostEventSchema,
} from '../generated/flow/flow_pb.ts';
import {
  type GetFlowsRequest,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
  GetNamespacesResponseSchema,
  GetNodesResponseSchema,
  ServerStatusResponseSchema,
} from '../generated/observer/observer_pb.ts';
import { NodeState } from '../generated/relay/relay_pb.ts';
import type { FlowRate } from './flow_rate.ts';
import { type FlowOutlet, FlowReading, type FlowsAsked } from './flow_reading.ts';
import type { FlowStore, StoredFlow } from './flow_store.ts';
import type { Namespaces } from './namespaces.ts';
import type { StreamCall } from './stream_call.ts';
import { Streams } from './streams.ts';

export interface ObserverOptions {
  readonly store: FlowStore;
  readonly rate: FlowRate;
  readonly namespaces: Namespaces;
  readonly naming: NodeNaming & { readonly node: string };
  /** Where relays reach this node; "" when they do not. */
  readonly address: string;
  readonly tlsName: string | null;
  readonly compilePattern: CompileSearch;
  readonly patternCountMax: number;
  readonly streamCountMax: number;
  readonly lostIntervalMs: number;
  readonly wallMs: () => number;
  readonly uptimeMs: () => number;
}

type StreamOf<Request> = ServerWritableStream<Request, Message>;
type Unary = ServerUnaryCall<Message, Message>;

/** For followers that end at a time, whatever comes. */
const TICK_MS = 1000;
const NS_PER_MS = 1e6;
const EXTENSIONS = 'extensions';

export class ObserverService {
  readonly #options: ObserverOptions;
  readonly #streams: Streams;
  readonly #stopTick: () => void;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#streams = new Streams(options.streamCountMax);
    const timer = setInterval(() => this.wake(), TICK_MS).unref();
    this.#stopTick = () => clearInterval(timer);
  }

  get streamCount(): number {
    return this.#streams.count;
  }

  /** A batch has come. */
  wake(): void {
    this.#streams.wake();
  }

  close(): void {
    this.#stopTick();
    this.#streams.close();
  }

  get methods(): UntypedServiceImplementation {
    const answer =
      (make: () => Message) =>
      (call: Unary, done: sendUnaryData<Message>): void => {
        call.sendMetadata(new Metadata());
        done(null, make());
      };
    return {
      GetFlows: (call: StreamOf<GetFlowsRequest>) => this.#getFlows(call),
      GetAgentEvents: (call: StreamOf<EventsRequest>) => this.#getNone(call),
      GetDebugEvents: (call: StreamOf<EventsRequest>) => this.#getNone(call),
      GetNodes: answer(() => this.#nodes()),
      GetNamespaces: answer(() =>
        create(GetNamespacesResponseSchema, { namespaces: this.#options.namespaces.list() }),
      ),
      ServerStatus: answer(() => this.#status()),
    };
  }

  #getFlows(call: StreamOf<GetFlowsRequest>): void {
    const stream = this.#streams.open(call);
    if (stream === null) return;
    const plan = this.#planOf(call.request);
    if (plan.kind === 'error') {
      stream.fail(plan.error);
      return;
    }
    const { store, lostIntervalMs, wallMs } = this.#options;
    const outlet = this.#outletOf(stream, plan.shown);
    stream.run(
      new FlowReading({ store, asked: plan.asked, outlet, wallMs, lostIntervalMs }).read(),
    );
  }

  /** There are no such events here: those who follow wait. */
  #getNone(call: StreamOf<EventsRequest>): void {
    const stream = this.#streams.open(call);
    if (stream !== null && !call.request.follow) stream.end();
  }

  #planOf(request: GetFlowsRequest): Plan {
    const { whitelist, blacklist, fieldMask, first, follow } = request;
    if (first && follow) return refused('first cannot be specified with follow');
    const { patternCountMax, compilePattern } = this.#options;
    if (patternCountOf([...whitelist, ...blacklist]) > patternCountMax) {
      return refused(`filters have more than ${patternCountMax} patterns`);
    }
    const filters = compileFilters({ whitelist, blacklist }, compilePattern);
    if (filters.kind === 'error') return refused(filters.message);
    const paths = fieldMask?.paths ?? [];
    const mask = compileFieldMask(paths);
    if (mask.kind === 'error') return refused(mask.message);
    const isExtended =
      paths.length === 0 || paths.some((path) => path.split('.')[0] === EXTENSIONS);
    const shown: Shown = { mask: mask.apply, isExtended };
    return { kind: 'plan', asked: askedOf(request, filters.passes), shown };
  }

  #outletOf(stream: StreamCall, shown: Shown): FlowOutlet {
    const { naming } = this.#options;
    const nodeName = nodeNameOf(naming.node, naming);
    return {
      flow: (stored) => stream.send(responseOf(stored, shown)),
      lost: (source, count, { firstMs, lastMs }) =>
        stream.send(
          create(GetFlowsResponseSchema, {
            nodeName,
            time: timestampFromMs(Math.floor(lastMs)),
            responseTypes: {
              case: 'lostEvents',
              value: create(LostEventSchema, {
                source,
                numEventsLost: BigInt(count),
                first: timestampFromMs(Math.floor(firstMs)),
                last: timestampFromMs(Math.floor(lastMs)),
              }),
            },
          }),
        ),
    };
  }

  #nodes(): Message {
    const { naming, address, tlsName } = this.#options;
    const { uptimeNs, numFlows, maxFlows, seenFlows, version } = this.#counts();
    const node = {
      name: nodeNameOf(naming.node, naming),
      ...{ version, address, uptimeNs, numFlows, maxFlows, seenFlows },
      state: NodeState.NODE_CONNECTED,
      tls: { enabled: tlsName !== null, serverName: tlsName ?? '' },
    };
    return create(GetNodesResponseSchema, { nodes: [node] });
  }

  #status(): Message {
    return create(ServerStatusResponseSchema, {
      ...this.#counts(),
      flowsRate: this.#options.rate.perSecond(),
    });
  }

  #counts() {
    const { store, naming, uptimeMs } = this.#options;
    return {
      numFlows: BigInt(store.keptCount),
      maxFlows: BigInt(store.countMax),
      seenFlows: BigInt(store.seenCount),
      uptimeNs: BigInt(Math.floor(uptimeMs() * NS_PER_MS)),
      version: naming.version,
    };
  }
}

interface EventsRequest extends Message {
  readonly follow: boolean;
}

/** What of a flow the client wants to see. */
interface Shown {
  readonly mask: (flow: HubbleFlow) => HubbleFlow;
  /** They cost more than the rest of a flow. */
  readonly isExtended: boolean;
}

type Plan =
  | { readonly kind: 'plan'; readonly asked: FlowsAsked; readonly shown: Shown }
  | { readonly kind: 'error'; readonly error: Partial<ServerErrorResponse> };

/** Names of one filter are one pattern together. */
function patternCountOf(filters: readonly FlowFilter[]): number {
  return filters.reduce((sum, filter) => {
    const { dnsQuery, httpPath, httpUrl, sourceFqdn, destinationFqdn, nodeName } = filter;
    const joined = [sourceFqdn, destinationFqdn, nodeName].filter(({ length }) => length > 0);
    return sum + dnsQuery.length + httpPath.length + httpUrl.length + joined.length;
  }, 0);
}

function refused(details: string): Plan {
  return { kind: 'error', error: { code: status.INVALID_ARGUMENT, details } };
}

function askedOf(request: GetFlowsRequest, passes: FlowsAsked['passes']): FlowsAsked {
  const { number, first, follow, since, until } = request;
  return {
    passes,
    number: Number(number),
    isFirst: first,
    isFollowing: follow,
    sinceMs: msOf(since),
    untilMs: msOf(until),
  };
}

function msOf(time: Timestamp | undefined): number | null {
  return time === undefined ? null : Number(time.seconds) * 1000 + time.nanos / NS_PER_MS;
}

function responseOf({ flow, of }: StoredFlow, { mask, isExtended }: Shown): GetFlowsResponse {
  const whole = isExtended ? { ...flow, extensions: extensionsOf(of) } : flow;
  const { nodeName, time } = flow;
  return create(GetFlowsResponseSchema, {
    nodeName,
    ...(time === undefined ? {} : { time }),
    responseTypes: { case: 'flow', value: mask(whole) },
  });
}
