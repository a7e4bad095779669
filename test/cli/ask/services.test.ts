/** Questions about addresses of Services, and their list. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { testIo } from '../test_io.ts';

const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-services-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

const FILES = {
  'endpoints.yaml': `
endpoints:
  - { name: shop/web, ip: 10.0.0.1, labels: { app: web } }
  - { name: node/here, ip: 10.9.0.1, labels: ["reserved:host"] }
  - { name: kube-system/dns-1, ip: 10.0.1.1, labels: { app: dns }, namedPorts: { dns: { port: 5353, protocol: UDP } } }
  - { name: kube-system/dns-2, ip: 10.0.1.2, labels: { app: dns }, namedPorts: { dns: { port: 5353, protocol: UDP } } }
  - { name: shop/old, ip: 10.0.2.1, labels: { app: api, release: old } }
  - { name: shop/new, ip: 10.0.2.2, labels: { app: api, release: new } }
services:
  - name: kube-system/dns
    clusterIPs: [10.96.0.10]
    ports: [{ name: dns, port: 53, protocol: UDP, targetPort: dns, nodePort: 30053 }]
    endpoints: { matchLabels: { app: dns } }
  - name: shop/api
    clusterIPs: [10.96.0.20]
    ports: [{ name: http, port: 80, targetPort: 8080 }]
    endpoints: { matchLabels: { app: api } }
  - { name: shop/empty, clusterIPs: [10.96.0.30], ports: [{ port: 80 }], ips: [] }
`,
  'policy.yaml': `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  egress:
    - toEndpoints: [{ matchLabels: { app: dns, io.kubernetes.pod.namespace: kube-system } }]
      toPorts: [{ ports: [{ port: "5353", protocol: UDP }] }]
    - toEndpoints: [{ matchLabels: { app: api } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ method: GET }] } }]
    - toEndpoints: [{ matchLabels: { app: api, release: new } }]
      toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ method: POST }] } }]
`,
};
for (const [name, text] of Object.entries(FILES)) writeFileSync(join(DIRECTORY, name), text);

async function ran(args: readonly string[], stdin = '') {
  const io = testIo({ cwd: DIRECTORY, stdin });
  const code = await runCommandLine(args, io);
  return { code, out: io.stdout.text, err: io.stderr.text };
}

function explain(args: readonly string[]) {
  const set = ['-p', 'policy.yaml', '--endpoints', 'endpoints.yaml', '--endpoint', 'shop/web'];
  return ran(['explain', ...set, ...args]);
}

describe('what an endpoint dials is judged by what is behind it', () => {
  const UDP = ['--protocol', 'UDP'];
  it.each<[string, readonly string[], number, string]>([
    ['the address of a Service', ['--to', '10.96.0.10:53', ...UDP], 0, 'kube-system/dns at'],
    [
      'its name and the name of its port',
      ['--service', 'kube-system/dns:dns', ...UDP],
      0,
      'dns at',
    ],
    ['its name and number', ['--service', 'kube-system/dns:53', ...UDP], 0, '10.96.0.10:53'],
    ['a port of the node', ['--to', '10.9.0.1:30053', ...UDP], 0, 'kube-system/dns at'],
    ['another port of it', ['--to', '10.96.0.10:54', ...UDP], 1, 'no rule covers the port'],
    ['a backend itself', ['--to', '10.0.1.1:5353', ...UDP], 0, 'ALLOWED'],
    [
      'all are asked, and all allow',
      ['--service', 'shop/api:80', '-X', 'GET'],
      0,
      'allow, identity',
    ],
    ['one of them denies', ['--service', 'shop/api:80', '-X', 'POST'], 1, 'no HTTP rule matched'],
    ['as an address, too', ['--to', '10.96.0.20:80', '-X', 'POST'], 1, 'no HTTP rule matched'],
    ['nobody is behind it', ['--to', '10.96.0.30:80'], 2, 'has no backend'],
    ['no such port', ['--service', 'shop/api:81'], 2, 'its ports: http'],
    ['no such Service', ['--service', 'shop/nothing:81'], 2, 'none is known'],
    ['no port', ['--service', 'shop/api'], 2, '"namespace/name:port"'],
    ['at its receiver', ['--to', '10.96.0.10:53', '--direction', 'ingress'], 2, 'egress'],
  ])('%s', async (_, args, code, text) => {
    const answer = await explain(args);
    expect([answer.code, `${answer.out}${answer.err}`]).toEqual([
      code,
      expect.stringContaining(text),
    ]);
  });

  describe('which holds with L7 rules for what is translated at the socket', () => {
    const HOLDS = 'holds with L7 rules where the address is translated at the socket';
    const config = (services: string): string => {
      const redirect = { services, root: '/sys/fs/bpf/x' };
      const listener = { name: 'a', address: '127.0.0.1:1', direction: 'ingress' };
      const sources = { policies: ['policy.yaml'], endpoints: 'endpoints.yaml' };
      const text = JSON.stringify({ ...sources, redirect, listeners: [listener] });
      writeFileSync(join(DIRECTORY, `${services}.yaml`), text);
      return `${services}.yaml`;
    };
    const files = ['-p', 'policy.yaml', '--endpoints', 'endpoints.yaml'];
    it.each<[string, readonly string[], boolean]>([
      ['files say nothing of it', files, true],
      ['a configuration that does not', ['-c', config('none')], true],
      ['a configuration that does', ['-c', config('socket')], false],
    ])('%s', async (_, sources, isTold) => {
      const asked = ['--endpoint', 'shop/web', '--to', '10.96.0.20:80', '-X', 'GET'];
      const explained = await ran(['explain', ...sources, ...asked]);
      expect([explained.code, explained.out.includes(HOLDS)]).toEqual([0, isTold]);
      const { out } = await ran(['explain', ...sources, ...asked, '-o', 'json']);
      expect(JSON.parse(out).dialled.isTranslated).toBe(!isTold);
      const line = JSON.stringify({ endpoint: 'shop/web', to: '10.96.0.20:80' });
      const { err } = await ran(['verdict', ...sources], `${line}\n${line}\n`);
      expect(err.split(HOLDS).length - 1).toBe(isTold ? 1 : 0);
    });

    it('nobody asks about a Service: nothing is told', async () => {
      const { out } = await explain(['--to', '10.0.1.1:5353', ...UDP]);
      expect(out).not.toContain(HOLDS);
      const line = JSON.stringify({ endpoint: 'shop/web', to: '10.0.1.1:5353' });
      expect((await ran(['verdict', ...files], `${line}\n`)).err).toBe('');
    });
  });

  it('and `verdict` says whose Service it is', async () => {
    const lines = [
      { endpoint: 'shop/web', to: '10.96.0.20:80', http: { method: 'GET', path: '/' } },
      { endpoint: 'shop/web', service: 'shop/api:http', http: { method: 'PUT', path: '/' } },
      { endpoint: 'shop/web', to: '10.96.0.30:80' },
      {
        ...{ endpoint: 'shop/web', direction: 'egress', remoteIp: '10.96.0.10' },
        ...{ port: 53, protocol: 'UDP' },
      },
    ];
    const input = `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
    const { out } = await ran(
      ['verdict', '-p', 'policy.yaml', '--endpoints', 'endpoints.yaml'],
      input,
    );
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { verdict: 'allow', service: 'shop/api' },
      { verdict: 'deny', reason: 'no-http-rule-matched', service: 'shop/api' },
      { verdict: 'deny', reason: 'service-without-backend', service: 'shop/empty' },
      { verdict: 'allow', service: 'kube-system/dns' },
    ]);
  });
});

describe('a rule on the port of a Service', () => {
  const dns = {
    toEndpoints: [{ matchLabels: { app: 'dns', 'io.kubernetes.pod.namespace': 'kube-system' } }],
  };
  const api = { toEndpoints: [{ matchLabels: { app: 'api' } }] };
  const named = { toServices: [{ k8sService: { serviceName: 'api', namespace: 'shop' } }] };
  const ports = (...all: readonly (string | object)[]) => ({
    toPorts: [
      { ports: all.map((one) => (typeof one === 'string' ? { port: one, protocol: 'TCP' } : one)) },
    ],
  });
  it.each<[string, object, number]>([
    ['that its backends do not have is told', { ...api, ...ports('80') }, 1],
    ['by the name of the Service', { ...named, ...ports('80') }, 1],
    ['beside that of the backends is not', { ...api, ...ports('80', '8080') }, 0],
    [
      'within a range of both is not',
      { ...api, ...ports({ port: '80', endPort: 9000, protocol: 'TCP' }) },
      0,
    ],
    ['of the backends is not', { ...named, ...ports('8080') }, 0],
    ['of another protocol is not', { ...dns, ...ports('53') }, 0],
    ['that nobody dials is not', { ...api, ...ports('81') }, 0],
    ['without a port is not', api, 0],
  ])('%s', async (_, rule, count) => {
    const policy = {
      ...{ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy' },
      metadata: { name: 'p', namespace: 'shop' },
      spec: { endpointSelector: { matchLabels: { app: 'web' } }, egress: [rule] },
    };
    writeFileSync(join(DIRECTORY, 'ports.yaml'), JSON.stringify(policy));
    const { out } = await ran([
      'check',
      '-p',
      'ports.yaml',
      '--endpoints',
      'endpoints.yaml',
      '-o',
      'json',
    ]);
    const { findings } = JSON.parse(out) as {
      readonly findings: readonly Record<string, string>[];
    };
    const found = findings.filter(({ id }) => id === 'service-port');
    expect(found.map(({ field }) => field)).toEqual(count === 0 ? [] : ['egress[0].toPorts[0]']);
    for (const { message } of found) {
      expect(message).toContain('shop/api, whose backends listen on 8080');
    }
  });
});

describe('service list', () => {
  it('names what is dialled, and what is behind it', async () => {
    const { code, out } = await ran(['service', 'list', '--endpoints', 'endpoints.yaml']);
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.replaceAll(/ {2,}/g, ' | '))).toEqual([
      'SERVICE | PORT | KIND | DIALLED | BACKENDS',
      expect.stringMatching(/^-+/),
      'kube-system/dns | dns | ClusterIP | 10.96.0.10:53/UDP | 10.0.1.1:5353, 10.0.1.2:5353',
      'kube-system/dns | dns | NodePort | node, IPv4, :30053/UDP | 10.0.1.1:5353, 10.0.1.2:5353',
      'shop/api | http | ClusterIP | 10.96.0.20:80/TCP | 10.0.2.1:8080, 10.0.2.2:8080',
      'shop/empty | - | ClusterIP | 10.96.0.30:80/TCP | none: refused at once',
      '',
    ]);
  });

  it('of one namespace, as JSON', async () => {
    const args = ['service', 'list', '--endpoints', 'endpoints.yaml', '-n', 'shop', '-o', 'json'];
    const { services } = JSON.parse((await ran(args)).out);
    expect(services).toHaveLength(2);
    expect(services[0]).toEqual({
      ...{ service: 'shop/api', portName: 'http', frontend: 'ClusterIP', protocol: 'TCP' },
      ...{ family: 4, address: '10.96.0.20', port: 80, sessionAffinityMs: null },
      consistentHashing: false,
      backends: [
        { address: '10.0.2.1', port: 8080 },
        { address: '10.0.2.2', port: 8080 },
      ],
    });
  });

  it.each([
    ['without a place', ['service', 'list']],
    ['with two places', ['service', 'list', '--kube', '--endpoints', 'endpoints.yaml']],
    ['of another word', ['service', 'get', '--endpoints', 'endpoints.yaml']],
    ['of a file that is not there', ['service', 'list', '--endpoints', 'other.yaml']],
  ])('%s is wrong usage', async (_, args) => {
    expect((await ran(args)).code).toBe(2);
  });
});
