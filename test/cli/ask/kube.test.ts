/** The tools against a cluster, as a user meets them: what is asked, what is laid over it, and what cannot be answered. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { CLUSTER_KINDS } from '../../../src/control/source/kube/cluster_kinds.ts';
import { type KubeKind, pathOf } from '../../../src/kube/kind.ts';
import { FakeCluster, mountedConfig, policyKind } from '../../support/fake_cluster.ts';
import type { FakeRequest, Fault } from '../../support/fake_kube_api.ts';
import { testIo } from '../test_io.ts';

let cluster: FakeCluster;

function cnp(name: string, app: string, rules: object): object {
  const [namespace, own] = name.split('/');
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { namespace, name: own },
    spec: { endpointSelector: { matchLabels: { app } }, ...rules },
  };
}

function from(app: string, http: readonly object[] | null, namespace = 'shop'): object {
  return {
    fromEndpoints: [{ matchLabels: { app, 'k8s:io.kubernetes.pod.namespace': namespace } }],
    toPorts: [
      {
        ports: [{ port: '8080', protocol: 'TCP' }],
        ...(http === null ? {} : { rules: { http } }),
      },
    ],
  };
}

const READS = [{ method: 'GET', path: '/orders/[0-9]+' }];

beforeAll(async () => {
  cluster = await FakeCluster.start();
  for (const name of ['shop', 'lab']) cluster.namespace(name);
  cluster.pod('shop/orders-7d9f8c6b5-x2x4z', { ip: '10.0.0.1', labels: { app: 'orders' } });
  cluster.pod('shop/orders-7d9f8c6b5-b7c8d', { ip: '10.0.0.2', labels: { app: 'orders' } });
  cluster.pod('shop/web-5f6b7c8d9-zzzzz', { ip: '10.0.0.3', labels: { app: 'web' } });
  cluster.pod('shop/office-0', { ip: '10.0.0.4', labels: { app: 'office' } });
  cluster.pod('lab/probe', { ip: '10.0.1.1', labels: { app: 'probe' } });
  cluster.policy(cnp('shop/orders', 'orders', { ingress: [from('web', READS)] }));
  cluster.policy(cnp('lab/broken', 'probe', { ingress: [{ fromEndpoint: [] }] }));
  cluster.policy(
    cnp('lab/actor', 'probe', {
      ingress: [
        from('web', [
          { headerMatches: [{ name: 'X-Key', secret: { namespace: 'lab', name: 'key' } }] },
        ]),
      ],
    }),
  );
  cluster.secret('lab/key', 'open');
  const office = from('office', null);
  const more = cnp('shop/orders', 'orders', { ingress: [from('web', READS), office] });
  cluster.file('more.yaml', JSON.stringify(more));
  cluster.file('wrong.yaml', JSON.stringify(cnp('shop/new', 'web', { ingres: [] })));
  cluster.file('files.yaml', mountedConfig({ policies: ['more.yaml'] }));
  cluster.file('cluster.yaml', mountedConfig({ kubernetes: { kubeconfig: 'kubeconfig' } }));
  cluster.file(
    'same.yaml',
    JSON.stringify(cnp('shop/orders', 'orders', { ingress: [from('web', READS)] })),
  );
});
afterAll(() => cluster.stop());

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(argv: readonly string[], stdin = ''): Promise<Run> {
  const io = testIo({ cwd: cluster.folder, stdin });
  const code = await runCommandLine(argv, io);
  // What is said of every API server without TLS.
  const stderr = io.stderr.text.replace(/^.*the API server is asked without TLS\n/gm, '');
  return { code, stdout: io.stdout.text, stderr };
}

const KUBE = ['--kube', '--kubeconfig', 'kubeconfig'];
const ASKED = ['--remote', 'shop/web', '--port', '8080'];

describe('explain --kube answers for what is in the cluster', () => {
  const cases: readonly [about: string, argv: string[], code: number, stdout: string][] = [
    [
      'an allowed request',
      ['--endpoint', 'shop/orders', ...ASKED, '--path', '/orders/42'],
      0,
      'ALLOWED by ingress[0].toPorts[0].rules.http[0] of shop/orders',
    ],
    [
      'a refused one',
      ['--endpoint', 'shop/orders', ...ASKED, '-X', 'DELETE', '--path', '/orders/42'],
      1,
      'path matched, method DELETE is not GET',
    ],
    ['a name in the namespace of the context', ['--endpoint', 'orders', ...ASKED], 0, 'ALLOWED'],
    ['a name in another one', ['-n', 'lab', '--endpoint', 'probe', ...ASKED], 0, 'lab/probe'],
    ['an address', ['--endpoint-ip', '10.0.0.1', '--remote-ip', '10.0.0.4'], 1, 'DENIED'],
    [
      'labels in the namespace',
      ['--endpoint', 'orders', '--label', 'app=web', '--port', '8080'],
      0,
      'ALLOWED',
    ],
    [
      'an endpoint of labels',
      ['--endpoint-label', 'app=orders', '--remote', 'office-0'],
      1,
      'shop/ad-hoc',
    ],
    [
      'a pod that a file laid over it lets in',
      ['-p', 'more.yaml', '--endpoint', 'orders', '--remote', 'office-0', '--port', '8080'],
      0,
      'ALLOWED by ingress[1].toPorts[0] of shop/orders',
    ],
    [
      'a secret that a policy names',
      ['--endpoint', 'lab/probe', ...ASKED, '--path', '/', '-H', 'X-Key: open'],
      0,
      'ALLOWED',
    ],
  ];
  it.each(cases)('%s', async (_, argv, code, stdout) => {
    const found = await run(['explain', ...KUBE, ...argv]);
    expect(found).toMatchObject({ code, stdout: expect.stringContaining(stdout) });
  });

  it('says which pods a name stands for', async () => {
    const { stderr } = await run(['explain', ...KUBE, '--endpoint', 'orders', ...ASKED]);
    expect(stderr).toBe(
      'orders is 2 pods, which are alike to policy: shop/orders-7d9f8c6b5-b7c8d, shop/orders-7d9f8c6b5-x2x4z\n' +
        'shop/web is the pod shop/web-5f6b7c8d9-zzzzz\n',
    );
  });
});

describe('what cannot be asked is one line, and exit 2', () => {
  const asked = ['--endpoint', 'shop/orders', '--remote', 'shop/web'];
  const cases: readonly [about: string, argv: string[], stderr: string][] = [
    [
      'a name with a slip',
      ['explain', ...KUBE, '--endpoint', 'ordrs', ...ASKED],
      'did you mean shop/orders?',
    ],
    [
      'a file beside it that is wrong',
      ['explain', ...KUBE, '-p', 'wrong.yaml', ...asked],
      'unknown field "ingres"',
    ],
    [
      'no such context',
      ['explain', ...KUBE, '--context', 'prod', ...asked],
      '"prod" does not exist (there is test)',
    ],
    [
      'no such kubeconfig',
      ['explain', '--kube', '--kubeconfig', 'none', ...asked],
      'none: no such file',
    ],
    ['no kubeconfig at all', ['explain', '--kube', ...asked], 'no API server is configured'],
    [
      'a context without --kube',
      ['explain', '--context', 'test', '-p', 'more.yaml'],
      '--context says which cluster; it goes with --kube',
    ],
    [
      'endpoints of a file, too',
      ['verdict', ...KUBE, '--endpoints', 'e.yaml'],
      'a cluster says itself who is in it, and --endpoints something else',
    ],
    [
      'a configuration of files, too',
      ['check', ...KUBE, '-c', 'files.yaml'],
      'files.yaml says nothing of a cluster: it has no field kubernetes',
    ],
    [
      'a configuration of files for test files',
      ['test', '-c', 'files.yaml', 'x.test.yaml'],
      'files.yaml has no field kubernetes, so there is no cluster to ask',
    ],
    [
      'what a configuration says',
      ['explain', '-c', 'cluster.yaml', '--judge-host', ...asked],
      '--config says whether --judge-host',
    ],
    [
      'another admin server',
      ['status', ...KUBE, '--admin', '127.0.0.1:1'],
      '--kube asks the cluster, and --admin something else',
    ],
    [
      'flows without files',
      ['check', ...KUBE, '--flows', 'f'],
      '--flows asks what files would change',
    ],
    [
      'flows without a cluster',
      ['check', '--flows', 'f', 'more.yaml'],
      'it goes with --kube -p FILE',
    ],
    [
      'files beside test files',
      ['test', '-p', 'more.yaml', 'x.test.yaml'],
      '-p and --secrets go with --kube',
    ],
  ];
  it.each(cases)('%s', async (_, argv, stderr) => {
    const found = await run(argv);
    expect(found).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(stderr) });
    expect(found.stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('what the API server does not give', () => {
  const asked = ['explain', ...KUBE, '--endpoint', 'orders', ...ASKED];

  async function withFault(kinds: readonly KubeKind[], fault: Fault): Promise<Run> {
    const isOf = ({ path }: FakeRequest): boolean => kinds.some((kind) => path === pathOf(kind));
    cluster.api.fault(isOf, fault, Number.POSITIVE_INFINITY);
    try {
      return await run(asked);
    } finally {
      cluster.api.clearFaults();
    }
  }
  const forbidden = {
    kind: 'status',
    code: 403,
    reason: 'Forbidden',
    message: 'that is forbidden',
  } as const;

  it('is refused with its kinds when an answer could be wrong without them', async () => {
    const kinds = [policyKind('CiliumNetworkPolicy'), ...CLUSTER_KINDS.Pod];
    const { code, stdout, stderr } = await withFault(kinds, forbidden);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('does not let us list ciliumnetworkpolicies, pods, and without them');
  });

  it('is told, and what is taken for granted, when it hardly matters', async () => {
    const { code, stderr } = await withFault(CLUSTER_KINDS.Node, forbidden);
    expect(code).toBe(0);
    expect(stderr).toContain(
      'nodes cannot be read (that is forbidden): addresses of nodes count as those of the world',
    );
  });

  it('is nothing when there is no such kind, whatever the rights to it', async () => {
    const { code, stderr } = await withFault([policyKind('ClusterNetworkPolicy')], forbidden);
    expect({ code, isTold: stderr.includes('clusternetworkpolicies') }).toEqual({
      code: 0,
      isTold: false,
    });
  });

  it('is nothing at all when it does not know us, and that is told once', async () => {
    const unknown = { kind: 'status', code: 401, message: 'Unauthorized' } as const;
    cluster.api.fault(() => true, unknown, Number.POSITIVE_INFINITY);
    try {
      for (const [verb = '', ...rest] of [asked, ['status', ...KUBE]]) {
        const { code, stderr } = await run([verb, ...rest]);
        expect(code).not.toBe(0);
        expect(stderr).toBe(
          `sallyport: ${verb}: the API server does not take our credentials: the token or certificate is wrong or has expired (Unauthorized)\n`,
        );
      }
    } finally {
      cluster.api.clearFaults();
    }
  });

  it('is no answer when a list ends in the middle', async () => {
    const { code, stderr } = await withFault(CLUSTER_KINDS.Pod, { kind: 'cut', afterBytes: 90 });
    expect({ code }).toEqual({ code: 2 });
    expect(stderr).toContain('the list was cut');
  });
});

describe('check --kube', () => {
  it('lints all of it; a bad object does not hide the others', async () => {
    const { code, stdout } = await run(['check', ...KUBE]);
    expect(code).toBe(1);
    expect(stdout).toContain(
      'error: CiliumNetworkPolicy lab/broken: spec.ingress[0].fromEndpoint: unknown field',
    );
    expect(stdout).toContain(
      'note: CiliumNetworkPolicy shop/orders: ingress[0].toPorts[0].rules.http[0]: path',
    );
    expect(stdout).toContain('3 policies of the cluster: 1 errors');
  });

  it('of one namespace', async () => {
    const { code, stdout } = await run(['check', ...KUBE, '-n', 'shop']);
    expect({ code }).toEqual({ code: 0 });
    expect(stdout).not.toContain('lab/');
  });

  it('says what files would change', async () => {
    const { code, stdout } = await run(['check', ...KUBE, '-n', 'shop', '-p', 'more.yaml']);
    expect(code).toBe(0);
    expect(stdout).toContain(
      [
        'What would change: replaced: CiliumNetworkPolicy shop/orders',
        '',
        'ingress of shop/orders-7d9f8c6b5-* (2 pods)',
        '  denied -> allowed on TCP 8080: from shop/office-0',
        '2 of 5 pods and nodes would have another verdict for somebody.',
        '',
      ].join('\n'),
    );
  });

  it('of an object without a namespace as kubectl would put it there', async () => {
    const none = { ...cnp('shop/orders', 'orders', { ingress: [from('web', READS)] }) };
    cluster.file('none.yaml', JSON.stringify({ ...none, metadata: { name: 'orders' } }));
    const own = await run(['check', ...KUBE, '-p', 'none.yaml']);
    expect(own.stdout).toContain('What would change: replaced: CiliumNetworkPolicy shop/orders');
    const other = await run(['check', ...KUBE, '-n', 'lab', '-p', 'none.yaml']);
    expect(other.stdout).toContain('What would change: new: CiliumNetworkPolicy lab/orders');
  });

  it('and that they would change nothing', async () => {
    const { stdout } = await run(['check', ...KUBE, '-n', 'shop', '-p', 'same.yaml']);
    expect(stdout).toContain('No verdict would change, whoever asks whom.\n');
  });

  it('says what is wrong with files, and then not what they would change', async () => {
    const { code, stdout } = await run(['check', ...KUBE, '-n', 'shop', '-p', 'wrong.yaml']);
    expect(code).toBe(1);
    expect(stdout).toContain('error: wrong.yaml:1:');
    expect(stdout).not.toContain('What would change');
  });

  it('judges flows of before by both', async () => {
    const side = (pod: string, ip: string, port: number): object => ({
      namespace: 'shop',
      pod,
      ip,
      port,
    });
    const flow = {
      ...{ kind: 'Flow', verdict: 'denied', direction: 'ingress', transport: 'TCP' },
      source: side('office-0', '10.0.0.4', 4000),
      destination: side('orders-gone', '10.0.0.9', 8080),
      http: { method: 'PUT', path: '/orders/1', host: 'orders' },
    };
    const there = { ...flow, destination: side('orders-7d9f8c6b5-x2x4z', '10.0.0.1', 8080) };
    const ping = { ...there, transport: 'ICMP', count: 3 };
    const lines = [there, there, ping, flow, { kind: 'LostFlows', count: 4 }].map((one) =>
      JSON.stringify(one),
    );
    cluster.file('flows.jsonl', [...lines, 'no flow', ''].join('\n'));
    const { stdout } = await run([
      ...['check', ...KUBE, '-n', 'shop', '-p', 'more.yaml'],
      ...['--flows', 'flows.jsonl', '-o', 'json'],
    ]);
    expect(JSON.parse(stdout).changes.flows).toEqual({
      judgedCount: 2,
      goneCount: 1,
      unaskableCount: 3,
      unreadableCount: 1,
      otherwiseCount: 0,
      changes: [
        {
          ...{ before: 'deny', after: 'allow', direction: 'ingress' },
          endpoint: 'shop/orders-7d9f8c6b5-*',
          remote: 'shop/office-0',
          asked: 'TCP 8080 PUT /orders/1',
          count: 2,
        },
      ],
    });
  });
});

describe('flows come from an admin server', () => {
  const asked = ['check', ...KUBE, '-n', 'shop', '-p', 'more.yaml', '--flows'];

  async function served(code: number, body: string): Promise<Run> {
    const server = createServer((_, response) => response.writeHead(code).end(body));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    try {
      return await run([...asked, `127.0.0.1:${port}`]);
    } finally {
      server.close();
    }
  }

  it('which is told to give all it has', async () => {
    const { stdout } = await served(200, '{"kind":"LostFlows","count":1}\n');
    expect(stdout).toContain('Of 0 flows 0 would get another verdict.\n');
  });

  it('which may keep none', async () => {
    const { code, stderr } = await served(400, '{"error":"no flows are kept"}');
    expect(code).toBe(2);
    expect(stderr).toMatch(/--flows: 127\.0\.0\.1:\d+ answered 400: .*no flows are kept/);
  });

  it('which may not be there', async () => {
    const { code, stderr } = await run([...asked, '127.0.0.1:1']);
    expect({ code, isTold: stderr.includes('--flows: ') }).toEqual({ code: 2, isTold: true });
  });
});

describe('verdict --kube', () => {
  it('answers lines, with files laid over the cluster in between', async () => {
    const question = { endpoint: 'orders', remote: 'office-0', port: 8080 };
    const lines = [
      question,
      { ...question, endpoint: 'ordrs' },
      { policyFile: 'more.yaml' },
      question,
    ];
    const stdin = lines.map((line) => JSON.stringify(line)).join('\n');
    const { code, stdout } = await run(['verdict', ...KUBE], stdin);
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(code).toBe(2);
    expect(answers).toMatchObject([
      { verdict: 'deny' },
      { error: expect.stringContaining('did you mean shop/orders?') },
      { update: 'accepted' },
      { verdict: 'allow' },
    ]);
  });
});

describe('test --kube', () => {
  const request = { endpoint: 'orders', remote: 'office-0', port: 8080 };

  it('asks the cluster, and not what a file names', async () => {
    cluster.file(
      'live.test.yaml',
      JSON.stringify({
        policies: ['none.yaml'],
        cases: [{ name: 'office', request, expect: 'deny' }],
      }),
    );
    expect(await run(['test', ...KUBE, 'live.test.yaml'])).toMatchObject({ code: 0 });
    const laid = await run(['test', ...KUBE, '-p', 'more.yaml', 'live.test.yaml']);
    expect(laid).toMatchObject({ code: 1, stdout: expect.stringContaining('0 passed, 1 failed') });
  });

  it('needs no policies, and takes no file that expects a rejection', async () => {
    cluster.file('short.test.yaml', JSON.stringify({ cases: [{ request, expect: 'deny' }] }));
    expect(await run(['test', ...KUBE, 'short.test.yaml'])).toMatchObject({ code: 0 });
    cluster.file('rejected.test.yaml', JSON.stringify({ rejected: 'x' }));
    const { code, stderr } = await run(['test', ...KUBE, 'rejected.test.yaml']);
    expect(code).toBe(2);
    expect(stderr).toContain('a cluster is not asked that');
  });
});
