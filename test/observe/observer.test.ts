/** The observer as the data plane meets it: what is logged and when, slow sinks, errors of its own. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { ProxyFlow } from '../../src/model/flow.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { LogLevel } from '../../src/model/log_level.ts';
import { InternalErrors } from '../../src/observe/internal_errors.ts';
import type { AccessLogOptions } from '../../src/observe/log/access_log.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import type { MetricsSnapshot } from '../../src/observe/metrics/counters.ts';
import type { MetricName } from '../../src/observe/metrics/table.ts';
import type { ObservedPolicy } from '../../src/observe/observed_policy.ts';
import { Observer } from '../../src/observe/observer.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import type { View } from '../../src/policy/compiled/port_rules.ts';
import { decideConnection } from '../../src/policy/decide/decide.ts';
import type { ObservationOptions } from '../../src/workers/observation.ts';
import { until } from '../support/until.ts';
import { flowMaker, RecordCounters, RecordObservation } from './observing.ts';
import { allow, denied, deny, ManualPlatform, POLICY, record } from './records.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

describe('the access log', () => {
  it('has one line for each record, in order', async () => {
    const log = logFile();
    const observer = observing({ to: log.target });
    for (let i = 0; i < 500; i++) observer.record(record({ bytesIn: i }));
    await observer.close();
    expect(log.lines().map(({ bytes_in }) => bytes_in)).toEqual([...Array(500).keys()]);
    expect(await metricValue(observer, 'sallyport_access_log_records_total')).toBe(500);
  });

  it('writes a lonely line after a moment', async () => {
    const log = logFile();
    const platform = new ManualPlatform();
    const observer = observing({ to: log.target }, { platform });
    observer.record(record());
    platform.fire();
    await until(() => log.lines().length === 1);
    await closing(observer, platform);
  });

  it('goes on in a new file after a rotation', async () => {
    const log = logFile();
    const platform = new ManualPlatform();
    const observer = observing({ to: log.target }, { platform });
    observer.record(record({ bytesIn: 1 }));
    platform.fire();
    await until(() => log.lines().length === 1);
    renameSync(log.path, `${log.path}.1`);
    observer.accessLog.reopen();
    observer.record(record({ bytesIn: 2 }));
    await closing(observer, platform);
    expect(log.lines().map(({ bytes_in }) => bytes_in)).toEqual([2]);
    expect(readFileSync(`${log.path}.1`, 'utf8')).toContain('"bytes_in":1,');
  });

  it('has the last lines of a worker that dies of an exception', () => {
    const log = logFile();
    dyingWorker({ path: log.path, lineCount: 1 });
    expect(log.lines()).toEqual([{ last: 'line' }]);
  });

  it('is not for everybody to read', async () => {
    const log = logFile();
    await observing({ to: log.target }).close();
    expect(statSync(log.path).mode & 0o007).toBe(0);
  });

  it('has every line, in one file or the other, when it ends in the middle of a rotation', async () => {
    for (let round = 0; round < 20; round++) {
      const log = logFile();
      const observer = observing({ to: log.target }, { platform: nodePlatform() });
      for (let i = 0; i < 100; i++) observer.record(record());
      renameSync(log.path, `${log.path}.1`);
      observer.accessLog.reopen();
      observer.accessLog.reopen();
      for (let i = 0; i < 100; i++) observer.record(record());
      await observer.close();
      const lineCount = (path: string) => readFileSync(path, 'utf8').split('\n').length - 1;
      expect(lineCount(log.path) + lineCount(`${log.path}.1`)).toBe(200);
    }
  });

  it('keeps the old file when the new one cannot be opened', async () => {
    const log = logFile();
    const observer = observing({ to: log.target }, { platform: nodePlatform() });
    observer.record(record());
    const folder = join(log.path, '..');
    await until(() => log.lines().length === 1);
    renameSync(folder, `${folder}.moved`);
    cleanups.push(() => rmSync(`${folder}.moved`, { recursive: true, force: true }));
    observer.accessLog.reopen();
    await until(async () => (await metricValue(observer, 'sallyport_access_log_errors_total')) > 0);
    observer.record(record());
    await observer.close();
    const text = readFileSync(join(`${folder}.moved`, 'access.log'), 'utf8');
    expect(text.split('\n')).toHaveLength(3);
  });

  it('ends at once, with nothing lost, when the new file cannot be opened', async () => {
    const log = logFile();
    const observer = observing({ to: log.target }, { platform: nodePlatform() });
    observer.record(record());
    const folder = join(log.path, '..');
    renameSync(folder, `${folder}.moved`);
    cleanups.push(() => rmSync(`${folder}.moved`, { recursive: true, force: true }));
    observer.accessLog.reopen();
    const startedMs = performance.now();
    await observer.close();
    expect(performance.now() - startedMs).toBeLessThan(LIMITS.accessLogCloseTimeoutMs);
    expect(await metricValue(observer, 'sallyport_access_log_records_total')).toBe(1);
    expect(await metricValue(observer, 'sallyport_access_log_dropped_total')).toBe(0);
  });

  it('on a disk that is full keeps what its bound allows, and writes it when there is room', async () => {
    const log = logFile();
    symlinkSync('/dev/full', log.path);
    const limits = { ...LIMITS, accessLogBufferBytesMax: 64 * 1024 };
    const observer = observing({ to: log.target }, { platform: nodePlatform(), limits });
    for (let i = 0; i < 500; i++) observer.record(record({ bytesIn: i }));
    await until(async () => (await metricValue(observer, 'sallyport_access_log_errors_total')) > 1);
    for (let i = 500; i < 600; i++) observer.record(record({ bytesIn: i }));
    rmSync(log.path);
    observer.accessLog.reopen();
    await observer.close();
    const written = log.lines().map(({ bytes_in }) => bytes_in);
    expect(written).toEqual([...Array(written.length).keys()]);
    expect(written.length).toBeGreaterThan(20);
    expect(await metricValue(observer, 'sallyport_access_log_records_total')).toBe(written.length);
    const dropped = await metricValue(observer, 'sallyport_access_log_dropped_total');
    expect(dropped).toBe(600 - written.length);
  });

  it('that cannot be opened is an error at the start', () => {
    expect(() => observing({ to: { kind: 'file', path: '/nonexistent/a.log' } })).toThrow(/ENOENT/);
  });

  it('can be none', async () => {
    const observer = observing({ to: { kind: 'none' } });
    observer.record(record());
    expect(await metricValue(observer, 'sallyport_http_requests_total')).toBe(1);
    observer.accessLog.reopen();
    await observer.close();
  });

  it('samples what was forwarded, evenly, and nothing else', async () => {
    const log = logFile();
    const observer = observing({ to: log.target, allowSampling: 0.1 });
    for (let i = 0; i < 100; i++) observer.record(record());
    for (let i = 0; i < 10; i++) {
      observer.record(denied());
      observer.record(record({ verdict: 'error', fault: 'connect-failed' }));
      observer.record(record({ decision: deny(), isDryRun: true }));
      observer.record(record({ shadowDecision: deny() }));
    }
    await observer.close();
    expect(log.lines()).toHaveLength(10 + 40);
    expect(await metricValue(observer, 'sallyport_http_requests_total')).toBe(140);
  });

  it.each<[LogLevel, string[]]>([
    ['debug', ['forwarded', 'denied', 'error']],
    ['info', ['forwarded', 'denied', 'error']],
    ['warn', ['denied', 'error']],
    ['silent', ['denied', 'error']],
  ])('at level %s has %j', async (level, verdicts) => {
    const log = logFile();
    const observer = observing({ to: log.target });
    observer.setLogLevel(level);
    observer.record(record());
    observer.record(denied());
    observer.record(record({ verdict: 'error', fault: 'connect-failed' }));
    await observer.close();
    expect(log.lines().map(({ verdict }) => verdict)).toEqual(verdicts);
  });
});

describe('a sink that does not keep up', () => {
  it('costs lines, whole ones, and every one is counted', async () => {
    const pipe = fullPipe();
    const limits = { ...LIMITS, accessLogBufferBytesMax: 32 * 1024 };
    const observer = observing({ to: { kind: 'descriptor', fd: pipe.fd } }, { limits });
    const total = 2000;
    for (let i = 0; i < total; i++) observer.record(record({ bytesIn: i }));
    const dropped = await metricValue(observer, 'sallyport_access_log_dropped_total');
    expect(dropped).toBeGreaterThan(0);
    let isClosed = false;
    const reading = pipe.readLines(() => isClosed);
    await observer.close();
    isClosed = true;
    const lines = await reading;
    const lost = await metricValue(observer, 'sallyport_access_log_dropped_total');
    expect(lines.length + lost).toBe(total);
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty('verdict');
  });

  it('that has gone away stops nothing', async () => {
    const folder = temporaryFolder();
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    closeSync(reader);
    const platform = new ManualPlatform();
    const observer = observing({ to: { kind: 'descriptor', fd: writer } }, { platform });
    observer.record(record());
    platform.fire();
    await until(async () => (await metricValue(observer, 'sallyport_access_log_errors_total')) > 0);
    expect(await metricValue(observer, 'sallyport_access_log_dropped_total')).toBe(1);
    for (let i = 0; i < 100; i++) observer.record(record());
    platform.fire();
    platform.fire();
    await until(
      async () => (await metricValue(observer, 'sallyport_access_log_dropped_total')) === 101,
    );
    const again = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    observer.record(record());
    platform.fire();
    platform.fire();
    await until(
      async () => (await metricValue(observer, 'sallyport_access_log_records_total')) === 1,
    );
    closeSync(again);
    await observer.close();
  });

  it('that is full costs lines, and does not hold up the end', async () => {
    const limits = { ...LIMITS, accessLogBufferBytesMax: 32 * 1024, accessLogCloseTimeoutMs: 10 };
    const target = { kind: 'file', path: '/dev/full' } as const;
    const observer = observing({ to: target }, { limits, platform: nodePlatform() });
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 50; i++) observer.record(record());
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(async () => (await metricValue(observer, 'sallyport_access_log_errors_total')) > 0);
    await observer.close();
    expect(await metricValue(observer, 'sallyport_access_log_dropped_total')).toBe(1000);
    expect(await metricValue(observer, 'sallyport_access_log_records_total')).toBe(0);
  });

  it('that is full does not keep a dying worker alive', () => {
    const stdout = dyingWorker({ path: '/dev/full', lineCount: 2000 });
    expect(stdout).toBe('dying\n');
  });

  it('records after the end are counted, not logged', async () => {
    const log = logFile();
    const observer = observing({ to: log.target });
    await observer.close();
    await observer.close();
    observer.record(record());
    expect(log.lines()).toEqual([]);
    expect(await metricValue(observer, 'sallyport_access_log_dropped_total')).toBe(1);
  });
});

describe('nothing it does throws into the data plane', () => {
  it('not even a record that cannot be', async () => {
    const told: string[] = [];
    const observer = observing(
      { to: logFile().target },
      { logger: createLogger({ level: 'error', write: (line) => told.push(line) }) },
    );
    const broken = [
      record({ head: {} as never }),
      record({ decision: {} as never }),
      record({ meta: null as never }),
      record({ fault: 'unheard-of' as never }),
    ];
    for (const one of broken) expect(() => observer.record(one)).not.toThrow();
    expect(await metricValue(observer, 'sallyport_internal_errors_total')).toBeGreaterThan(0);
    expect(JSON.parse(told[0] ?? '')).toMatchObject({
      level: 'error',
      msg: 'internal error',
      where: 'record',
    });
    await observer.close();
  });

  it('what was thrown while a request was judged is counted and told with its record', async () => {
    const told: string[] = [];
    const observer = observing(
      { to: { kind: 'none' } },
      { logger: createLogger({ level: 'error', write: (line) => told.push(line) }) },
    );
    const view = {
      get port(): never {
        throw new Error('a port that cannot be read');
      },
    } as unknown as View;
    const broken = decideConnection(view, '');
    observer.record(record({ decision: broken, verdict: 'denied' }));
    expect(await metricValue(observer, 'sallyport_internal_errors_total')).toBe(1);
    expect(JSON.parse(told[0] ?? '')).toMatchObject({
      where: 'decide',
      err: { message: 'a port that cannot be read' },
    });
  });

  it('internal errors are counted, all of them, and told about once a second', async () => {
    const told: string[] = [];
    const platform = new ManualPlatform();
    const observer = observing(
      { to: { kind: 'none' } },
      { platform, logger: createLogger({ level: 'error', write: (line) => told.push(line) }) },
    );
    for (let i = 0; i < 50; i++) observer.recorder.internalError('http1', new Error('broken'));
    platform.nowMs += 1000;
    observer.recorder.internalError('http1', 'a text');
    expect(await metricValue(observer, 'sallyport_internal_errors_total')).toBe(51);
    expect(told.map((line) => JSON.parse(line))).toMatchObject([
      { where: 'http1', suppressed: 0, err: { message: 'broken' } },
      { where: 'http1', suppressed: 49, err: { message: 'a text' } },
    ]);
  });

  it.each(['decision', 'shadowDecision'] as const)(
    'that made the %s a denial is counted for each record, and its stack told once in a while',
    async (which) => {
      const told: string[] = [];
      const observer = observing(
        { to: { kind: 'none' } },
        { logger: createLogger({ level: 'error', write: (line) => told.push(line) }) },
      );
      const cause = new Error('broken');
      const decision = { ...deny({ reason: 'internal-error' }), cause };
      for (let i = 0; i < 3; i++) observer.record(denied({ [which]: decision }));
      expect(await metricValue(observer, 'sallyport_internal_errors_total')).toBe(3);
      expect(told.map((line) => JSON.parse(line))).toMatchObject([
        { where: 'decide', err: { message: 'broken', stack: cause.stack } },
      ]);
    },
  );
});

it('an error of one sink harms no other', () => {
  const told: string[] = [];
  const seen: number[] = [];
  const broken = {
    flow: () => {
      throw new Error('broken');
    },
    close: async () => {},
  };
  const whole = { flow: (flow: ProxyFlow) => seen.push(flow.bytesIn), close: async () => {} };
  const counters = new RecordCounters({ listeners: ['api'], ruleCountMax: 10 });
  const observer = new Observer({
    sinks: [whole, broken, whole],
    flow: flowMaker(),
    events: counters,
    errors: new InternalErrors({
      logger: createLogger({ level: 'error', write: (line) => told.push(line) }),
      clock: new ManualPlatform().clock,
      intervalMs: 1000,
      onCounted: () => {},
    }),
    currentPolicy: () => POLICY,
    secretValues: () => [],
    onPolicy: () => {},
  });
  observer.record(record({ bytesIn: 1 }));
  observer.record(record({ bytesIn: 2 }));
  expect(seen).toEqual([1, 1, 2, 2]);
  expect(told.map((line) => JSON.parse(line))).toMatchObject([{ where: 'record' }]);
});

describe('the policy', () => {
  it('is looked at for each record, so that a swap that nobody announced is seen', async () => {
    let policy: ObservedPolicy = POLICY;
    const log = logFile();
    const observer = observing({ to: log.target }, { currentPolicy: () => policy });
    const rule = { policy: 'new', rule: 'ingress[0]', index: 0 };
    policy = { ...POLICY, rules: [rule] };
    observer.record(record({ decision: allow({ rule }) }));
    const { families } = await observer.metrics();
    const hits = families.find(({ name }) => name === 'sallyport_policy_rule_hits_total');
    expect(hits?.samples).toEqual([
      { suffix: '', labels: { policy: 'new', rule: 'ingress[0]', verdict: 'allow' }, value: 1 },
    ]);
    await observer.close();
  });

  it('brings its secrets', async () => {
    let policy: ObservedPolicy = POLICY;
    let secrets = ['first-secret'];
    const log = logFile();
    const observer = observing(
      { to: log.target },
      { currentPolicy: () => policy, secretValues: () => secrets },
    );
    const rejected = [['x-token', 'second-secret']] as const;
    secrets = ['second-secret'];
    policy = { ...POLICY };
    observer.record(denied({ decision: deny({ rejected }) }));
    await observer.close();
    expect(readFileSync(log.path, 'utf8')).not.toContain('second-secret');
  });
});

describe('metrics', () => {
  it('name the worker, and tell one instance from the next', async () => {
    const a = observing({ to: { kind: 'none' } }, { workerIndex: 3 });
    const b = observing({ to: { kind: 'none' } }, { workerIndex: 3 });
    const [first, second] = [await a.metrics(), await b.metrics()];
    expect([first.workerIndex, second.workerIndex]).toEqual([3, 3]);
    expect(first.instanceId).not.toBe(second.instanceId);
    const rss = familyOf(first, 'process_resident_memory_bytes').samples;
    expect(rss[0]?.labels).toEqual({ worker: '3' });
  });

  it('see a blocked event loop', async () => {
    const platform = new ManualPlatform();
    const observer = observing({ to: { kind: 'none' } }, { platform });
    platform.nowMs += LIMITS.sweepIntervalMs + 300;
    platform.fire();
    const { samples } = familyOf(await observer.metrics(), 'sallyport_event_loop_delay_seconds');
    expect(samples.find(({ suffix }) => suffix === '_sum')?.value).toBeCloseTo(0.3);
  });
});

it('events of the data plane are counted', async () => {
  const observer = observing({ to: { kind: 'none' } });
  const { events } = observer.recorder;
  events.connectionOpened('api');
  events.connectionClosed('api', 'finished');
  events.upstreamConnected('api', 'connected', 1);
  events.upstreamRetried('api');
  expect(await metricValue(observer, 'sallyport_connections_closed_total')).toBe(1);
  expect(await metricValue(observer, 'sallyport_upstream_retries_total')).toBe(1);
});

const LIMITS = DEFAULT_LIMITS;

function observing(
  accessLog: Partial<AccessLogOptions>,
  options: Partial<Omit<ObservationOptions, 'accessLog'>> = {},
): RecordObservation {
  return new RecordObservation({
    workerIndex: 0,
    listeners: ['api'],
    accessLog: {
      to: { kind: 'none' },
      headers: [],
      isQueryLogged: false,
      allowSampling: 1,
      ...accessLog,
    },
    logLevel: 'info',
    limits: LIMITS,
    platform: new ManualPlatform(),
    currentPolicy: () => POLICY,
    ...options,
  });
}

function familyOf(snapshot: MetricsSnapshot, name: MetricName) {
  const family = snapshot.families.find((one) => one.name === name);
  if (family === undefined) throw new Error(`no ${name}`);
  return family;
}

async function metricValue(observer: RecordObservation, name: MetricName): Promise<number> {
  const { samples } = familyOf(await observer.metrics(), name);
  return samples.reduce((sum, { value }) => sum + value, 0);
}

function logFile() {
  const path = join(temporaryFolder(), 'access.log');
  return {
    path,
    target: { kind: 'file', path } as const,
    lines: (): Record<string, unknown>[] =>
      readFileSync(path, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
  };
}

/** A process that writes lines, then throws; what it said before. */
function dyingWorker(options: { readonly path: string; readonly lineCount: number }): string {
  const sink = new URL('../../src/observe/log/sink.ts', import.meta.url);
  const script = `
    import { LogSink } from ${JSON.stringify(sink.href)};
    const timers = { after: () => () => {}, every: () => () => {} };
    const limits = { accessLogBufferBytesMax: 65536, accessLogDelayMs: 50, accessLogCloseTimeoutMs: 1 };
    const target = { kind: 'file', path: ${JSON.stringify(options.path)} };
    const sink = new LogSink({ target, limits, timers });
    for (let i = 0; i < ${options.lineCount}; i++) sink.write(Buffer.from('{"last":"line"}\\n'));
    console.log('dying');
    throw new Error('broken');`;
  const node = ['--input-type=module', '-e', script];
  const result = spawnSync(process.execPath, node, { encoding: 'utf8', timeout: 20_000 });
  expect(result.status).toBe(1);
  return result.stdout;
}

/** Nobody reads it until `readLines`; writes to it do not block once it is full. */
function fullPipe() {
  const path = join(temporaryFolder(), 'fifo');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  cleanups.push(() => closeSync(reader));
  const readLines = async (isDone: () => boolean): Promise<string[]> => {
    const chunks: Buffer[] = [];
    const buffer = Buffer.alloc(64 * 1024);
    while (true) {
      const wasDone = isDone();
      const length = readSome(reader, buffer);
      if (length > 0) chunks.push(Buffer.from(buffer.subarray(0, length)));
      else if (wasDone) break;
      else await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return Buffer.concat(chunks).toString().split('\n').slice(0, -1);
  };
  return { fd, readLines };
}

function readSome(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}

/** Ends an observer whose timers do not run by themselves. */
async function closing(observer: RecordObservation, platform: ManualPlatform): Promise<void> {
  let isClosed = false;
  const closed = observer.close().then(() => {
    isClosed = true;
  });
  for (let i = 0; i < 100 && !isClosed; i++) await new Promise((resolve) => setTimeout(resolve, 5));
  platform.fire();
  await closed;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-observe-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
