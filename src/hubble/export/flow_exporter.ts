/**
 * Flows as lines of a file, as Hubble's exporter writes them: `{"flow":{...},"node_name":"...","time":"..."}`. Which flows,
 * and which of their fields, is for whoever wants the file to say.
 */
import { create } from '@bufbuild/protobuf';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { messageJson } from '../flow/flow_json.ts';
import {
  type Flow,
  type LostEvent,
  LostEventSchema,
  type LostEventSource,
} from '../generated/flow/flow_pb.ts';
import { type ExportEvent, ExportEventSchema } from '../generated/observer/observer_pb.ts';

export interface FlowExporterOptions {
  readonly passes: (flow: Flow) => boolean;
  readonly mask: (flow: Flow) => Flow;
  /** Milliseconds since the epoch, after which nothing is written; null: there is no end. */
  readonly endMs: number | null;
  readonly nowMs: () => number;
  /** A line with its line feed. Never waits. */
  readonly write: (line: Uint8Array) => void;
}

export class FlowExporter {
  readonly #options: FlowExporterOptions;

  constructor(options: FlowExporterOptions) {
    this.#options = options;
  }

  flow(flow: Flow): void {
    const { passes, mask } = this.#options;
    if (!this.#isWanted || !passes(flow)) return;
    const told = mask(flow);
    const { time, nodeName } = told;
    this.#write({
      ...(time === undefined ? {} : { time }),
      nodeName,
      responseTypes: { case: 'flow', value: told },
    });
  }

  lost(source: LostEventSource, count: number, time: Timestamp): void {
    if (!this.#isWanted) return;
    const value: LostEvent = create(LostEventSchema, { source, numEventsLost: BigInt(count) });
    this.#write({ time, responseTypes: { case: 'lostEvents', value } });
  }

  get #isWanted(): boolean {
    const { endMs, nowMs } = this.#options;
    return endMs === null || nowMs() < endMs;
  }

  #write(event: EventInit): void {
    const json = messageJson(ExportEventSchema, create(ExportEventSchema, event));
    this.#options.write(Buffer.from(`${JSON.stringify(json)}\n`));
  }
}

type EventInit = Partial<Pick<ExportEvent, 'time' | 'nodeName' | 'responseTypes'>>;
