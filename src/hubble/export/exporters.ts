/**
 * The files that flows are written to: one of the configuration, and those of a file that is looked at again and again.
 * When it asks for something that cannot be, what was before goes on, and the problem is told.
 */

import { readFile } from 'node:fs/promises';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { Limits } from '../../model/limits.ts';
import type { Clock, Timers } from '../../platform/platform.ts';
import { errorText } from '../../text/error_text.ts';
import { compileFieldMask } from '../flow/field_mask.ts';
import type { Flow, LostEventSource } from '../generated/flow/flow_pb.ts';
import { FlowExporter } from './flow_exporter.ts';
import { type FlowLog, parseFlowLogs } from './flow_log.ts';
import { RotatingLog } from './rotating_log.ts';

export interface ExportersOptions {
  readonly fixed: readonly FlowLog[];
  /** Absolute; null: nothing is asked for while it runs. */
  readonly dynamicPath: string | null;
  readonly compileFilters: (log: FlowLog) => CompiledTest;
  readonly limits: Limits;
  readonly timers: Timers;
  readonly clock: Clock;
  /** What the dynamic file asks for is not done. Null: it is again. */
  readonly onProblem: (problem: string | null) => void;
  /** Of a file of flows. */
  readonly onFileProblem: (problem: string) => void;
}

export type CompiledTest =
  | { readonly kind: 'ok'; readonly passes: (flow: Flow) => boolean }
  | { readonly kind: 'error'; readonly message: string };

export interface ExportCounts {
  readonly writtenLines: number;
  readonly droppedLines: number;
  readonly errors: number;
  readonly isConfigured: boolean;
}

interface Running {
  /** What it was made of. */
  readonly key: string;
  readonly exporter: FlowExporter;
  readonly log: RotatingLog;
}

const NOTHING: Omit<ExportCounts, 'isConfigured'> = {
  writtenLines: 0,
  droppedLines: 0,
  errors: 0,
};

export class Exporters {
  readonly #options: ExportersOptions;
  readonly #fixed: readonly Running[];
  #dynamic: readonly Running[] = [];
  /** Of those that have ended. */
  #past = NOTHING;
  #readText: string | null = null;
  #problem: string | null = null;
  #stopTimer: (() => void) | null = null;
  #isClosed = false;

  /** Throws when what the configuration asks for cannot be. */
  constructor(options: ExportersOptions) {
    this.#options = options;
    this.#fixed = options.fixed.map((log) => this.#run(log));
  }

  /** The dynamic file is read once before this resolves, and looked at from then on. */
  async start(): Promise<void> {
    if (this.#options.dynamicPath === null || this.#isClosed) return;
    await this.#look(this.#options.dynamicPath);
    this.#lookLater();
  }

  /** Somebody has asked for a file, or may. */
  get isWanted(): boolean {
    return this.#fixed.length > 0 || this.#options.dynamicPath !== null;
  }

  flow(flow: Flow): void {
    for (const { exporter } of this.#fixed) exporter.flow(flow);
    for (const { exporter } of this.#dynamic) exporter.flow(flow);
  }

  lost(source: LostEventSource, count: number, time: Timestamp): void {
    for (const { exporter } of [...this.#fixed, ...this.#dynamic]) {
      exporter.lost(source, count, time);
    }
  }

  counts(): ExportCounts {
    const running = [...this.#fixed, ...this.#dynamic].map(({ log }) => log.counts());
    return { ...[this.#past, ...running].reduce(sum), isConfigured: this.#problem === null };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopTimer?.();
    await Promise.all([...this.#fixed, ...this.#dynamic].map(({ log }) => log.close()));
  }

  #lookLater(): void {
    const { timers, limits, dynamicPath } = this.#options;
    if (dynamicPath === null || this.#isClosed) return;
    this.#stopTimer = timers.after(limits.hubbleExportReloadMs, async () => {
      await this.#look(dynamicPath);
      this.#lookLater();
    });
  }

  async #look(path: string): Promise<void> {
    const text = await this.#read(path);
    if (text === null || text === this.#readText || this.#isClosed) return;
    this.#readText = text;
    const parsed = parseFlowLogs(text, this.#options.limits);
    if (parsed.kind === 'error') {
      this.#tell(`${path}: ${parsed.message}`);
      return;
    }
    this.#apply(path, parsed.logs);
  }

  /** Null: it could not be read, and that is told. */
  async #read(path: string): Promise<string | null> {
    try {
      const bytes = await readFile(path);
      const { configBytesMax } = this.#options.limits;
      if (bytes.length <= configBytesMax) return bytes.toString('utf8');
      this.#tell(`${path}: has more than ${configBytesMax} bytes`);
    } catch (error) {
      this.#tell(`${path}: ${errorText(error)}`);
    }
    // It is looked at anew, also when it is as it was.
    this.#readText = null;
    return null;
  }

  /** All of them, or none. What is the same goes on in its file. */
  #apply(path: string, logs: readonly FlowLog[]): void {
    const before = this.#dynamic;
    const started: Running[] = [];
    try {
      const next = logs.map((log) => {
        const same = before.find(({ key }) => key === keyOf(log));
        if (same !== undefined) return same;
        const running = this.#run(log);
        started.push(running);
        return running;
      });
      this.#dynamic = next;
      this.#end(before.filter((one) => !next.includes(one)));
      this.#tell(null);
    } catch (error) {
      for (const { log } of started) void log.close();
      this.#tell(`${path}: ${errorText(error)}`);
      // A folder that is not there yet may be later: tried again, also when the file is as it was.
      this.#readText = null;
    }
  }

  #end(ended: readonly Running[]): void {
    for (const { log } of ended) {
      void log.close().then(() => {
        this.#past = sum(this.#past, log.counts());
      });
    }
  }

  #run(log: FlowLog): Running {
    const { compileFilters, limits, timers, clock, onFileProblem } = this.#options;
    const filters = compileFilters(log);
    if (filters.kind === 'error') throw new Error(`export "${log.name}": ${filters.message}`);
    const mask = compileFieldMask(log.fieldMask);
    if (mask.kind === 'error') throw new Error(`export "${log.name}": ${mask.message}`);
    const output = new RotatingLog({
      path: log.path,
      fileBytesMax: log.fileBytesMax,
      backupCountMax: log.backupCountMax,
      isCompressed: log.isCompressed,
      limits,
      timers,
      clock,
      onProblem: onFileProblem,
    });
    const exporter = new FlowExporter({
      passes: filters.passes,
      mask: mask.apply,
      endMs: log.endMs,
      nowMs: () => clock.wallMs(),
      write: (line) => output.write(line),
    });
    return { key: keyOf(log), exporter, log: output };
  }

  #tell(problem: string | null): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#options.onProblem(problem);
  }
}

/** Numbers of 64 bits are in filters. */
function keyOf(log: FlowLog): string {
  return JSON.stringify(log, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
}

function sum<C extends Omit<ExportCounts, 'isConfigured'>>(a: C, b: C): C {
  return {
    ...a,
    writtenLines: a.writtenLines + b.writtenLines,
    droppedLines: a.droppedLines + b.droppedLines,
    errors: a.errors + b.errors,
  };
}
