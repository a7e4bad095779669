/**
 * The flows of all workers and of the kernel, in the supervisor: says whether any are wanted, and hands them to the
 * followers and to the thread that serves clients of Hubble.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { FlowFeed } from '../admin/backend.ts';
import type { Config } from '../config/config.ts';
import type { ExportCounts } from '../hubble/export/exporters.ts';
import type { Flow } from '../model/flow.ts';
import { FlowStream } from '../observe/flow/flow_stream.ts';
import type { Logger } from '../observe/log/logger.ts';
import { familyOf, type MetricFamily } from '../observe/metrics/family.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import type { KernelFlowReader } from '../redirect/kernel_flows.ts';
import type { HubbleOutput } from './hubble_sinks.ts';
import { HubbleThread } from './hubble_thread.ts';
import { KernelFlows, type KernelFlowsOptions } from './kernel_flows.ts';

export interface FlowHubOptions {
  readonly config: Config;
  readonly version: string;
  readonly log: Logger;
  /** Workers are to send flows from now on, or none any more. */
  readonly onDemand: (isWanted: boolean) => void;
  readonly nameSides: KernelFlowsOptions['nameSides'];
}

export class FlowHub {
  readonly #options: FlowHubOptions;
  readonly #stream: FlowStream;
  /** Null: no listener of ours takes what the kernel redirects. */
  readonly #kernel: KernelFlows | null;
  /** Null: no client of Hubble is served. */
  readonly #hubble: HubbleThread | null;
  #isWanted = false;

  constructor(options: FlowHubOptions) {
    const { limits, listeners } = options.config;
    this.#options = options;
    this.#stream = new FlowStream({
      ringCountMax: limits.flowRingCountMax,
      subscriberCountMax: limits.flowFollowerCountMax,
      onDemand: () => this.#tellDemand(),
      onError: (err) => options.log.error({ where: 'flows', err }, 'internal error'),
    });
    const isRedirected = listeners.some(({ direction }) => direction === 'by-record');
    this.#hubble = hubbleThread(options);
    this.#kernel = isRedirected ? kernelFlows(options, (batch) => this.push(batch)) : null;
  }

  /** Flows that are kept are wanted from now on; others when somebody follows. */
  start(): void {
    this.#hubble?.start();
    this.#tellDemand();
  }

  push(batch: Uint8Array): void {
    this.#stream.push(batch);
    this.#hubble?.push(batch);
  }

  last(count: number): readonly Flow[] | null {
    return this.#stream.isKept ? this.#stream.last(count) : null;
  }

  follow(onReady: () => void): FlowFeed | null {
    const { flowQueueCountMax: queueCountMax } = this.#options.config.limits;
    return this.#stream.subscribe({ filter: () => true, queueCountMax, onReady });
  }

  families(): readonly MetricFamily[] {
    const dropped = (at: string, count: number): MetricFamily =>
      familyOf('sallyport_flows_dropped_total', count, { at });
    return [
      dropped('supervisor', this.#stream.lostCount),
      dropped('kernel', this.#kernel?.lostCount ?? 0),
      dropped('hubble', this.#hubble?.lostCount ?? 0),
      ...exportFamilies(this.#hubble?.exported ?? null),
    ];
  }

  /** Whoever follows gets what waits for it, and its reply ends. */
  async end(): Promise<void> {
    this.#kernel?.setWanted(false);
    this.#stream.end();
    await this.#hubble?.stop();
  }

  #tellDemand(): void {
    const isWanted = this.#hubble !== null || this.#stream.isWanted;
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    this.#options.onDemand(isWanted);
    this.#kernel?.setWanted(isWanted);
  }
}

function exportFamilies(counts: ExportCounts | null): readonly MetricFamily[] {
  if (counts === null) return [];
  const { writtenLines, droppedLines, errors, isConfigured } = counts;
  return [
    familyOf('sallyport_hubble_export_lines_total', writtenLines, { result: 'written' }),
    familyOf('sallyport_hubble_export_lines_total', droppedLines, { result: 'dropped' }),
    familyOf('sallyport_hubble_export_errors_total', errors),
    familyOf('sallyport_hubble_export_configured', isConfigured ? 1 : 0),
  ];
}

function hubbleOutput({ metrics, export: flows }: Config['hubble']): HubbleOutput {
  return { metrics, export: flows };
}

function hubbleThread({ config, version, log }: FlowHubOptions): HubbleThread | null {
  const { hubble, limits } = config;
  if (hubble.serve === null) return null;
  const data = { settings: hubble.serve, output: hubbleOutput(hubble), limits, version };
  return new HubbleThread({ data, limits, log, timers: nodePlatform().timers });
}

function kernelFlows(options: FlowHubOptions, push: KernelFlowsOptions['push']): KernelFlows {
  const { config, log, nameSides } = options;
  const { clock, timers } = nodePlatform();
  return new KernelFlows({
    instance: randomUUID(),
    node: hostname(),
    openReader: (sinceNs) => openReader(config, sinceNs),
    nameSides,
    push,
    onProblem: (problem) => log.warn({ problem }, 'flows of the kernel cannot be told'),
    intervalMs: config.limits.kernelFlowIntervalMs,
    timers,
    clock,
    nowNs: monotonicNs,
  });
}

/** Only now: a proxy without the redirect loads no code that calls the kernel by itself. */
async function openReader(
  { redirect, limits }: Config,
  sinceNs: bigint,
): Promise<KernelFlowReader> {
  const { KernelFlowReader: Reader, pinnedMaps } = await import('../redirect/kernel_flows.ts');
  const { LAYOUT_VERSION } = await import('../redirect/layout.ts');
  const maps = pinnedMaps(join(redirect.root, `v${LAYOUT_VERSION}`, 'maps'));
  return new Reader({ maps, eventCountMax: limits.kernelFlowCountMax }, sinceNs);
}

/** bpf_ktime_get_ns reads the same clock. */
function monotonicNs(): bigint {
  return process.hrtime.bigint();
}
