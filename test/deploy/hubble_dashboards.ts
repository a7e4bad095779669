/**
 * Dashboards and alerts in a real Prometheus: it scrapes Hubble's metrics of ours, and what the dashboards of Cilium's chart
 * ask of it has an answer, expression by expression. Its own tool checks the chart's alerts and what ours ask.
 *
 *     node test/deploy/hubble_dashboards.ts
 *
 * Needs `prometheus` and `promtool` (Debian: prometheus).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonValue } from '@bufbuild/protobuf';
import { messageOfJson } from '../../src/hubble/flow/flow_json.ts';
import { FlowSchema } from '../../src/hubble/generated/flow/flow_pb.ts';
import { HubbleMetrics } from '../../src/hubble/metrics/hubble_metrics.ts';
import { MetricsServer } from '../../src/hubble/metrics/metrics_server.ts';
import { parseSocketAddress } from '../../src/model/address.ts';
import { parseHubbleMetric } from '../../src/model/hubble_metric_request.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { compare, count, ROOT, scratch } from '../conformance/differential.ts';
import { until } from '../support/until.ts';
import { DASHBOARD_QUERIES, DASHBOARD_REQUESTS, FLOWS } from './dashboard_queries.ts';

const ALERTS = join(ROOT, 'deploy/helm/sallyport/files/alerts.yaml');
const DASHBOARDS = join(ROOT, 'deploy/grafana');
const COUNT_INTERVAL_MS = 100;

await compare(async () => {
  tool('the alerts are right', ['check', 'rules', ALERTS]);
  const tested = join(ROOT, 'test/deploy/alerts_test.yaml');
  tool('the alerts fire when they are to', ['test', 'rules', tested]);
  tool('our dashboards ask what can be asked', ['check', 'rules', rulesOf(ownExpressions())]);
  await askPrometheus();
});

function tool(what: string, args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { encoding: 'utf8' });
  count(status === 0, () => ['---', what, error?.message ?? '', stdout, stderr]);
}

/** The tool knows files of rules only. */
function rulesOf(expressions: readonly string[]): string {
  const path = join(scratch.dir, 'rules.yaml');
  const rules = expressions.map((expr, at) => ({ record: `asked:${at}`, expr }));
  writeFileSync(path, JSON.stringify({ groups: [{ name: 'asked', rules }] }));
  return path;
}

function ownExpressions(): string[] {
  const files = readdirSync(DASHBOARDS).filter((name) => name.endsWith('.json'));
  const found = files.flatMap((name) =>
    [...readFileSync(join(DASHBOARDS, name), 'utf8').matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '""']) => JSON.parse(text) as string,
    ),
  );
  count(found.length > 10, () => ['---', 'our dashboards ask nothing', files]);
  return found.map((expr) => expr.replaceAll('$__rate_interval', '1m'));
}

async function askPrometheus(): Promise<void> {
  const requests = DASHBOARD_REQUESTS.map((text) => {
    const parsed = parseHubbleMetric(text);
    if (parsed.kind === 'error') throw new Error(parsed.message);
    return parsed.request;
  });
  const metrics = new HubbleMetrics(requests, {
    ...{ countMax: 10_000, idleMs: 600_000 },
    nowMs: () => performance.now(),
  });
  const flows = FLOWS.map((json) => messageOfJson(FlowSchema, json as JsonValue));
  const timer = setInterval(() => {
    for (const flow of flows) metrics.count(flow);
  }, COUNT_INTERVAL_MS);
  const address = parseSocketAddress('127.0.0.1:0');
  if (address === null) throw new Error('no address');
  const server = new MetricsServer({
    ...{ address, hasOpenMetrics: true, limits: DEFAULT_LIMITS },
    families: () => metrics.families(),
    onError: (error) => count(false, () => ['---', error]),
  });
  let prometheus: ChildProcess | null = null;
  try {
    const started = await startPrometheus(await server.listen());
    prometheus = started.process;
    for (const query of DASHBOARD_QUERIES) {
      const answered = await isAnswered(started.origin, query);
      count(answered, () => ['---', 'no data', query]);
    }
    const exemplars = await asked(started.origin, 'query_exemplars', {
      query: 'hubble_http_request_duration_seconds_bucket',
      start: '0',
      end: String(Date.now() / 1000 + 60),
    });
    count(JSON.stringify(exemplars).includes('traceID'), () => ['---', 'no exemplar', exemplars]);
  } finally {
    clearInterval(timer);
    prometheus?.kill('SIGKILL');
    await server.close();
  }
}

async function startPrometheus(target: string): Promise<{ process: ChildProcess; origin: string }> {
  const config = join(scratch.dir, 'prometheus.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s' },
      scrape_configs: [
        {
          job_name: 'hubble',
          static_configs: [{ targets: [target], labels: { cluster: 'default', pod: 'node-1' } }],
        },
      ],
    }),
  );
  const process = spawn(
    'prometheus',
    [
      ...['--config.file', config, '--storage.tsdb.path', join(scratch.dir, 'data')],
      ...['--web.listen-address', '127.0.0.1:0', '--enable-feature', 'exemplar-storage'],
      ...['--log.format', 'json'],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  process.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-100_000);
  });
  const failed = new Promise<never>((_, reject) => {
    process.on('error', (error) => reject(new Error(`prometheus is needed: ${error.message}`)));
    process.on('exit', (code) => reject(new Error(`prometheus ended (${code}): ${log}`)));
  });
  failed.catch(() => {});
  const port = /"address":"127\.0\.0\.1:([1-9]\d*)"/;
  await Promise.race([until(() => port.test(log)), failed]);
  const origin = `http://127.0.0.1:${port.exec(log)?.[1]}`;
  await Promise.race([until(async () => (await ready(origin)) === 200), failed]);
  return { process, origin };
}

async function ready(origin: string): Promise<number> {
  try {
    return (await fetch(`${origin}/-/ready`)).status;
  } catch {
    return 0;
  }
}

async function isAnswered(origin: string, query: string): Promise<boolean> {
  try {
    await until(async () => {
      const answer = await asked(origin, 'query', { query });
      return ((answer.data?.result ?? []) as unknown[]).length > 0;
    }, 60_000);
    return true;
  } catch {
    return false;
  }
}

interface PrometheusAnswer {
  readonly data?: { readonly result?: readonly unknown[] };
}

async function asked(
  origin: string,
  path: string,
  query: Readonly<Record<string, string>>,
): Promise<PrometheusAnswer> {
  const reply = await fetch(`${origin}/api/v1/${path}?${new URLSearchParams(query)}`);
  return (await reply.json()) as PrometheusAnswer;
}
