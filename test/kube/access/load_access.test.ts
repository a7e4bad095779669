import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { KubeAccess } from '../../../src/kube/access/access.ts';
import { type AccessOptions, loadAccess } from '../../../src/kube/access/load_access.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';

const ROOT = mkdtempSync(join(tmpdir(), 'kube-access-'));
afterAll(() => rmSync(ROOT, { recursive: true, force: true }));

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
const DATA = Buffer.from(PEM).toString('base64');

let folderCount = 0;

/** A new folder with these files. */
function folderWith(files: Readonly<Record<string, string>>): string {
  folderCount += 1;
  const folder = join(ROOT, String(folderCount));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

interface Parts {
  readonly cluster?: string;
  readonly user?: string;
  readonly context?: string;
}

function kubeconfig({
  cluster = 'server: https://10.0.0.1:6443',
  user = 'token: secret',
  context = 'cluster: prod, user: joe',
}: Parts = {}): string {
  return `apiVersion: v1
kind: Config
current-context: prod
clusters: [{ name: prod, cluster: { ${cluster} } }]
contexts: [{ name: prod, context: { ${context} } }]
users: [{ name: joe, user: { ${user} } }]
`;
}

function load(options: Partial<AccessOptions>): ReturnType<typeof loadAccess> {
  return loadAccess({
    kubeconfig: null,
    context: null,
    env: {},
    home: null,
    clock: new ManualPlatform().clock,
    limits: DEFAULT_LIMITS,
    serviceAccountFolder: '/nowhere',
    ...options,
  });
}

function loaded(options: Partial<AccessOptions>): KubeAccess {
  const result = load(options);
  if (result.kind === 'error') throw new Error(result.message);
  return result.access;
}

function ofParts(parts: Parts, options: Partial<AccessOptions> = {}): KubeAccess {
  return loaded({
    kubeconfig: join(folderWith({ config: kubeconfig(parts) }), 'config'),
    ...options,
  });
}

function problemOf(options: Partial<AccessOptions>): string {
  const result = load(options);
  if (result.kind === 'access') throw new Error('it was taken');
  return result.message.replaceAll(ROOT, '').replace(/\/\d+\//g, '/');
}

async function fieldsOf(access: KubeAccess): Promise<unknown> {
  return await access.credentials.current();
}

describe('the API server is looked for', () => {
  const pod = folderWith({ token: 'pod-token\n', 'ca.crt': PEM, namespace: 'shop' });
  const inPod = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
  const server = (name: string): string =>
    kubeconfig({ cluster: `server: "https://${name}:6443"` });
  const home = folderWith({ '.kube/config': server('home') });
  const other = join(folderWith({ config: server('env') }), 'config');
  const named = join(folderWith({ config: server('named') }), 'config');
  const everything = {
    kubeconfig: named,
    env: { ...inPod, KUBECONFIG: other },
    home,
    serviceAccountFolder: pod,
  };

  it.each([
    ['a named kubeconfig', everything, 'https://named:6443'],
    ['the service account', { ...everything, kubeconfig: null }, 'https://10.96.0.1'],
    [
      'KUBECONFIG',
      { ...everything, kubeconfig: null, env: { KUBECONFIG: other } },
      'https://env:6443',
    ],
    [
      'KUBECONFIG in a pod without a token',
      { ...everything, kubeconfig: null, serviceAccountFolder: '/nowhere' },
      'https://env:6443',
    ],
    [
      'KUBECONFIG in a pod, if a context is named',
      { ...everything, kubeconfig: null, context: 'prod' },
      'https://env:6443',
    ],
    ['the home folder', { ...everything, kubeconfig: null, env: {} }, 'https://home:6443'],
  ])('in %s', (_, options, expected) => {
    expect(loaded(options).server).toBe(expected);
  });

  it('in vain, and tells where', () => {
    expect(problemOf({ home: '/nobody' })).toBe(
      'no API server is configured: no file /nobody/.kube/config; this is no pod (KUBERNETES_SERVICE_HOST is not set)',
    );
    expect(problemOf({ env: inPod })).toContain('but /nowhere/token is not there');
  });

  it('by an address of IPv6, too', () => {
    const env = { ...inPod, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    expect(loaded({ env, serviceAccountFolder: pod }).server).toBe('https://[fd00::1]:6443');
  });

  it('as the pod’s account, in its namespace', async () => {
    const access = loaded({ env: inPod, serviceAccountFolder: pod });
    expect(access.namespace).toBe('shop');
    expect(await fieldsOf(access)).toMatchObject({
      credential: { authorization: 'Bearer pod-token', certificate: null },
    });
    expect(await access.trust.authorities?.current()).toEqual({ kind: 'text', text: PEM });
  });
});

describe('a kubeconfig', () => {
  it('of several files has what the first of them says', () => {
    const folder = folderWith({
      a: 'current-context: two\nclusters: [{ name: prod, cluster: { server: "https://a" } }]',
      b: `current-context: one
clusters: [{ name: prod, cluster: { server: "https://b", tls-server-name: b } }, { name: dev, cluster: { server: "https://dev" } }]
contexts: [{ name: two, context: { cluster: prod } }, { name: one, context: { cluster: dev } }]`,
    });
    const env = { KUBECONFIG: `${folder}/missing::${folder}/a:${folder}/b` };
    const two = loaded({ env });
    expect([two.server, two.trust.serverName]).toEqual(['https://a', null]);
    expect(loaded({ env, context: 'one' }).server).toBe('https://dev');
  });

  it.each([
    ['', 'default'],
    [', namespace: shop', 'shop'],
  ])('names the namespace of its context%s', (text, namespace) => {
    expect(ofParts({ context: `cluster: prod, user: joe${text}` }).namespace).toBe(namespace);
  });

  it('may have a path, below which the API is', () => {
    const cluster = 'server: "https://rancher.example/k8s/clusters/c-1/"';
    expect(ofParts({ cluster }).server).toBe('https://rancher.example/k8s/clusters/c-1');
  });

  it('has files relative to itself', async () => {
    const folder = folderWith({
      'sub/config': kubeconfig({
        cluster: 'server: "https://x", certificate-authority: pki/ca.crt',
        user: 'client-certificate: pki/me.crt, client-key: pki/me.key, tokenFile: token',
      }),
      'sub/pki/ca.crt': PEM,
      'sub/pki/me.crt': 'my certificate',
      'sub/pki/me.key': 'my key',
      'sub/token': 'file-token',
    });
    const access = loaded({ kubeconfig: join(folder, 'sub/config') });
    expect(await access.trust.authorities?.current()).toEqual({ kind: 'text', text: PEM });
    expect(await fieldsOf(access)).toEqual({
      kind: 'credential',
      credential: {
        authorization: 'Bearer file-token',
        certificate: { certificate: 'my certificate', key: 'my key' },
      },
    });
  });

  it('may have its texts inline', async () => {
    const access = ofParts({
      cluster: `server: "https://x", certificate-authority-data: ${DATA}, tls-server-name: api.example`,
      user: `client-certificate-data: ${DATA}, client-key-data: ${DATA}`,
    });
    expect(await access.trust.authorities?.current()).toEqual({ kind: 'text', text: PEM });
    expect(access.trust.serverName).toBe('api.example');
    expect(await fieldsOf(access)).toMatchObject({
      credential: { authorization: null, certificate: { certificate: PEM, key: PEM } },
    });
  });

  it('may have a user and a password', async () => {
    const access = ofParts({ user: 'username: joe, password: "pä:ss"' });
    const pair = Buffer.from('joe:pä:ss').toString('base64');
    expect(await fieldsOf(access)).toMatchObject({
      credential: { authorization: `Basic ${pair}` },
    });
  });

  it('may ask for somebody else', () => {
    const { impersonation } = ofParts({
      user: 'token: t, as: ann, as-uid: "7", as-groups: [a, b], as-user-extra: { Team/x: [y] }',
    });
    expect(impersonation).toEqual({
      'impersonate-user': ['ann'],
      'impersonate-uid': ['7'],
      'impersonate-group': ['a', 'b'],
      'impersonate-extra-team%2Fx': ['y'],
    });
  });

  it.each([
    ['server: "https://x"', []],
    [
      'server: "https://x", insecure-skip-tls-verify: true',
      [
        '/config: clusters[prod].cluster: the API server’s certificate is not verified (insecure-skip-tls-verify)',
      ],
    ],
    [
      'server: "http://x"',
      ['/config: clusters[prod].cluster.server: the API server is asked without TLS'],
    ],
  ])('tells what is not safe: %s', (cluster, expected) => {
    const { warnings } = ofParts({ cluster });
    expect(warnings.map((line) => line.replace(/^.*(?=\/config)/, ''))).toEqual(expected);
  });

  it.each<[Parts, string]>([
    [{ cluster: 'server: [1]' }, '/config: clusters[prod].cluster.server: must be a text'],
    [
      { cluster: 'server: "ftp://x"' },
      '/config: clusters[prod].cluster.server: must be a URL of https or http',
    ],
    [{ cluster: '' }, '/config: clusters[prod].cluster.server: is missing'],
    [{ context: 'user: joe' }, '/config: contexts[prod].context.cluster: is missing'],
    [
      { context: 'cluster: gone, user: joe' },
      '/config: contexts[prod].context.cluster "gone" does not exist (there is prod)',
    ],
    [
      { context: 'cluster: prod, user: ann' },
      '/config: contexts[prod].context.user "ann" does not exist (there is joe)',
    ],
    [
      { cluster: 'server: "https://x", certificate-authority-data: "%"' },
      '/config: clusters[prod].cluster.certificate-authority-data: must be base64',
    ],
    [
      { cluster: 'server: "https://x", certificate-authority: a, insecure-skip-tls-verify: true' },
      '/config: clusters[prod].cluster.insecure-skip-tls-verify: cannot be true beside a certificate authority',
    ],
    [
      { cluster: 'server: "https://[::1]:6443", proxy-url: "socks5://p"' },
      '/config: clusters[prod].cluster.proxy-url: of socks5 needs tls-server-name for a server that is an address',
    ],
    [
      { cluster: 'server: "https://x", proxy-url: "ftp://p"' },
      '/config: clusters[prod].cluster.proxy-url: must be a URL of http, https or socks5',
    ],
    [
      { user: 'token: t, username: u' },
      '/config: users[joe].user: has a token and a username, of which one may be given',
    ],
    [
      { user: 'client-key: k' },
      '/config: users[joe].user: has only one of client-certificate and client-key',
    ],
    [
      { user: 'auth-provider: { name: gcp }' },
      '/config: users[joe].user.auth-provider: is no longer supported by Kubernetes; use an exec plugin',
    ],
    [
      { user: 'as-groups: [a]' },
      '/config: users[joe].user.as: is missing beside as-uid, as-groups or as-user-extra',
    ],
    [
      { user: 'exec: { apiVersion: client.authentication.k8s.io/v1 }' },
      '/config: users[joe].user.exec.command: is missing',
    ],
    [
      { user: 'exec: { command: x, apiVersion: client.authentication.k8s.io/v1alpha1 }' },
      '/config: users[joe].user.exec.apiVersion: must be client.authentication.k8s.io/v1 or client.authentication.k8s.io/v1beta1',
    ],
    [
      {
        user: 'exec: { command: x, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always }',
      },
      '/config: users[joe].user.exec.interactiveMode: is Always: the plugin needs a terminal, and there may be none here',
    ],
  ])('%# is wrong where it is told', (parts, message) => {
    const folder = folderWith({ config: kubeconfig(parts) });
    expect(problemOf({ kubeconfig: join(folder, 'config') })).toBe(message);
  });

  it.each([
    ['a: [', '/config: '],
    ['kind: Pod', '/config: kind: must be Config'],
    ['[1]', '/config:: must be a map'],
    ['contexts: 3', '/config: contexts: must be a list'],
    [
      'contexts: [{ name: a }]',
      '/config: there is no current-context, and no context was named (there is a)',
    ],
    ['current-context: b', '/config: context "b" does not exist'],
  ])('%# that is none is refused', (text, message) => {
    const path = join(folderWith({ config: text }), 'config');
    expect(problemOf({ kubeconfig: path })).toContain(message);
  });

  it('that was named must be there', () => {
    expect(problemOf({ kubeconfig: '/nowhere/config' })).toBe('/nowhere/config: no such file');
  });
});

describe('a token in a file', () => {
  it('is read again after a minute, and at once after a refusal', async () => {
    const platform = new ManualPlatform();
    const folder = folderWith({ '1/token': 'one', '2/token': 'two', '3/token': 'three' });
    const link = (number: string): void => {
      rmSync(join(folder, 'data'), { force: true });
      symlinkSync(number, join(folder, 'data'));
    };
    link('1');
    const user = `tokenFile: "${folder}/data/token"`;
    const { credentials } = ofParts({ user }, { clock: platform.clock });
    const asked = async (): Promise<string> => {
      const result = await credentials.current();
      return result.kind === 'error' ? result.message : (result.credential.authorization ?? '');
    };
    expect(await asked()).toBe('Bearer one');
    link('2');
    platform.advance(59_000);
    expect(await asked()).toBe('Bearer one');
    platform.advance(1_000);
    expect(await asked()).toBe('Bearer two');
    link('3');
    expect(credentials.renew({ authorization: 'Bearer two', certificate: null })).toBe(true);
    expect(await asked()).toBe('Bearer three');
    // Between two links there is none.
    rmSync(join(folder, 'data'));
    platform.advance(60_000);
    expect(await asked()).toBe('Bearer three');
  });

  it('that is missing is told with its path', async () => {
    const { credentials } = ofParts({ user: 'tokenFile: /nowhere/token' });
    expect(await credentials.current()).toEqual({
      kind: 'error',
      message: '/nowhere/token: no such file',
    });
  });
});
