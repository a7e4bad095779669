/** What gets every flow in the thread of Hubble: metrics, and files. What cannot be started is told, and left out. */

import type { HubbleExportConfig, HubbleMetricsConfig } from '../config/config.ts';
import { ExportSink } from '../hubble/export/export_sink.ts';
import type { ExportCounts } from '../hubble/export/exporters.ts';
import { type FlowLog, filterOfJson } from '../hubble/export/flow_log.ts';
import { compileFilters } from '../hubble/filter/filters.ts';
import type { FlowFilter } from '../hubble/generated/flow/flow_pb.ts';
import type { HubbleSink } from '../hubble/hubble_sink.ts';
import { MetricsSink } from '../hubble/metrics/metrics_sink.ts';
import type { Limits } from '../model/limits.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import { searchCompiler } from '../regex/search.ts';
import { errorText } from '../text/error_text.ts';
import { parseJson } from '../text/json_value.ts';

export interface HubbleOutput {
  readonly metrics: HubbleMetricsConfig;
  readonly export: HubbleExportConfig;
}

export interface HubbleSinkEvents {
  readonly onProblem: (problem: string) => void;
  readonly onError: (error: unknown) => void;
  /** Called now and then, when they have changed. */
  readonly onExported: (counts: ExportCounts) => void;
}

export interface StartedSinks {
  readonly sinks: readonly HubbleSink[];
  /** Where the metrics are. */
  readonly addresses: readonly string[];
}

/** Between two looks at what was exported. */
const TELL_MS = 2000;
/** Between two tries to have the port of the metrics. */
const RETRY_MS = 1000;

export async function startSinks(
  output: HubbleOutput,
  limits: Limits,
  events: HubbleSinkEvents,
): Promise<StartedSinks> {
  const exports = await startExports(output.export, limits, events);
  const metrics = await startMetrics(output.metrics, limits, events);
  return {
    sinks: [...(exports === null ? [] : [exports]), ...(metrics === null ? [] : [metrics.sink])],
    addresses: metrics === null || metrics.address === null ? [] : [`${metrics.address}/metrics`],
  };
}

async function startMetrics(
  config: HubbleMetricsConfig,
  limits: Limits,
  { onProblem, onError }: HubbleSinkEvents,
): Promise<{ readonly sink: MetricsSink; readonly address: string | null } | null> {
  if (config.requests.length === 0) return null;
  const { clock } = nodePlatform();
  const sink = new MetricsSink({ ...config, limits, nowMs: () => clock.nowMs(), onError });
  try {
    return { sink, address: await sink.start() };
  } catch (error) {
    onProblem(`metrics: ${errorText(error)}; it is tried again`);
    startLater(sink, onProblem);
    return { sink, address: null };
  }
}

/** The proxy that this one takes the place of may still have the port. */
function startLater(sink: MetricsSink, onProblem: HubbleSinkEvents['onProblem']): void {
  nodePlatform().timers.after(RETRY_MS, async () => {
    try {
      onProblem(`metrics: now at ${await sink.start()}`);
    } catch {
      startLater(sink, onProblem);
    }
  });
}

async function startExports(
  config: HubbleExportConfig,
  limits: Limits,
  { onProblem, onExported }: HubbleSinkEvents,
): Promise<ExportSink | null> {
  if (config.path === null && config.dynamicPath === null) return null;
  const compileSearch = searchCompiler(limits);
  const { timers, clock } = nodePlatform();
  try {
    const sink = new ExportSink({
      fixed: config.path === null ? [] : [fixedLog(config, config.path, limits)],
      dynamicPath: config.dynamicPath,
      compileFilters: ({ allow, deny }) =>
        compileFilters({ whitelist: allow, blacklist: deny }, compileSearch),
      ...{ limits, timers, clock },
      onProblem: (problem) =>
        onProblem(
          problem === null ? 'export: what its file asks for is done again' : `export: ${problem}`,
        ),
      onFileProblem: (problem) => onProblem(`export: ${problem}`),
    });
    await sink.start();
    tellCounts(sink, onExported);
    return sink;
  } catch (error) {
    onProblem(`export: ${errorText(error)}`);
    return null;
  }
}

function tellCounts(sink: ExportSink, onExported: HubbleSinkEvents['onExported']): void {
  let told = '';
  nodePlatform().timers.every(TELL_MS, () => {
    const counts = sink.counts();
    const text = JSON.stringify(counts);
    if (text === told) return;
    told = text;
    onExported(counts);
  });
}

function fixedLog(config: HubbleExportConfig, path: string, limits: Limits): FlowLog {
  const { allow, deny, fieldMask, fileBytesMax, backupCountMax, isCompressed } = config;
  const filtersOf = (texts: readonly string[], field: string): FlowFilter[] =>
    texts.map((text) => {
      const json = parseJson(text, limits);
      const filter = json.kind === 'value' ? filterOfJson(json.value) : null;
      if (filter === null) throw new Error(`hubble.export.${field}: ${text} is no filter of flows`);
      return filter;
    });
  return {
    ...{ name: 'hubble.export', path, fieldMask, endMs: null },
    allow: filtersOf(allow, 'allow'),
    deny: filtersOf(deny, 'deny'),
    ...{ fileBytesMax, backupCountMax, isCompressed },
  };
}
