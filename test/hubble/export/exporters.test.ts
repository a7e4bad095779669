/** Flows in files: the lines, what is left out of them, how files are put aside, and what asks for them while it runs. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterEach, describe, expect, it } from 'vitest';
import { Exporters, type ExportersOptions } from '../../../src/hubble/export/exporters.ts';
import { type FlowLog, parseFlowLogs } from '../../../src/hubble/export/flow_log.ts';
import {
  type Flow,
  FlowSchema,
  LostEventSource,
  Verdict,
} from '../../../src/hubble/generated/flow/flow_pb.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { until } from '../../support/until.ts';

const cleanups: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

const TIME = '2026-03-01T09:05:04.123456789Z';
const FLOW: JsonObject = {
  time: TIME,
  verdict: 'DROPPED',
  IP: { source: '10.0.0.1', destination: '10.0.0.2', ipVersion: 'IPv4' },
  l4: { TCP: { source_port: 44396, destination_port: 80 } },
  source: { identity: 25698, namespace: 'shop', pod_name: 'web-0' },
  node_name: 'kind/worker',
  l7: { type: 'REQUEST', latency_ns: '12000000000', http: { method: 'GET' } },
};

describe('a line', () => {
  it('is what Hubble’s exporter writes', async () => {
    const { path, written } = await exported({});
    expect(await written()).toEqual([
      {
        flow: {
          ...FLOW,
          l7: { ...(FLOW['l7'] as JsonObject), http: { method: 'GET' } },
        },
        node_name: 'kind/worker',
        time: TIME,
      },
    ]);
    expect(readFileSync(path, 'utf8')).toMatch(/^\{"flow":\{"time":.*\},"node_name":.*\}\n$/);
  });

  it('has the fields that were asked for', async () => {
    const fieldMask = ['source.pod_name', 'l4.TCP.destination_port', 'verdict', 'destination'];
    const { written } = await exported({ fieldMask });
    const flow = { source: { pod_name: 'web-0' }, l4: { TCP: { destination_port: 80 } } };
    expect(await written()).toEqual([{ flow: { ...flow, verdict: 'DROPPED' } }]);
  });

  it('is of a flow that a filter lets through, before the end', async () => {
    const rows = [
      { passes: () => true, endMs: null, count: 1 },
      { passes: ({ verdict }: Flow) => verdict === Verdict.FORWARDED, endMs: null, count: 0 },
      { passes: () => true, endMs: Date.parse('2026-03-01T00:00:00Z'), count: 0 },
    ];
    for (const { passes, endMs, count } of rows) {
      const { written } = await exported({ endMs }, { compileFilters: () => ok(passes) });
      expect(await written()).toHaveLength(count);
    }
  });

  it('tells what was lost on the way', async () => {
    const { exporters, written } = await exported({});
    exporters.lost(LostEventSource.OBSERVER_EVENTS_QUEUE, 7, timestampFromMs(0));
    const lost = { source: 'OBSERVER_EVENTS_QUEUE', num_events_lost: '7' };
    expect((await written())[1]).toEqual({ lost_events: lost, time: '1970-01-01T00:00:00Z' });
  });
});

describe('a file that is full', () => {
  it('is put aside; so many stay, compressed if that is wanted', async () => {
    let nowMs = Date.parse('2026-03-01T10:00:00Z');
    const clock = { ...nodePlatform().clock, wallMs: () => nowMs };
    const settings = { fileBytesMax: 400, backupCountMax: 2, isCompressed: true };
    const limits = { ...DEFAULT_LIMITS, accessLogDelayMs: 1 };
    const { folder, exporters } = await exported(settings, { clock, limits });
    for (let i = 0; i < 9; i++) {
      nowMs += 1000;
      exporters.flow(flowOf({ ...FLOW, Summary: `flow ${i}` }));
      await until(() => exporters.counts().writtenLines === i + 2);
    }
    await exporters.close();
    const names = readdirSync(folder).sort();
    expect(names).toEqual([
      'flows-2026-03-01T10-00-08.000.log.gz',
      'flows-2026-03-01T10-00-09.000.log.gz',
      'flows.log',
    ]);
    const texts = names.slice(0, 2).map((name) => gunzipSync(readFileSync(join(folder, name))));
    const lines = [...texts, readFileSync(join(folder, 'flows.log'))].flatMap((bytes) =>
      linesOf(bytes.toString()),
    );
    expect(lines.at(-1)).toMatchObject({ flow: { Summary: 'flow 8' } });
    const { writtenLines, droppedLines } = exporters.counts();
    expect({ writtenLines, droppedLines }).toEqual({ writtenLines: 10, droppedLines: 0 });
  });

  it('and a disk that is slow costs lines, which are counted, and no memory', async () => {
    const limits = { ...DEFAULT_LIMITS, hubbleExportQueueBytesMax: 4096 };
    const { exporters } = await exported({}, { limits });
    for (let i = 0; i < 100; i++) exporters.flow(flowOf(FLOW));
    await exporters.close();
    const { writtenLines, droppedLines } = exporters.counts();
    expect(writtenLines + droppedLines).toBe(101);
    expect(droppedLines).toBeGreaterThan(50);
  });
});

describe('what is asked for while it runs', () => {
  it('comes into force whole, and stays when what comes next cannot be', async () => {
    const { folder, problems, exporters, dynamicPath } = await dynamic();
    const log = (name: string): string => join(folder, `${name}.log`);
    // Whole: an empty file would ask for nothing.
    const ask = (names: readonly string[], more = ''): void => {
      writeFileSync(`${dynamicPath}.new`, flowLogs(names.map((name) => [name, log(name)])) + more);
      renameSync(`${dynamicPath}.new`, dynamicPath);
    };
    const has = (name: string): boolean => readdirSync(folder).includes(`${name}.log`);
    ask(['one']);
    await until(() => has('one'));
    ask(['two'], '    fieldMask: [no_such_field]\n');
    await until(() => problems.at(-1)?.includes('a flow has no field "no_such_field"') === true);
    exporters.flow(flowOf(FLOW));
    ask(['two']);
    await until(() => has('two'));
    expect(problems.at(-1)).toBe(null);
    await exporters.close();
    expect(linesOf(readFileSync(log('one'), 'utf8'))).toHaveLength(1);
    expect(readFileSync(log('two'), 'utf8')).toBe('');
    expect(exporters.counts().isConfigured).toBe(true);
  });

  it('comes into force when what was missing is there, without a change of the file', async () => {
    const { folder, problems, dynamicPath } = await dynamic();
    const path = join(folder, 'later', 'flows.log');
    writeFileSync(dynamicPath, flowLogs([['one', path]]));
    await until(() => problems.length > 0);
    expect(problems).toEqual([expect.stringContaining('ENOENT')]);
    mkdirSync(join(folder, 'later'));
    await until(() => problems.at(-1) === null);
    expect(readFileSync(path, 'utf8')).toBe('');
  });

  it.each([
    ['flowLogs: 7', /flowLogs: must be a list/],
    ['flowLog: []', /unknown field "flowLog"; there are flowLogs/],
    ['flowLogs: [{ filePath: /x }]', /flowLogs\[0\].name: must be a text/],
    ['flowLogs: [{ name: a, filePath: x }]', /must be an absolute path/],
    ['flowLogs: [{ name: a, filePath: stdout }]', /stdout is the log's/],
    ['flowLogs: [{ name: a, filePath: /x, end: soon }]', /must be a time/],
    ['flowLogs: [{ name: a, filePath: /x, fieldAggregate: [l7] }]', /unknown field/],
    ['flowLogs: [{ name: a, filePath: /x, includeFilters: [{ verdict: 7.5 }] }]', /no filter/],
    ['flowLogs: [{ name: a, filePath: /x }, { name: a, filePath: /y }]', /have one name/],
    ['flowLogs: [', /./],
  ])('%s is refused', (text, message) => {
    const parsed = parseFlowLogs(text, DEFAULT_LIMITS);
    expect(parsed).toMatchObject({ kind: 'error', message: expect.stringMatching(message) });
  });

  it('is taken as Cilium’s documents it', () => {
    const text = `flowLogs:
- name: audit
  filePath: /var/run/cilium/hubble/audit.log
  fieldMask: []
  includeFilters:
  - source_pod: [shop/]
    event_type: [{ type: 1 }]
  excludeFilters: []
  end: "2026-12-31T23:59:59-07:00"
`;
    const parsed = parseFlowLogs(text, DEFAULT_LIMITS);
    expect(parsed).toMatchObject({
      kind: 'logs',
      logs: [{ name: 'audit', endMs: Date.parse('2027-01-01T06:59:59Z'), backupCountMax: 5 }],
    });
  });
});

async function exported(settings: Partial<FlowLog>, options: Partial<ExportersOptions> = {}) {
  const folder = scratch();
  const path = join(folder, 'flows.log');
  const exporters = await started({ fixed: [logOf(path, settings)], ...options });
  exporters.flow(flowOf(FLOW));
  const written = async (): Promise<unknown[]> => {
    await exporters.close();
    return linesOf(readFileSync(path, 'utf8'));
  };
  return { folder, path, exporters, written };
}

async function dynamic() {
  const folder = scratch();
  const problems: (string | null)[] = [];
  const dynamicPath = join(folder, 'flowlogs.yaml');
  writeFileSync(dynamicPath, '');
  const exporters = await started({
    dynamicPath,
    limits: { ...DEFAULT_LIMITS, hubbleExportReloadMs: 10 },
    onProblem: (problem) => problems.push(problem),
  });
  return { folder, problems, exporters, dynamicPath };
}

async function started(options: Partial<ExportersOptions>): Promise<Exporters> {
  const { timers, clock } = nodePlatform();
  const exporters = new Exporters({
    ...{ fixed: [], dynamicPath: null, compileFilters: () => ok(() => true), timers, clock },
    ...{ limits: DEFAULT_LIMITS, onProblem: () => {}, onFileProblem: () => {} },
    ...options,
  });
  cleanups.push(() => exporters.close());
  await exporters.start();
  return exporters;
}

function ok(passes: (flow: Flow) => boolean): { kind: 'ok'; passes: (flow: Flow) => boolean } {
  return { kind: 'ok', passes };
}

function logOf(path: string, settings: Partial<FlowLog>): FlowLog {
  return {
    ...{ name: 'fixed', path, allow: [], deny: [], fieldMask: [], endMs: null },
    ...{ fileBytesMax: 1024 * 1024, backupCountMax: 5, isCompressed: false },
    ...settings,
  };
}

function flowLogs(files: readonly (readonly [string, string])[]): string {
  return `flowLogs:\n${files.map(([name, path]) => `  - name: ${name}\n    filePath: ${path}\n`).join('')}`;
}

function flowOf(json: JsonObject): Flow {
  return fromJson(FlowSchema, json);
}

function linesOf(text: string): unknown[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-export-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
