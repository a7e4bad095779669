/**
 * Sallyport by its real command: supervisor and one worker, admin server and metrics on, access log in a file.
 * SALLYPORT_BENCH_NODE_FLAGS reaches its processes, for profiles.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import type { Place } from '../measure/pinning.ts';
import { dnsPolicyText } from './dns_zone.ts';
import { DNS_ENDPOINTS, DNS_PORT, sallyportDnsConfig } from './sallyport_dns.ts';
import { HERE, startSubject } from './start.ts';
import type { BenchRule, Order, Subject, SubjectKind } from './subject.ts';

export const SALLYPORT = sallyport('sallyport', true);
export const SALLYPORT_WITHOUT_LOG = sallyport('sallyport, no log', false);

/** As many as there are, on all cores: to see what a second worker brings. */
export const SALLYPORT_WORKERS: readonly SubjectKind[] = [1, 2].map((count) =>
  sallyport(`sallyport, ${count} worker${count === 1 ? '' : 's'}`, true, { count, place: 'all' }),
);

interface Workers {
  readonly count: number;
  readonly place: Place;
}

function sallyport(
  name: string,
  mayLog: boolean,
  workers: Workers = { count: 1, place: 'measured' },
): SubjectKind {
  return {
    name,
    speaks: ['h1', 'h2', 'dns'],
    find: async () => ({
      version: ownVersion(),
      start: (order) =>
        startSallyport(name, { ...order, hasAccessLog: order.hasAccessLog && mayLog }, workers),
    }),
  };
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return `${version}, Node ${process.version}`;
}

function startSallyport(name: string, order: Order, workers: Workers): Promise<Subject> {
  return startSubject({
    name,
    version: ownVersion(),
    directory: order.directory,
    files: filesOf(order, workers),
    command: (pathOf) => [...program(), 'run', '-c', pathOf('sallyport.yaml')],
    at: { line: /^(?=.*"msg":"ready").*?"address":"(127\.0\.0\.1:[0-9]+)"/ },
    place: workers.place,
  });
}

function filesOf(order: Order, workers: Workers): Readonly<Record<string, string>> {
  if (order.version === 'dns') {
    return {
      'sallyport.yaml': sallyportDnsConfig(order),
      'policy.yaml': dnsPolicyText(DNS_PORT),
      'endpoints.yaml': DNS_ENDPOINTS,
    };
  }
  return {
    'sallyport.yaml': sallyportConfig(order, workers.count),
    'policy.yaml': policyText(order.rules),
    'endpoints.yaml': ENDPOINTS,
  };
}

/** Its own command; with flags what that would start: a worker is started with the flags of its supervisor. */
function program(): readonly string[] {
  const flags = process.env['SALLYPORT_BENCH_NODE_FLAGS'] ?? '';
  if (flags === '') return [join(ROOT, 'bin/sallyport')];
  return [process.execPath, ...flags.split(' '), join(ROOT, 'src/main.ts')];
}

const ENDPOINTS = `endpoints:
  - { name: default/api, ip: 127.0.20.1, labels: { app: api } }
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
`;

export function sallyportConfig({ originUrl, hasAccessLog }: Order, workerCount = 1): string {
  return `admin: unix:${HERE}/admin.sock
workers: ${workerCount}
accessLog: { to: ${hasAccessLog ? `${HERE}/access.log` : 'none'} }
policies: [${HERE}/policy.yaml]
endpoints: ${HERE}/endpoints.yaml
limits: { connectionCountMax: 20000, reloadDelayMs: 20, denialLinesPerSecond: 0 }
listeners:
  - name: api
    address: 127.0.0.1:0
    direction: ingress
    destination: 127.0.20.1:8080
    upstream: ${new URL(originUrl).host}
    identity: [endpoints]
`;
}

export function policyText(rules: readonly BenchRule[]): string {
  const lines = rules.map(({ method, path, isPattern }) => {
    const pattern = isPattern ? path : escapePattern(path);
    return `              - { method: ${JSON.stringify(method)}, path: ${JSON.stringify(pattern)} }\n`;
  });
  return `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: bench, namespace: default }
spec:
  endpointSelector: { matchLabels: { app: api } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: client } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules:
            http:
${lines.join('')}`;
}

/** In a policy every path is a pattern. */
function escapePattern(path: string): string {
  return path.replaceAll(/[.+*?()[\]{}|^$\\]/g, '\\$&');
}
