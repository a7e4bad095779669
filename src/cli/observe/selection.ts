/** Of flows in their order, those that were asked for: the first, the last, between two times, those that fit. */
import { create } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { type Flow, FlowSchema } from '../../hubble/generated/flow/flow_pb.ts';
import type {
  GetFlowsRequest,
  GetFlowsResponse,
} from '../../hubble/generated/observer/observer_pb.ts';

/** As Hubble has it for files: more are all. */
const KEPT_COUNT_MAX = 1_000_000n;
const UNKNOWN = create(FlowSchema);

export class Selection {
  readonly #request: GetFlowsRequest;
  readonly #fits: (flow: Flow) => boolean;
  /** Null: there is no last one. */
  readonly #lastMax: number | null;
  #kept: GetFlowsResponse[] = [];
  #count = 0n;

  constructor(request: GetFlowsRequest, fits: (flow: Flow) => boolean) {
    const { number, first } = request;
    this.#request = request;
    this.#fits = fits;
    const isLast = !first && !request.follow && number > 0n && number <= KEPT_COUNT_MAX;
    this.#lastMax = isLast ? Number(number) : null;
  }

  /** No flow that comes later is wanted. */
  get isOver(): boolean {
    const { first, number } = this.#request;
    return first && this.#count >= number;
  }

  /** What is known by now to be wanted. */
  take(response: GetFlowsResponse): readonly GetFlowsResponse[] {
    if (this.isOver || !this.#isWanted(response)) return [];
    this.#count++;
    if (this.#lastMax === null) return [response];
    this.#kept.push(response);
    // Seldom, so that the rest is not moved for each.
    if (this.#kept.length >= 2 * this.#lastMax) this.#kept = this.#kept.slice(-this.#lastMax);
    return [];
  }

  /** When no more come. */
  rest(): readonly GetFlowsResponse[] {
    return this.#lastMax === null ? [] : this.#kept.slice(-this.#lastMax);
  }

  /** What is no flow is as one of which nothing is known. */
  #isWanted({ responseTypes, time }: GetFlowsResponse): boolean {
    const { since, until } = this.#request;
    const flow = responseTypes.case === 'flow' ? responseTypes.value : UNKNOWN;
    const at = flow.time ?? time;
    if (since !== undefined && compare(at, since) < 0) return false;
    if (until !== undefined && compare(at, until) > 0) return false;
    return this.#fits(flow);
  }
}

function compare(a: Timestamp | undefined, b: Timestamp): number {
  const { seconds, nanos } = a ?? { seconds: 0n, nanos: 0 };
  if (seconds !== b.seconds) return seconds < b.seconds ? -1 : 1;
  return nanos - b.nanos;
}
