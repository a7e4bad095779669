/**
 * One answer to GetFlows from many nodes: the same question to each, their messages sorted. A client that does not read
 * stops what the nodes send, and each node tells it later what it lost; nothing is gathered here.
 *
 *     node ──► ┐
 *     node ──► FlowMerge ──► send
 *     node ──► ┘
 */
import { clone, create, toBinary } from '@bufbuild/protobuf';
import { TimestampSchema, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ClientReadableStream } from '@grpc/grpc-js';
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
  GetFlowsResponseSchema,
} from '../generated/observer/observer_pb.ts';
import { NodeState } from '../generated/relay/relay_pb.ts';
import type { Pause } from '../serve/flow_reading.ts';
import { FlowMerge } from './flow_merge.ts';
import { readBytes } from './node_client.ts';
import type { NodeLink } from './node_link.ts';
import type { Nodes } from './nodes.ts';
import { responseTimeNs } from './response_time.ts';

export interface FanInOptions {
  readonly request: GetFlowsRequest;
  readonly nodes: Nodes;
  readonly sortCountMax: number;
  readonly drainMs: number;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  readonly send: (response: Uint8Array) => void;
  /** There may be more to send. */
  readonly onMore: () => void;
}

type Call = ClientReadableStream<Buffer>;

const GET_FLOWS = '/observer.Observer/GetFlows';
const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

export class FlowFanIn {
  readonly #options: FanInOptions;
  readonly #merge: FlowMerge;
  readonly #calls = new Map<string, { readonly call: Call; readonly link: NodeLink }>();
  /** By node: the time after which it is asked when it comes back. */
  readonly #sinceNs = new Map<string, bigint>();
  /** Nodes that said all that was asked for. */
  readonly #done = new Set<string>();
  /** Messages of nodes that failed, with the nodes: what many say is told once. */
  readonly #errors = new Map<string, string[]>();
  readonly #startedNs: bigint;
  readonly #unwatch: () => void;
  #isClosed = false;

  constructor(options: FanInOptions) {
    const { request, sortCountMax, drainMs, nodes, wallMs } = options;
    this.#options = options;
    this.#startedNs = BigInt(Math.floor(wallMs())) * NS_PER_MS;
    this.#merge = new FlowMerge({
      lengthMax: sortLength(request, sortCountMax, nodes.links.length),
      drainMs,
      isFollowing: request.follow,
    });
    this.#start();
    this.#unwatch = request.follow ? nodes.watch(() => this.#lookForNodes()) : () => {};
  }

  *read(): Generator<Pause, void> {
    const { nowMs, send } = this.#options;
    for (;;) {
      const message = this.#merge.next(nowMs());
      if (message !== null) {
        send(message.bytes);
        this.#resume(message.node);
        yield 'sent';
      } else {
        this.#tellErrors();
        if (this.#isDone()) return;
        yield 'more';
      }
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#unwatch();
    for (const { call } of this.#calls.values()) call.cancel();
    this.#calls.clear();
  }

  #start(): void {
    const links = this.#options.nodes.links;
    const there = links.filter(({ client }) => client !== null);
    const away = links.filter(({ client }) => client === null);
    for (const link of there) this.#open(link, this.#options.request);
    this.#tell(NodeState.NODE_CONNECTED, there.map(nameOf));
    this.#tell(NodeState.NODE_UNAVAILABLE, away.map(nameOf));
  }

  /** They come and go while somebody follows. */
  #lookForNodes(): void {
    const { nodes } = this.#options;
    const gone: string[] = [];
    const come: string[] = [];
    for (const [name, { call, link }] of this.#calls) {
      if (nodes.link(name) === link) continue;
      this.#calls.delete(name);
      this.#merge.leave(name);
      call.cancel();
      gone.push(name);
    }
    for (const link of nodes.links) {
      const { name } = link.peer;
      if (link.client === null || this.#calls.has(name) || this.#done.has(name)) continue;
      this.#open(link, this.#requestOnReturn(name));
      come.push(name);
    }
    for (const name of this.#calls.keys()) this.#resume(name);
    this.#tell(NodeState.NODE_GONE, gone);
    this.#tell(NodeState.NODE_CONNECTED, come);
    this.#options.onMore();
  }

  #open(link: NodeLink, request: GetFlowsRequest): void {
    const { name } = link.peer;
    if (link.client === null) return;
    const call = readBytes(link.client, GET_FLOWS, GetFlowsRequestSchema, request);
    this.#calls.set(name, { call, link });
    this.#merge.join(name);
    call.on('data', (bytes: Buffer) => this.#take(name, call, bytes));
    call.on('end', () => this.#end(name, call, null));
    call.on('error', (error) => this.#end(name, call, error.message));
  }

  #take(node: string, call: Call, bytes: Buffer): void {
    if (this.#calls.get(node)?.call !== call) return;
    try {
      const timeNs = responseTimeNs(bytes);
      if (timeNs > (this.#sinceNs.get(node) ?? 0n)) this.#sinceNs.set(node, timeNs);
      this.#merge.add({ node, timeNs, bytes }, this.#options.nowMs());
    } catch {
      call.cancel();
      this.#end(node, call, 'a response that is none');
      return;
    }
    if (this.#merge.isFull(node)) call.pause();
    this.#options.onMore();
  }

  #resume(node: string): void {
    if (!this.#merge.isFull(node)) this.#calls.get(node)?.call.resume();
  }

  #end(node: string, call: Call, problem: string | null): void {
    if (this.#isClosed || this.#calls.get(node)?.call !== call) return;
    this.#calls.delete(node);
    this.#merge.leave(node);
    if (problem === null) this.#done.add(node);
    else this.#errors.set(problem, [...(this.#errors.get(problem) ?? []), node]);
    // The share of the others is larger now.
    for (const other of this.#calls.keys()) this.#resume(other);
    this.#options.onMore();
  }

  #isDone(): boolean {
    if (this.#calls.size > 0 || this.#merge.length > 0) return false;
    return !this.#options.request.follow || this.#done.size > 0;
  }

  /** What came meanwhile, and nothing twice. */
  #requestOnReturn(node: string): GetFlowsRequest {
    const { request } = this.#options;
    const lastNs = this.#sinceNs.get(node);
    const sinceNs = lastNs === undefined ? this.#startedNs : lastNs + 1n;
    const askedNs =
      request.since === undefined
        ? 0n
        : request.since.seconds * NS_PER_SECOND + BigInt(request.since.nanos);
    const ns = askedNs > sinceNs ? askedNs : sinceNs;
    const again = clone(GetFlowsRequestSchema, request);
    again.number = 0n;
    again.since = create(TimestampSchema, {
      seconds: ns / NS_PER_SECOND,
      nanos: Number(ns % NS_PER_SECOND),
    });
    return again;
  }

  #tellErrors(): void {
    for (const [message, names] of this.#errors) this.#tell(NodeState.NODE_ERROR, names, message);
    this.#errors.clear();
  }

  #tell(stateChange: NodeState, nodeNames: string[], message = ''): void {
    if (nodeNames.length === 0) return;
    const response = create(GetFlowsResponseSchema, {
      time: timestampFromMs(Math.floor(this.#options.wallMs())),
      responseTypes: { case: 'nodeStatus', value: { stateChange, nodeNames, message } },
    });
    this.#options.send(toBinary(GetFlowsResponseSchema, response));
  }
}

function nameOf({ peer }: NodeLink): string {
  return peer.name;
}

/** `number` is for each node, so that no more can come. */
function sortLength({ number, follow }: GetFlowsRequest, countMax: number, nodes: number): number {
  const asked = Number(number) * nodes;
  return follow || asked === 0 ? countMax : Math.min(countMax, asked);
}
