/** The service Observer over many nodes. */
import { create, type Message } from '@bufbuild/protobuf';
import {
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  type GetFlowsRequest,
  GetNamespacesRequestSchema,
  GetNamespacesResponseSchema,
  GetNodesResponseSchema,
  Observer,
  ServerStatusRequestSchema,
  type ServerStatusResponse,
  ServerStatusResponseSchema,
} from '../generated/observer/observer_pb.ts';
import { NodeState } from '../generated/relay/relay_pb.ts';
import { serviceDefinition } from '../serve/method.ts';
import { Streams } from '../serve/streams.ts';
import { FlowFanIn } from './flow_fan_in.ts';
import { ask, type Method } from './node_client.ts';
import type { NodeLink } from './node_link.ts';
import type { Nodes } from './nodes.ts';

export interface RelayObserverOptions {
  readonly nodes: Nodes;
  readonly version: string;
  readonly hasTls: boolean;
  readonly sortCountMax: number;
  readonly drainMs: number;
  readonly streamCountMax: number;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
}

type Unary = ServerUnaryCall<Message, Message>;
type FlowsCall = ServerWritableStream<GetFlowsRequest, Message>;

/** Each node has so long to answer. */
const ANSWER_MS = 5000;
/** `hubble status` shows no more. */
const UNAVAILABLE_NAMES_MAX = 10;
const STATUS = {
  path: '/observer.Observer/ServerStatus',
  input: ServerStatusRequestSchema,
  output: ServerStatusResponseSchema,
};
const NAMESPACES = {
  path: '/observer.Observer/GetNamespaces',
  input: GetNamespacesRequestSchema,
  output: GetNamespacesResponseSchema,
};

export class RelayObserver {
  readonly #options: RelayObserverOptions;
  readonly #streams: Streams;
  readonly #timer: NodeJS.Timeout;

  constructor(options: RelayObserverOptions) {
    this.#options = options;
    this.#streams = new Streams(options.streamCountMax);
    // What waits in a window goes when it has waited long enough.
    const tickMs = Math.max(10, options.drainMs / 4);
    this.#timer = setInterval(() => this.#streams.wake(), tickMs).unref();
  }

  /** Flows are passed on as bytes. */
  get definition(): ServiceDefinition {
    const own = serviceDefinition(Observer);
    const getFlows = own['GetFlows'] as ServiceDefinition[string];
    return { ...own, GetFlows: { ...getFlows, responseSerialize: (bytes) => Buffer.from(bytes) } };
  }

  get methods(): UntypedServiceImplementation {
    const answer =
      (make: () => Promise<Message>) =>
      (call: Unary, done: sendUnaryData<Message>): void => {
        call.sendMetadata(new Metadata());
        make().then(
          (message) => done(null, message),
          (error) => done({ code: status.INTERNAL, details: String(error) }),
        );
      };
    const absent = (call: ServerWritableStream<Message, Message>): void => {
      call.emit('error', { code: status.UNIMPLEMENTED, details: 'ask the node itself' });
    };
    return {
      GetFlows: (call: FlowsCall) => this.#getFlows(call),
      GetAgentEvents: absent,
      GetDebugEvents: absent,
      GetNodes: answer(() => this.#nodes()),
      GetNamespaces: answer(() => this.#namespaces()),
      ServerStatus: answer(() => this.#status()),
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#streams.close();
  }

  #getFlows(call: FlowsCall): void {
    const { request } = call;
    let fanIn: FlowFanIn | null = null;
    const stream = this.#streams.open(call, () => fanIn?.close());
    if (stream === null) return;
    if (request.first && request.follow) {
      const details = 'first cannot be specified with follow';
      stream.fail({ code: status.INVALID_ARGUMENT, details });
      return;
    }
    const { nodes, sortCountMax, drainMs, nowMs, wallMs } = this.#options;
    fanIn = new FlowFanIn({
      ...{ request, nodes, sortCountMax, drainMs, nowMs, wallMs },
      send: (bytes) => stream.send(bytes),
      onMore: () => stream.wake(),
    });
    stream.run(fanIn.read());
  }

  async #nodes(): Promise<Message> {
    const { hasTls } = this.#options;
    const asked = await this.#askAll(STATUS, create(ServerStatusRequestSchema, {}));
    const nodes = asked.map(({ link: { peer, client }, answer }) => {
      const isUnix = peer.address.startsWith('unix:');
      const tls = {
        enabled: hasTls && !isUnix,
        serverName: hasTls && !isUnix ? peer.serverName : '',
      };
      const state = stateOf(client !== null, answer);
      const { version, uptimeNs, numFlows, maxFlows, seenFlows } =
        answer ?? create(ServerStatusResponseSchema, {});
      const counts = { version, uptimeNs, numFlows, maxFlows, seenFlows };
      return { name: peer.name, address: peer.address, state, tls, ...counts };
    });
    return create(GetNodesResponseSchema, { nodes });
  }

  async #namespaces(): Promise<Message> {
    const asked = await this.#askAll(NAMESPACES, create(GetNamespacesRequestSchema, {}));
    const all = new Map<string, { cluster: string; namespace: string }>();
    for (const { answer } of asked) {
      for (const { cluster, namespace } of answer?.namespaces ?? []) {
        all.set(`${cluster}/${namespace}`, { cluster, namespace });
      }
    }
    const namespaces = [...all.keys()].sort().map((key) => all.get(key) as never);
    return create(GetNamespacesResponseSchema, { namespaces });
  }

  async #status(): Promise<Message> {
    const asked = await this.#askAll(STATUS, create(ServerStatusRequestSchema, {}));
    const answers = asked.flatMap(({ answer }) => (answer === null ? [] : [answer]));
    const unavailable = asked.filter(({ answer }) => answer === null);
    const sum = (of: (one: ServerStatusResponse) => bigint): bigint =>
      answers.reduce((total, one) => total + of(one), 0n);
    return create(ServerStatusResponseSchema, {
      version: this.#options.version,
      numFlows: sum(({ numFlows }) => numFlows),
      maxFlows: sum(({ maxFlows }) => maxFlows),
      seenFlows: sum(({ seenFlows }) => seenFlows),
      uptimeNs: longest(answers),
      flowsRate: answers.reduce((total, { flowsRate }) => total + flowsRate, 0),
      numConnectedNodes: answers.length,
      numUnavailableNodes: unavailable.length,
      unavailableNodes: unavailable
        .slice(0, UNAVAILABLE_NAMES_MAX)
        .map(({ link }) => link.peer.name),
    });
  }

  /** Null for those that do not answer. */
  #askAll<In extends Message, Out extends Message>(
    method: Method<In, Out>,
    request: In,
  ): Promise<{ link: NodeLink; answer: Out | null }[]> {
    const one = async (link: NodeLink) => {
      const { client } = link;
      const answer =
        client === null ? null : await ask(client, method, request, ANSWER_MS).catch(() => null);
      return { link, answer };
    };
    return Promise.all(this.#options.nodes.links.map(one));
  }
}

function stateOf(isConnected: boolean, answer: Message | null): NodeState {
  if (!isConnected) return NodeState.NODE_UNAVAILABLE;
  return answer === null ? NodeState.NODE_ERROR : NodeState.NODE_CONNECTED;
}

function longest(answers: readonly ServerStatusResponse[]): bigint {
  let most = 0n;
  for (const { uptimeNs } of answers) if (uptimeNs > most) most = uptimeNs;
  return most;
}
