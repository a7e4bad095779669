/**
 * hot path
 *
 * The access log: which flows become lines, and how many of them one source may cause. What is left out here is
 * left out of nothing else.
 *
 *     flow ──► level, sampling ──► rate of the source ──► LogLineWriter ──► LogSink (drops and counts when slow)
 */
import type { ProxyFlow } from '../../model/flow.ts';
import type { Limits } from '../../model/limits.ts';
import type { LogLevel } from '../../model/log_level.ts';
import type { Platform } from '../../platform/platform.ts';
import type { FlowSink } from '../flow/flow_sink.ts';
import type { ShownOptions } from '../flow/http_facts.ts';
import { asciiOf } from './json_text.ts';
import { LogLineWriter } from './line.ts';
import { LEFT_OUT, LineRate } from './rate.ts';
import { LogSink, type LogSinkCounts, type LogTarget } from './sink.ts';

export interface AccessLogOptions extends ShownOptions {
  readonly to: LogTarget | { readonly kind: 'none' };
  /** Share of forwarded requests that are logged, 0 to 1. Denials and errors always are. */
  readonly allowSampling: number;
}

export interface AccessLogCounts extends LogSinkCounts {
  /** Left out as their source had caused too many. */
  readonly suppressedLines: number;
}

export interface AccessLogParts {
  readonly accessLog: AccessLogOptions;
  readonly logLevel: LogLevel;
  readonly limits: Limits;
  readonly platform: Platform;
}

export class AccessLog implements FlowSink {
  readonly #parts: AccessLogParts;
  readonly #lines = new LogLineWriter();
  readonly #sink: LogSink | null;
  readonly #rate: LineRate;
  /** A sink that does not keep up is shared: else the busiest source would push out all others' lines. */
  readonly #crowdedRate: LineRate;
  readonly #stopTelling: () => void;
  #suppressedLines = 0;
  #isForwardedLogged: boolean;
  /** In millionths of a line, whole numbers, so that a tenth is exactly one in ten. */
  readonly #samplingStep: number;
  /** Grows by a step with each forwarded request; one is logged when a line is due. */
  #samplingDebt = 0;

  /** Throws when the file cannot be opened. */
  constructor(parts: AccessLogParts) {
    const { accessLog, limits, platform } = parts;
    const { timers, clock } = platform;
    this.#parts = parts;
    this.#sink =
      accessLog.to.kind === 'none' ? null : new LogSink({ target: accessLog.to, limits, timers });
    const rate = {
      perSecond: limits.denialLinesPerSecond,
      burstCount: limits.denialLineBurstCount,
      sourceCountMax: limits.denialSourceCountMax,
    };
    this.#rate = new LineRate({
      ...rate,
      onLeftOut: (source, count) => this.#tellLeftOut(source, count),
    });
    this.#crowdedRate = new LineRate({ ...rate, onLeftOut: () => {} });
    this.#isForwardedLogged = isInfoLogged(parts.logLevel);
    this.#samplingStep = Math.round(accessLog.allowSampling * WHOLE_LINE);
    this.#stopTelling = timers.every(limits.sweepIntervalMs, () =>
      this.#rate.tell(clock.nowMs() - limits.denialQuietMs),
    );
  }

  flow(flow: ProxyFlow): void {
    if (this.#sink !== null && this.#isLogged(flow)) this.#log(this.#sink, flow);
  }

  /** Below "info" forwarded requests are not logged; denials and errors always are. */
  setLevel(level: LogLevel): void {
    this.#isForwardedLogged = isInfoLogged(level);
  }

  /** Opens the file again, after a rotation. */
  reopen(): void {
    this.#sink?.reopen();
  }

  /** For a line of the program's own log: two writers on one pipe could cut each other's lines. */
  get writeToStdout(): ((line: string) => void) | null {
    const sink = this.#sink;
    if (sink === null || this.#parts.accessLog.to.kind !== 'stdout') return null;
    return (line) => sink.write(Buffer.from(asciiOf(line), 'latin1'));
  }

  counts(): AccessLogCounts {
    return { ...(this.#sink?.counts() ?? NO_SINK), suppressedLines: this.#suppressedLines };
  }

  /** Writes out what waits; lines of flows that come later are counted as dropped. */
  async close(): Promise<void> {
    this.#stopTelling();
    this.#rate.tell(Number.POSITIVE_INFINITY);
    await this.#sink?.close();
  }

  /** The cheap questions first: a line that nobody wants is never built. */
  #isLogged(flow: ProxyFlow): boolean {
    if (flow.verdict !== 'forwarded' || flow.isDryRun) return true;
    if (flow.shadowDecision?.verdict === 'deny') return true;
    if (!this.#isForwardedLogged) return false;
    this.#samplingDebt += this.#samplingStep;
    if (this.#samplingDebt < WHOLE_LINE) return false;
    this.#samplingDebt -= WHOLE_LINE;
    return true;
  }

  /** Lines of denials and errors come at the price of a few bytes: each source has its rate of them. */
  #log(sink: LogSink, flow: ProxyFlow): void {
    const { clock } = this.#parts.platform;
    let suppressed = 0;
    if (flow.verdict !== 'forwarded') {
      suppressed = this.#rate.take(flow.source.ip, clock.nowMs());
      if (suppressed === LEFT_OUT) {
        this.#suppressedLines += 1;
        return;
      }
    } else if (
      sink.isCrowded &&
      this.#crowdedRate.take(flow.source.ip, clock.nowMs()) === LEFT_OUT
    ) {
      sink.drop();
      return;
    }
    sink.write(this.#lines.line(flow, suppressed));
  }

  #tellLeftOut(source: string, count: number): void {
    const atMs = this.#parts.platform.clock.wallMs();
    this.#sink?.write(this.#lines.leftOut(source, count, atMs));
  }
}

const WHOLE_LINE = 1_000_000;
const NO_SINK = { writtenLines: 0, droppedLines: 0, errors: 0 };

function isInfoLogged(level: LogLevel): boolean {
  return level === 'trace' || level === 'debug' || level === 'info';
}
