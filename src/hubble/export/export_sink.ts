/** What writes the flows of the node to files. */
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Flow, LostEventSource } from '../generated/flow/flow_pb.ts';
import type { HubbleSink } from '../hubble_sink.ts';
import { type ExportCounts, Exporters, type ExportersOptions } from './exporters.ts';

export class ExportSink implements HubbleSink {
  readonly #exporters: Exporters;
  readonly #nowMs: () => number;

  /** Throws when what the configuration asks for cannot be. */
  constructor(options: ExportersOptions) {
    this.#exporters = new Exporters(options);
    this.#nowMs = () => options.clock.wallMs();
  }

  start(): Promise<void> {
    return this.#exporters.start();
  }

  counts(): ExportCounts {
    return this.#exporters.counts();
  }

  flow(flow: Flow): void {
    this.#exporters.flow(flow);
  }

  lost(source: LostEventSource, count: number): void {
    this.#exporters.lost(source, count, timestampFromMs(this.#nowMs()));
  }

  close(): Promise<void> {
    return this.#exporters.close();
  }
}
