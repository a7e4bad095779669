/**
 * Sallyport by its real command: supervisor and one worker, admin server and metrics on, access log in a file.
 * SALLYPORT_BENCH_NODE_OPTIONS reaches its processes, for profiles.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { HERE, startSubject } from './start.ts';
import type { BenchRule, Order, Subject, SubjectKind } from './subject.ts';

export const SALLYPORT = sallyport('sallyport', true);
export const SALLYPORT_WITHOUT_LOG = sallyport('sallyport, no log', false);

function sallyport(name: string, mayLog: boolean): SubjectKind {
  return {
    name,
    speaks: ['h1', 'h2'],
    find: async () => ({
      version: ownVersion(),
      start: (order) =>
        startSallyport(name, { ...order, hasAccessLog: order.hasAccessLog && mayLog }),
    }),
  };
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return `${version}, Node ${process.version}`;
}

function startSallyport(name: string, order: Order): Promise<Subject> {
  const nodeOptions = process.env['SALLYPORT_BENCH_NODE_OPTIONS'];
  return startSubject({
    name,
    version: ownVersion(),
    directory: order.directory,
    files: {
      'sallyport.yaml': sallyportConfig(order),
      'policy.yaml': policyText(order.rules),
      'endpoints.yaml': ENDPOINTS,
    },
    command: (pathOf) => [join(ROOT, 'bin/sallyport'), 'run', '-c', pathOf('sallyport.yaml')],
    at: { line: /^(?=.*"msg":"ready").*?"address":"(127\.0\.0\.1:[0-9]+)"/ },
    ...(nodeOptions !== undefined && { env: { NODE_OPTIONS: nodeOptions } }),
  });
}

const ENDPOINTS = `endpoints:
  - { name: default/api, ip: 127.0.20.1, labels: { app: api } }
  - { name: default/client, ip: 127.0.0.1, labels: { app: client } }
`;

export function sallyportConfig({ originUrl, hasAccessLog }: Order): string {
  return `admin: unix:${HERE}/admin.sock
workers: 1
accessLog: { to: ${hasAccessLog ? `${HERE}/access.log` : 'none'} }
policies: [${HERE}/policy.yaml]
endpoints: ${HERE}/endpoints.yaml
limits: { connectionCountMax: 20000, reloadDelayMs: 20 }
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
