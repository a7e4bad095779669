/**
 * The webhook asked by a real API server: kubectl says what `check` says; certificates change while policies are
 * applied; what a cluster does without the webhook is what its failurePolicy says.
 */
import { execFile } from 'node:child_process';
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdmissionServer } from '../../../src/cli/admission/admission_server.ts';
import type { CertificateTimes } from '../../../src/cli/admission/certificate_state.ts';
import { UNJUDGED } from '../../../src/cli/admission/reply.ts';
import { tenantOf } from '../../../src/cli/admission/review_sender.ts';
import { crdFiles } from '../../../src/control/decode/cnp/print_crds.ts';
import { loadAccess } from '../../../src/kube/access/load_access.ts';
import { ApiClient } from '../../../src/kube/api_client.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { createLogger } from '../../../src/observe/log/logger.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { programPath } from '../../peers/kube/build.ts';
import { until } from '../../support/until.ts';
import { pathOf, saidByCheck, wrongPolicies } from './crd_corpus.ts';
import { type Account, ControlPlane } from './parts/control_plane.ts';
import { freePorts } from './parts/part.ts';

const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
const LONG: CertificateTimes = {
  authorityLifetimeMs: 3_600_000,
  serverLifetimeMs: 3_600_000,
  settleMs: 600_000,
  skewMs: 60_000,
};

let cluster: ControlPlane;
let account: Account;
let port: number;

beforeAll(async () => {
  cluster = await ControlPlane.start({ store: 'etcd' });
  [port = 0] = await freePorts(1);
  // Without the rule on names, so that the webhook is the one who refuses.
  for (const [name, text] of crdFiles()) {
    if (name.startsWith('cilium')) await cluster.applyDefinitions(text);
  }
  account = await cluster.account('sallyport/admission', RIGHTS);
  await cluster.kubectl(['-n', 'sallyport', 'create', 'secret', 'generic', 'admission']);
  await cluster.ask('POST', WEBHOOKS, webhook('Fail'));
});

afterAll(() => cluster.stop());

/** As the chart has them; those of namespaces are of the whole cluster here. */
const RIGHTS = [
  {
    apiGroups: [''],
    resources: ['secrets'],
    resourceNames: ['admission'],
    verbs: ['get', 'patch'],
  },
  {
    apiGroups: ['admissionregistration.k8s.io'],
    resources: ['validatingwebhookconfigurations'],
    resourceNames: ['policies'],
    verbs: ['get', 'patch'],
  },
];

function webhook(failurePolicy: 'Fail' | 'Ignore'): object {
  const rule = (apiGroups: string[], apiVersions: string[], resources: string[]): object => ({
    apiGroups,
    apiVersions,
    resources,
    operations: ['CREATE', 'UPDATE'],
  });
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'policies' },
    webhooks: [
      {
        name: 'policies.sallyport.dev',
        clientConfig: { url: `https://127.0.0.1:${port}/validate` },
        rules: [
          rule(
            ['cilium.io'],
            ['v2'],
            ['ciliumnetworkpolicies', 'ciliumclusterwidenetworkpolicies'],
          ),
          rule(['cilium.io'], ['v2', 'v2alpha1'], ['ciliumcidrgroups']),
          rule(['networking.k8s.io'], ['v1'], ['networkpolicies']),
        ],
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 10,
        failurePolicy,
      },
    ],
  };
}

interface Serving {
  readonly server: AdmissionServer;
  readonly stop: () => Promise<void>;
}

async function serve(times: CertificateTimes, at = port): Promise<Serving> {
  const platform = nodePlatform();
  const found = loadAccess({
    kubeconfig: account.kubeconfig,
    context: null,
    env: {},
    home: null,
    clock: platform.clock,
    limits: DEFAULT_LIMITS,
  });
  if (found.kind === 'error') throw new Error(found.message);
  const limits = { ...DEFAULT_LIMITS, admissionDrainMs: 100 };
  const client = new ApiClient(found.access, { platform, limits, userAgent: 'test' });
  const server = new AdmissionServer({
    ...platform,
    client,
    log: createLogger({ level: 'silent' }),
    settings: { limits, hasNodeLabels: false },
    threadCount: 2,
    listen: { host: '127.0.0.1', port: at },
    hosts: ['127.0.0.1'],
    namespace: 'sallyport',
    secretName: 'admission',
    webhookName: 'policies',
    times,
    intervalMs: 200,
  });
  const ended = server.run();
  await until(() => server.problem === null);
  await until(async () => (await tried(policy('probe', GOOD))).status === 201);
  return {
    server,
    stop: async () => {
      await server.drain();
      await ended;
      await client.close();
    },
  };
}

const GOOD = { endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] };
const NO_FINALIZERS = '{"metadata":{"finalizers":null}}';
const BAD_PATTERN = {
  endpointSelector: {},
  ingress: [
    { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '/(a' }] } }] },
  ],
};

function policy(name: string, spec: object): { [field: string]: unknown } {
  const metadata = { name, namespace: 'default' };
  return { apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata, spec };
}

function tried(object: object): Promise<{ status: number; object: { message?: string } }> {
  return cluster.ask('POST', `${pathOf(object)}?dryRun=All`, object);
}

describe('the admission webhook', () => {
  it('refuses in the words of check what the CRDs let through, and takes what it takes', async () => {
    const serving = await serve(LONG);
    try {
      let refused = 0;
      for (const { object } of wrongPolicies()) {
        object.metadata.namespace = object.kind === 'CiliumNetworkPolicy' ? 'default' : undefined;
        const { status, object: said } = await tried(object);
        const [first = ''] = saidByCheck(object);
        if (!said.message?.includes('admission webhook')) continue;
        refused++;
        expect(status).toBe(422);
        expect(said.message).toContain(`denied the request: `);
        expect(said.message).toContain(first);
      }
      expect(refused).toBeGreaterThan(10);
      const shown = cluster.kubectl(
        ['apply', '-f', '-'],
        JSON.stringify(policy('bad', BAD_PATTERN)),
      );
      await expect(shown).rejects.toThrow(
        'admission webhook "policies.sallyport.dev" denied the request: spec.ingress[0].toPorts[0].rules.http[0].path: is no RE2 pattern: missing ): \\/(a (found "/(a") [invalid]',
      );
    } finally {
      await serving.stop();
    }
  });

  it('lets an object that was there before, nested too deep, lose its finalizer', async () => {
    const deep = JSON.parse(`${'['.repeat(500)}1${']'.repeat(500)}`);
    const object = policy('deep', { ...GOOD, description: 'x', unknown: deep });
    object['metadata'] = { name: 'deep', namespace: 'default', finalizers: ['example.com/hold'] };
    await cluster.ask('DELETE', `${WEBHOOKS}/policies`);
    await until(async () => (await cluster.ask('POST', pathOf(object), object)).status === 201);
    await cluster.ask('POST', WEBHOOKS, webhook('Fail'));
    const serving = await serve(LONG);
    try {
      const again = await tried({ ...object, metadata: { name: 'two', namespace: 'default' } });
      expect(again.status).toBe(422);
      expect(again.object.message).toContain('deeper than documentDepthMax allows');
      await cluster.kubectl(['delete', 'cnp', 'deep', '--wait=false']);
      await cluster.kubectl(['patch', 'cnp', 'deep', '--type=merge', '-p', NO_FINALIZERS]);
      await expect(cluster.kubectl(['get', 'cnp', 'deep'])).rejects.toThrow('not found');
    } finally {
      await serving.stop();
    }
  });

  it('warns of what check warns of, as kubectl shows it', async () => {
    const serving = await serve(LONG);
    try {
      const shadowed = {
        endpointSelector: {},
        ingress: [
          {
            toPorts: [
              {
                ports: [{ port: '80', protocol: 'TCP' }],
                rules: { http: [{ method: 'GET' }, { method: 'GET', path: '/a' }] },
              },
            ],
          },
        ],
      };
      const said = await kubectlStderr(policy('warned', shadowed));
      expect(said).toBe(
        'Warning: ingress[0].toPorts[0].rules.http[1]: adds nothing: ingress[0].toPorts[0].rules.http[0] already allows all that it allows [shadowed]\n',
      );
    } finally {
      await serving.stop();
    }
  });

  it('leaves alone what is not new: labels, finalizers, deletes, a status of a policy that it would refuse', async () => {
    await cluster.ask('PATCH', `${WEBHOOKS}/policies`, failing('Ignore'), MERGE);
    const bad = policy('old', BAD_PATTERN);
    await until(async () => (await cluster.ask('POST', pathOf(bad), bad)).status === 201);
    await cluster.ask('PATCH', `${WEBHOOKS}/policies`, failing('Fail'), MERGE);
    const serving = await serve(LONG);
    const path = `${pathOf(bad)}/old`;
    const patched = async (body: object, part = ''): Promise<number> =>
      (await cluster.ask('PATCH', `${path}${part}`, body, MERGE)).status;
    try {
      await until(async () => (await tried(bad)).status === 422);
      expect(await patched({ metadata: { labels: { a: 'b' }, finalizers: ['test.dev/x'] } })).toBe(
        200,
      );
      expect(await patched({ status: { conditions: [] } }, '/status')).toBe(200);
      expect(await patched({ spec: { description: 'changed' } })).toBe(422);
      expect((await cluster.ask('DELETE', path)).status).toBe(200);
      expect(await patched({ metadata: { finalizers: null } })).toBe(200);
      expect((await cluster.ask('GET', path)).status).toBe(404);
    } finally {
      await serving.stop();
    }
  });

  it('judges an object whose name the API server makes up', async () => {
    const serving = await serve(LONG);
    try {
      const of = (spec: object): object => ({
        ...policy('', spec),
        metadata: { generateName: 'made-', namespace: 'default' },
      });
      expect((await tried(of(GOOD))).status).toBe(201);
      expect((await tried(of(BAD_PATTERN))).object.message).toContain('is no RE2 pattern');
    } finally {
      await serving.stop();
    }
  });

  it('renews its authority and its certificates while policies are applied, and none is lost', async () => {
    await cluster.ask(
      'PATCH',
      '/api/v1/namespaces/sallyport/secrets/admission',
      { data: null },
      MERGE,
    );
    const times = {
      authorityLifetimeMs: 20_000,
      serverLifetimeMs: 12_000,
      // On a busy machine an API server hears late whom it is to trust.
      settleMs: 4000,
      skewMs: 3000,
    };
    const serving = await serve(times);
    const [second = 0] = await freePorts(1);
    const other = await serve(times, second);
    const seen = { authorities: new Set<string>(), servers: new Set<string>(), answers: 0 };
    const failed: string[] = [];
    const endsAt = performance.now() + 300_000;
    const isSeen = (): boolean => seen.authorities.size > 2 && seen.servers.size > 4;
    try {
      while (!isSeen() && performance.now() < endsAt) {
        const [good, bad] = await Promise.all([
          tried(policy('good', GOOD)),
          tried(policy('bad', BAD_PATTERN)),
        ]);
        if (good.status !== 201) failed.push(good.object.message ?? '');
        if (bad.status !== 422) failed.push(bad.object.message ?? '');
        seen.answers += 2;
        const { data } = (
          await cluster.ask('GET', '/api/v1/namespaces/sallyport/secrets/admission')
        ).object;
        seen.authorities.add(data['ca.crt']);
        seen.servers.add(data['tls.crt']);
      }
      expect(failed).toEqual([]);
      expect(seen.answers).toBeGreaterThan(100);
      expect(isSeen()).toBe(true);
      // The one who has just been the second to write looks again.
      for (const { server } of [serving, other]) await until(() => server.problem === null);
    } finally {
      await Promise.all([serving.stop(), other.stop()]);
    }
  }, 600_000);

  it('mends the trust of API servers, and a Secret that was emptied', async () => {
    const serving = await serve(LONG);
    const secret = '/api/v1/namespaces/sallyport/secrets/admission';
    try {
      const before = (await cluster.ask('GET', secret)).object.data;
      await cluster.ask('PATCH', secret, { data: null }, MERGE);
      await until(async () => (await cluster.ask('GET', secret)).object.data !== undefined);
      expect((await cluster.ask('GET', secret)).object.data).toEqual(before);
      await cluster.ask('PUT', `${WEBHOOKS}/policies`, {
        ...webhook('Fail'),
        metadata: (await cluster.ask('GET', `${WEBHOOKS}/policies`)).object.metadata,
      });
      await until(async () => {
        const { webhooks } = (await cluster.ask('GET', `${WEBHOOKS}/policies`)).object;
        return webhooks[0].clientConfig.caBundle !== undefined;
      });
      await until(async () => (await tried(policy('again', GOOD))).status === 201);
    } finally {
      await serving.stop();
    }
  });

  it.each([
    ['Fail', 500],
    ['Ignore', 201],
  ] as const)(
    'is not there: with failurePolicy %s a policy gets %i',
    async (failurePolicy, status) => {
      await cluster.ask('PATCH', `${WEBHOOKS}/policies`, failing(failurePolicy), MERGE);
      await until(async () => (await tried(policy('bad', BAD_PATTERN))).status === status);
    },
  );

  it('is told for whom a review is before the object, and why nobody judged one is shown', async () => {
    await cluster.ask('PATCH', `${WEBHOOKS}/policies`, failing('Fail'), MERGE);
    await (await serve(LONG)).stop();
    const secret = await cluster.ask('GET', '/api/v1/namespaces/sallyport/secrets/admission');
    const { data } = secret.object as unknown as { data: Record<string, string> };
    const pem = (name: string): string => Buffer.from(data[name] ?? '', 'base64').toString();
    const tenants: (string | null)[] = [];
    const words = 'the policy takes longer than 3000 ms to judge';
    const server = createServer({ cert: pem('tls.crt'), key: pem('tls.key') }, (asked, answer) => {
      text(asked).then((body) => {
        tenants.push(tenantOf(body, DEFAULT_LIMITS));
        answer.writeHead(UNJUDGED, { 'content-type': 'text/plain' }).end(`${words}\n`);
      });
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    try {
      const own = policy('p', GOOD);
      const clusterwide = {
        ...own,
        kind: 'CiliumClusterwideNetworkPolicy',
        metadata: { name: 'p' },
      };
      for (const object of [own, clusterwide]) {
        const { status, object: said } = await tried(object);
        expect([status, said.message]).toEqual([500, expect.stringContaining(words)]);
      }
      expect(tenants).toEqual(['namespace default', expect.stringMatching(/^user \S+$/)]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('asked for nothing that its rights do not cover', () => {
    const user = ':sallyport:admission';
    const denied = cluster.audit.writes(user).filter(({ code }) => code === 403);
    expect(denied).toEqual([]);
    expect(cluster.audit.writes(user).length).toBeGreaterThan(3);
  });
});

const MERGE = 'application/merge-patch+json';

/** A merge patch replaces the list. */
function failing(failurePolicy: 'Fail' | 'Ignore'): object {
  const { webhooks } = webhook(failurePolicy) as { webhooks: object[] };
  return { webhooks };
}

/** What kubectl prints beside its answer. */
function kubectlStderr(object: object): Promise<string> {
  return new Promise((resolve) => {
    const child = execFile(
      programPath('kubectl'),
      ['--kubeconfig', cluster.kubeconfig, 'apply', '--dry-run=server', '-f', '-'],
      (_, __, stderr) => resolve(stderr),
    );
    // It may have ended before it is given anything.
    child.stdin?.on('error', () => {});
    child.stdin?.end(JSON.stringify(object));
  });
}
