/** Alerts and dashboards ask for metrics that there are. In a real Prometheus: hubble_dashboards.ts. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { METRICS } from '../../src/observe/metrics/table.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');
/** Of Hubble's metrics: src/hubble/metrics. */
const OTHERS = ['sallyport_hubble_series_cut_total', 'sallyport_hubble_series_evicted_total'];

it.each([
  'helm/sallyport/files/alerts.yaml',
  ...readdirSync(join(DEPLOY, 'grafana')).map((name) => `grafana/${name}`),
])('%s names no metric that there is not', (file) => {
  const text = readFileSync(join(DEPLOY, file), 'utf8');
  const named = [...text.matchAll(/\bsallyport_[a-z0-9_]+/g)].map(([name]) =>
    name.replace(/_(bucket|sum|count)$/, ''),
  );
  expect(named.length).toBeGreaterThan(10);
  const known = [...Object.keys(METRICS), ...OTHERS];
  expect([...new Set(named)].filter((name) => !known.includes(name))).toEqual([]);
});
