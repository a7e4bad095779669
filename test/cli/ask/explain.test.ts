/** What `explain` says of the denials that people ask about, as they would ask. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { testIo } from '../test_io.ts';

const DIRECTORY = mkdtempSync(join(tmpdir(), 'sallyport-explain-'));
afterAll(() => rmSync(DIRECTORY, { recursive: true, force: true }));

const ENDPOINTS = `endpoints:
  - { name: shop/web, ip: 10.0.0.2, labels: { app: web, tier: front } }
  - { name: shop/wbe, ip: 10.0.0.6, labels: { app: wbe, tier: front } }
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: shop/admin, ip: 10.0.0.4, labels: { app: admin } }
  - { name: shop/other, ip: 10.0.0.5, labels: { app: other } }
  - { name: kube-system/coredns, ip: 10.0.1.1, labels: { k8s-app: kube-dns } }
`;
writeFileSync(join(DIRECTORY, 'endpoints.yaml'), ENDPOINTS);

function policy(name: string, spec: object, annotations: Record<string, string> = {}): object {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'shop', annotations },
    spec,
  };
}

const endpointSelector = { matchLabels: { app: 'api' } };
const fromWeb = { fromEndpoints: [{ matchLabels: { app: 'web', tier: 'front' } }] };

function ports(port: string, more: object = {}, protocol = 'TCP'): object {
  return { toPorts: [{ ports: [{ port, protocol }], ...more }] };
}

const HTTP = policy('api', {
  endpointSelector,
  ingress: [
    {
      ...fromWeb,
      ...ports('80', {
        rules: {
          http: [
            { method: 'POST', path: '/api/.*' },
            { method: 'GET', path: '/api/orders/[0-9]+' },
            { method: 'GET', path: '/api/users/[0-9]+', host: 'api.test' },
          ],
        },
      }),
    },
    { fromEntities: ['cluster'], ...ports('9090') },
    { fromEndpoints: [{ matchLabels: { app: 'web' } }], icmps: [{ fields: [{ type: 8 }] }] },
    { fromCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] }], ...ports('22') },
    {
      fromEndpoints: [{ matchLabels: { app: 'web' } }],
      ...ports('443', { serverNames: ['a.test'] }),
    },
  ],
});
const DNS = (selector: object): object =>
  policy('dns', {
    endpointSelector,
    egress: [
      {
        toEndpoints: [{ matchLabels: selector }],
        ...ports('53', { rules: { dns: [{ matchPattern: '*.example.com' }] } }, 'ANY'),
      },
      { toFQDNs: [{ matchName: 'api.example.com' }], ...ports('443') },
    ],
  });
const KUBE_DNS = { 'k8s-app': 'kube-dns' };
const KUBE_DNS_THERE = { ...KUBE_DNS, 'k8s:io.kubernetes.pod.namespace': 'kube-system' };
const FROM_WEB = ['--endpoint', 'shop/api', '--remote', 'shop/web'];
const TO_DNS = [
  ...['--endpoint', 'shop/api', '--direction', 'egress', '--remote', 'kube-system/coredns'],
];

async function explain(policies: readonly object[], argv: readonly string[]) {
  writeFileSync(
    join(DIRECTORY, 'p.yaml'),
    policies.map((one) => JSON.stringify(one)).join('\n---\n'),
  );
  const io = testIo({ cwd: DIRECTORY });
  const flags = ['-p', 'p.yaml', '--endpoints', 'endpoints.yaml'];
  const code = await runCommandLine(['explain', ...flags, ...argv], io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

/** The first line behind "Nearest first:". */
function nearest(stdout: string): string {
  return stdout.split('Nearest first:\n')[1]?.split('\n')[0]?.trim() ?? '';
}

interface Case {
  readonly about: string;
  readonly policies: readonly object[];
  readonly argv: readonly string[];
  readonly code: 0 | 1;
  readonly says: readonly string[];
  readonly nearest?: string;
}

const cases: readonly Case[] = [
  {
    about: 'kube-dns without its namespace',
    policies: [DNS(KUBE_DNS)],
    argv: [...TO_DNS, '--dns', 'api.example.com'],
    code: 1,
    says: ['the rules that name the port do not allow the remote'],
    nearest:
      'egress[0].toPorts[0] of shop/dns: covers the port (TCP/UDP/SCTP 53), but wants namespace shop, and the remote is in namespace kube-system (shop is the policy’s own: for another one the selector must say k8s:io.kubernetes.pod.namespace: kube-system)',
  },
  {
    about: 'a pattern that does not cover its own apex',
    policies: [DNS(KUBE_DNS_THERE)],
    argv: [...TO_DNS, '--dns', 'example.com'],
    code: 1,
    says: ['DENIED (dns)', 'names: *.example.com'],
    nearest:
      'egress[0].toPorts[0] of shop/dns: the name is not *.example.com (it does not cover example.com itself)',
  },
  {
    about: 'a DNS question that is allowed, on its usual port and protocol',
    policies: [DNS(KUBE_DNS_THERE)],
    argv: [...TO_DNS, '--dns', 'api.example.com'],
    code: 0,
    says: ['ALLOWED by egress[0].toPorts[0].rules.dns[0] of shop/dns'],
  },
  {
    about: 'an address that no answer named',
    policies: [DNS(KUBE_DNS_THERE)],
    argv: [
      ...['--endpoint', 'shop/api', '--direction', 'egress', '--remote-ip', '203.0.113.9'],
      ...['--port', '443'],
    ],
    code: 1,
    says: [],
    nearest:
      'egress[1].toPorts[0] of shop/dns: covers the port (TCP 443), but wants api.example.com, and the remote is not known as an address of it (names are learned from answers to DNS questions)',
  },
  {
    about: 'a path that fails only by its query comes first',
    policies: [HTTP],
    argv: [...FROM_WEB, '--url', 'http://api.test/api/users/7?x=1'],
    code: 1,
    says: ['DENIED (http)'],
    nearest:
      'ingress[0].toPorts[0].rules.http[2] of shop/api: method, host matched, path /api/users/7?x=1 does not match /api/users/[0-9]+ (it would match without its query)',
  },
  {
    about: 'a host that fails only by its port',
    policies: [HTTP],
    argv: [...FROM_WEB, '--path', '/api/users/7', '--host', 'API.test:80'],
    code: 1,
    says: [],
    nearest:
      'ingress[0].toPorts[0].rules.http[2] of shop/api: path, method matched, host API.test:80 does not match api.test (it would match in lower case and without the port)',
  },
  {
    about: 'a label with a typing error, nearest first',
    policies: [HTTP],
    argv: ['--endpoint', 'shop/api', '--remote', 'shop/wbe'],
    code: 1,
    says: [
      '1. allow ingress[0].toPorts[0] of shop/api: is for other remotes: app=web, and the remote has app=wbe',
    ],
    nearest:
      'ingress[0].toPorts[0] of shop/api: covers the port (TCP 80), but wants app=web, and the remote has app=wbe',
  },
  {
    about: 'the right remote on another port',
    policies: [policy('p', { endpointSelector, ingress: [{ ...fromWeb, ...ports('8080') }] })],
    argv: [...FROM_WEB, '--port', '80'],
    code: 1,
    says: [
      'No rule',
      'reserved:allow-localhost: is for other remotes: it is for the host alone',
    ].slice(1),
    nearest: 'ingress[0].toPorts[0] of shop/p: is for this remote, but on TCP 8080',
  },
  {
    about: 'a server name',
    policies: [HTTP],
    argv: [...FROM_WEB, '--port', '443', '--sni', 'b.test'],
    code: 1,
    says: ['server names: a.test'],
    nearest:
      'ingress[4].toPorts[0] of shop/api: allows this remote with the server name a.test; found b.test',
  },
  {
    about: 'a pod where a CIDR is wanted',
    policies: [HTTP],
    argv: [...FROM_WEB, '--port', '22'],
    code: 1,
    says: [
      'is for other remotes: 192.0.2.0/24, and the remote is a pod of namespace shop: CIDRs select neither pods nor nodes',
    ],
  },
  {
    about: 'an address that is excepted',
    policies: [HTTP],
    argv: ['--endpoint', 'shop/api', '--remote-ip', '192.0.2.200', '--port', '22'],
    code: 1,
    says: ['192.0.2.0/24 without 192.0.2.128/25, and the remote is 192.0.2.128/25'],
  },
  {
    about: 'an ICMP message that is allowed',
    policies: [HTTP],
    argv: [...FROM_WEB, '--icmp', 'EchoRequest'],
    code: 0,
    says: ['ALLOWED by ingress[2] of shop/api'],
  },
  {
    about: 'an ICMP message of another type',
    policies: [HTTP],
    argv: [...FROM_WEB, '--icmp', '13'],
    code: 1,
    says: ['ingress[2] of shop/api: is for this remote, but on ICMP type 8'],
  },
  {
    about: 'deny rules alone as the cause of default deny',
    policies: [
      policy('no-bad', {
        endpointSelector,
        ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: 'bad' } }] }],
      }),
    ],
    argv: [...FROM_WEB],
    code: 1,
    says: ['default   deny of ingress, switched on by shop/no-bad (only deny rules: '],
  },
  {
    about: 'a policy in dry-run, and what it would change',
    policies: [
      policy('try', { endpointSelector, ingress: [fromWeb] }, { 'sallyport.dev/dry-run': 'true' }),
    ],
    argv: ['--endpoint', 'shop/api', '--remote', 'shop/other'],
    code: 0,
    says: [
      'ALLOWED by default',
      'dry-run   shop/try: not enforced; with it: DENIED (network): no rule on the port allows the remote identity',
    ],
  },
  {
    about: 'an endpoint that no policy selects is not called by the name of another one',
    policies: [HTTP],
    argv: ['--endpoint', 'shop/admin', '--remote', 'shop/web'],
    code: 0,
    says: ['ALLOWED by default: no policy that selects the endpoint asks for default deny\n'],
  },
];

describe('explain', () => {
  it.each(cases)('$about', async (one) => {
    const { code, stdout, stderr } = await explain(one.policies, one.argv);
    expect({ code, stderr }).toEqual({ code: one.code, stderr: '' });
    for (const text of one.says) expect(stdout).toContain(text);
    if (one.nearest !== undefined) expect(nearest(stdout)).toBe(one.nearest);
  });

  it('one entity is one line, however many selectors it stands for', async () => {
    const { stdout } = await explain([HTTP], [...FROM_WEB, '--port', '9090']);
    expect(stdout.match(/ingress\[1\]\.toPorts\[0\]/g)).toHaveLength(2);
  });

  it.each([
    [['--port', '9090'], 'asked     ingress, TCP 9090\n'],
    [['-X', 'GET', '--path', '/x'], 'asked     ingress, TCP 80, as no port is named (--port)\n'],
    [['--url', 'http://a.test:8080/x'], 'asked     ingress, TCP 8080\n'],
    [['--icmp', '8'], 'asked     ingress, ICMP type 8\n'],
  ])('with %j says what was asked about', async (flags, line) => {
    const { stdout } = await explain([HTTP], [...FROM_WEB, ...flags]);
    expect(stdout).toContain(line);
  });

  it('JSON has what the text says', async () => {
    const { stdout } = await explain(
      [DNS(KUBE_DNS)],
      [...TO_DNS, '--dns', 'x.example.com', '-o', 'json'],
    );
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'deny',
      reason: 'no-port-rule',
      asked: { direction: 'egress', protocol: 'UDP', port: 53 },
      defaultDeny: [{ policy: 'shop/dns', isDenyOnly: false }],
      dryRun: null,
      steps: [],
      near: [
        {
          origin: { policy: 'shop/dns', rule: 'egress[0].toPorts[0]' },
          isPortCovered: true,
          isRemoteSelected: false,
          peers: [{ peer: 'k8s-app=kube-dns, namespace shop', nearness: 0.5 }],
        },
        { isPortCovered: false },
      ],
    });
  });

  it('of many rules tells the few that matter, and all of them with --all', async () => {
    const ingress = Array.from({ length: 600 }, (_, i) => ({
      fromEndpoints: [{ matchLabels: { app: `client-${i}` } }],
      ...ports('80', { rules: { http: [{ path: `/plain-${i}` }] } }),
    }));
    const labels = ingress.map(
      (_, i) =>
        `  - { name: shop/c${i}, ip: 10.1.${i >> 8}.${i & 255}, labels: { app: client-${i} } }\n`,
    );
    writeFileSync(join(DIRECTORY, 'endpoints.yaml'), ENDPOINTS + labels.join(''));
    const many = policy('many', { endpointSelector, ingress });
    const asked = ['--endpoint', 'shop/api', '--remote', 'shop/c7', '--path', '/plain-8'];
    const { stdout } = await explain([many], asked);
    expect(stdout.split('\n').length).toBeLessThan(40);
    expect(stdout).toContain('ingress[7].toPorts[0] of shop/many: is for this remote');
    expect(stdout).toMatch(/\.\.\. and [0-9]+ more rules on the port \(--all\)/);
    const all = await explain([many], [...asked, '--all']);
    expect(all.stdout.split('\n').length).toBeGreaterThan(600);
    const json = await explain([many], [...asked, '-o', 'json']);
    expect(JSON.parse(json.stdout).near).toHaveLength(600);
  }, 120_000);
});

describe('ICMP in a question', () => {
  it.each([
    ['a type that is none', ['--icmp', 'Echo-Request'], 'icmpType must be 0 to 255 or a name'],
    ['a type of the other family', ['--icmp', 'PacketTooBig'], 'icmpType must be 0 to 255'],
    ['a port beside it', ['--icmp', '8', '--port', '80'], 'port and protocol ICMP cannot both'],
    ['a request beside it', ['--icmp', '8', '--path', '/'], 'http and protocol ICMP cannot both'],
    ['a type of TCP', ['--icmp', '8', '--protocol', 'TCP'], 'icmpType is of protocol ICMP'],
    ['no type', ['--protocol', 'ICMP'], 'icmpType must be 0 to 255'],
  ])('%s is an error', async (_, argv, stderr) => {
    const result = await explain([HTTP], [...FROM_WEB, ...argv]);
    expect(result).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(stderr) });
  });

  it('is judged by `verdict`, too', async () => {
    writeFileSync(join(DIRECTORY, 'p.yaml'), JSON.stringify(HTTP));
    const line = (icmpType: unknown, protocol: string) =>
      JSON.stringify({ endpoint: 'shop/api', remote: 'shop/web', protocol, icmpType });
    const stdin = [line(8, 'ICMP'), line('EchoRequest', 'ICMP'), line('EchoRequest', 'ICMPv6')];
    const io = testIo({ cwd: DIRECTORY, stdin: stdin.join('\n') });
    const flags = ['-p', 'p.yaml', '--endpoints', 'endpoints.yaml'];
    expect(await runCommandLine(['verdict', ...flags], io)).toBe(0);
    const verdicts = io.stdout.text.trim().split('\n');
    expect(verdicts.map((text) => JSON.parse(text).verdict)).toEqual(['allow', 'allow', 'deny']);
  });
});
