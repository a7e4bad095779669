/**
 * A real Kubernetes API on loopback: etcd or kine, an API server with RBAC, and, where a scene needs them, the
 * controllers. Every part can be killed, paused and started again.
 *
 *     const cluster = await ControlPlane.start({ store: 'etcd' });
 *     await cluster.apply(YAML);
 *     const account = await cluster.account('sallyport/sallyport', RULES);
 *     ... KUBECONFIG=account.kubeconfig ...
 *     await cluster.stop();
 */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programPath } from '../../../peers/kube/build.ts';
import { until } from '../../../support/until.ts';
import { AUDIT_POLICY, AuditLog } from './audit_log.ts';
import { CertificateAuthority, type ClientCertificate, inlineFile } from './certificates.ts';
import { freePorts, Part } from './part.ts';
import { Store, type StoreKind } from './store.ts';
import { Wire } from './wire.ts';

const READY_MS = 150_000;
const ADMIN_TOKEN = 'admin-token';
/** Those that users see at work: namespaces that empty themselves, ReplicaSets, service accounts, EndpointSlices. */
const CONTROLLERS = [
  'serviceaccount-controller',
  'root-ca-certificate-publisher-controller',
  'namespace-controller',
  'garbage-collector-controller',
  'endpointslice-controller',
  'deployment-controller',
  'replicaset-controller',
  'job-controller',
];

export interface ControlPlaneOptions {
  readonly store: StoreKind;
  /** Runs the controllers. Without them nothing removes the content of a namespace that is deleted. */
  readonly hasControllers?: boolean;
  /** More of them, by name. */
  readonly moreControllers?: readonly string[];
  /** Where it is reached, without a port that is chosen now. */
  readonly address?: { readonly ip: string; readonly port: number };
  /** More flags of the API server. */
  readonly flags?: readonly string[];
}

/** What a user is by. */
export type Credentials =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'token-file'; readonly path: string }
  | { readonly kind: 'certificate'; readonly certificate: ClientCertificate };

export interface Account {
  /** "namespace/name" of the service account. */
  readonly name: string;
  readonly token: string;
  /** A file. */
  readonly kubeconfig: string;
}

/** Of a Role or ClusterRole, as YAML has it. */
export interface RbacRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

export interface ApiAnswer {
  readonly status: number;
  /** A text of what is no single object. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into objects of the API
  readonly object: any;
}

export class ControlPlane {
  readonly folder: string;
  readonly ip: string;
  readonly port: number;
  readonly store: Store;
  readonly apiServer: Part;
  readonly audit: AuditLog;
  readonly authority: CertificateAuthority;
  /** Of the administrator: a file. */
  readonly kubeconfig: string;
  readonly #controllers: Part | null;
  readonly #wires: Wire[] = [];
  #files = 0;

  private constructor(
    options: ControlPlaneOptions,
    { folder, ip, port, store }: { folder: string; ip: string; port: number; store: Store },
  ) {
    this.folder = folder;
    this.ip = ip;
    this.port = port;
    this.store = store;
    this.authority = new CertificateAuthority(folder);
    this.audit = new AuditLog(join(folder, 'audit.log'));
    this.apiServer = new Part(this.#apiServerCommand(options), join(folder, 'apiserver.log'));
    this.kubeconfig = join(folder, 'admin.kubeconfig');
    this.#controllers =
      options.hasControllers === true
        ? new Part(this.#controllersCommand(options), join(folder, 'controllers.log'))
        : null;
  }

  /** Ready to be asked when it resolves. */
  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-kube-'));
    mkdirSync(join(folder, 'certs'));
    const store = await Store.create(options.store, folder);
    const [freePort = 0] = await freePorts(1);
    const { ip, port } = options.address ?? { ip: '127.0.0.1', port: freePort };
    const plane = new ControlPlane(options, { folder, ip, port, store });
    try {
      await plane.#start();
    } catch (error) {
      await plane.stop();
      throw error;
    }
    return plane;
  }

  get server(): string {
    return `https://${this.ip}:${this.port}`;
  }

  /** The certificate by which clients know the API server: a file. */
  get caPath(): string {
    return join(this.folder, 'certs/apiserver.crt');
  }

  /** After it was ended, or to wait for one that has just been resumed. */
  async startApiServer(): Promise<void> {
    if (!this.apiServer.isRunning) this.apiServer.start();
    await this.ready();
  }

  /** The store has to be running. */
  async ready(): Promise<void> {
    await until(async () => {
      if (!this.apiServer.isRunning) {
        throw new Error(`the API server ended:\n${this.apiServer.log}`);
      }
      if (!existsSync(this.caPath)) return false;
      return (await this.ask('GET', '/readyz').catch(() => null))?.status === 200;
    }, READY_MS);
  }

  /**
   * Forgets every old version, in the store and in the API server: a watch that goes on from one of them is told 410.
   * Ends all connections.
   */
  async forgetVersions(): Promise<void> {
    if (this.store.kind === 'etcd') await this.store.compact();
    await this.apiServer.end();
    await this.startApiServer();
  }

  /** Everything ends, and its folder is removed. */
  async stop(): Promise<void> {
    for (const wire of this.#wires) wire.close();
    await this.#controllers?.end();
    await this.apiServer.end();
    await this.store.part.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A way to the API server that can be cut; closed with the control plane. */
  async wire(): Promise<Wire> {
    const wire = await Wire.to(this.port);
    this.#wires.push(wire);
    return wire;
  }

  /** What it prints; throws what it prints to stderr when it fails. */
  kubectl(args: readonly string[], input = ''): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        programPath('kubectl'),
        ['--kubeconfig', this.kubeconfig, ...args],
        { maxBuffer: 256 * 1024 * 1024, env: { PATH: process.env['PATH'], HOME: this.folder } },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(`kubectl ${args.join(' ')}: ${stderr}${stdout}`));
        },
      );
      // It may have ended before it is given anything: what became of it, its exit code says.
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
  }

  /** By `kubectl apply --server-side`. */
  apply(yaml: string): Promise<string> {
    return this.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], yaml);
  }

  /** CustomResourceDefinitions, which are served when it resolves. */
  async applyDefinitions(yaml: string): Promise<void> {
    await this.apply(yaml);
    const wait = ['wait', '--for', 'condition=established', '--timeout=120s', '-f', '-'];
    // kubectl fails for one that has no conditions at all yet.
    await until(() =>
      this.kubectl(wait, yaml).then(
        () => true,
        (error: Error) => {
          if (error.message.includes('.status.conditions accessor')) return false;
          throw error;
        },
      ),
    );
  }

  /** One request of the administrator, without kubectl. Rejects when nobody answers. */
  ask(method: string, path: string, body?: unknown, contentType?: string): Promise<ApiAnswer> {
    return ask(
      { host: this.ip, port: this.port, ca: readFileSync(this.caPath) },
      { method, path, body, contentType },
    );
  }

  /** A service account with these rights in the whole cluster, in force when it resolves; made when it is not there. */
  async account(name: string, rules: readonly RbacRule[] = []): Promise<Account> {
    const [namespace = '', account = ''] = name.split('/');
    const role = `${namespace}-${account}`;
    await this.apply(
      [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { namespace, name: account } },
        { apiVersion: RBAC, kind: 'ClusterRole', metadata: { name: role }, rules },
        {
          apiVersion: RBAC,
          kind: 'ClusterRoleBinding',
          metadata: { name: role },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
          subjects: [{ kind: 'ServiceAccount', namespace, name: account }],
        },
      ]
        .map((object) => JSON.stringify(object))
        .join('\n---\n'),
    );
    for (const rule of rules) await until(() => this.may(name, rule));
    const token = await this.token(name);
    return { name, token, kubeconfig: this.kubeconfigFor({ kind: 'token', token }) };
  }

  /** By the first words of the rule. An API server hears of roles and bindings some time after they are there. */
  async may(account: string, rule: RbacRule, namespace = ''): Promise<boolean> {
    const [[verb = ''], [group = ''], [resources = '']] = [
      rule.verbs,
      rule.apiGroups,
      rule.resources,
    ];
    const [resource = '', subresource = ''] = resources.split('/');
    const [name = ''] = rule.resourceNames ?? [];
    const user = `system:serviceaccount:${account.replace('/', ':')}`;
    const resourceAttributes = { verb, group, resource, subresource, namespace, name };
    const { object } = await this.ask(
      'POST',
      '/apis/authorization.k8s.io/v1/subjectaccessreviews',
      {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec: { user, resourceAttributes },
      },
    );
    return object.status.allowed;
  }

  /** `secret`: it is good for as long as that Secret of the same namespace is there. */
  async token(account: string, secret?: string): Promise<string> {
    const [namespace = '', name = ''] = account.split('/');
    const bound =
      secret === undefined ? [] : ['--bound-object-kind=Secret', '--bound-object-name', secret];
    return (await this.kubectl(['-n', namespace, 'create', 'token', name, ...bound])).trim();
  }

  /** A file. `server`: by another way (`Wire.url`). */
  kubeconfigFor(credentials: Credentials, server: string = this.server): string {
    this.#files += 1;
    const path = join(this.folder, `user-${this.#files}.kubeconfig`);
    writeFileSync(path, kubeconfigText({ server, ca: inlineFile(this.caPath), credentials }));
    return path;
  }

  async #start(): Promise<void> {
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    writeFileSync(join(this.folder, 'accounts.key'), privateKey);
    writeFileSync(join(this.folder, 'audit.yaml'), AUDIT_POLICY);
    writeFileSync(join(this.folder, 'audit.log'), '');
    writeFileSync(join(this.folder, 'tokens.csv'), `${ADMIN_TOKEN},admin,admin,system:masters\n`);
    this.store.part.start();
    await this.store.ready();
    await this.startApiServer();
    const admin: Credentials = { kind: 'token', token: ADMIN_TOKEN };
    writeFileSync(
      this.kubeconfig,
      kubeconfigText({ server: this.server, ca: inlineFile(this.caPath), credentials: admin }),
    );
    this.#controllers?.start();
  }

  #apiServerCommand({
    hasControllers = false,
    flags = [],
  }: ControlPlaneOptions): readonly [string, ...string[]] {
    const file = (name: string): string => join(this.folder, name);
    return [
      programPath('kube-apiserver'),
      ...['--etcd-servers', this.store.url, '--etcd-compaction-interval', '0'],
      ...['--bind-address', this.ip, '--advertise-address', this.ip],
      ...['--secure-port', `${this.port}`, '--cert-dir', file('certs')],
      ...['--client-ca-file', this.authority.caPath, '--token-auth-file', file('tokens.csv')],
      ...['--authorization-mode', 'Node,RBAC', '--endpoint-reconciler-type', 'none'],
      ...['--service-account-issuer', 'https://kubernetes.default.svc'],
      ...['--service-account-key-file', file('accounts.key')],
      ...['--service-account-signing-key-file', file('accounts.key')],
      ...['--service-cluster-ip-range', '10.96.0.0/16', '--allow-privileged=true'],
      ...['--audit-policy-file', file('audit.yaml'), '--audit-log-path', file('audit.log')],
      // Made by the controllers: without them no pod would have the default one.
      ...(hasControllers ? [] : ['--disable-admission-plugins', 'ServiceAccount']),
      ...flags,
    ];
  }

  #controllersCommand({
    moreControllers = [],
  }: ControlPlaneOptions): readonly [string, ...string[]] {
    return [
      programPath('kube-controller-manager'),
      ...['--kubeconfig', this.kubeconfig, '--secure-port', '0', '--leader-elect=false'],
      // By default they make twenty objects a second.
      ...['--kube-api-qps', '200', '--kube-api-burst', '400'],
      ...[
        '--controllers',
        [...CONTROLLERS, ...moreControllers].join(','),
        '--root-ca-file',
        this.caPath,
      ],
      ...['--service-account-private-key-file', join(this.folder, 'accounts.key')],
    ];
  }
}

const RBAC = 'rbac.authorization.k8s.io/v1';

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
  readonly contentType: string | undefined;
}

function ask(
  { host, port, ca }: { host: string; port: number; ca: Buffer },
  asked: Asked,
): Promise<ApiAnswer> {
  const { method, path, body, contentType = 'application/json' } = asked;
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': contentType };
    const outgoing = request({ host, port, method, path, ca, headers }, (reply) => {
      let text = '';
      reply.setEncoding('utf8');
      reply.on('data', (chunk: string) => {
        text += chunk;
      });
      reply.on('error', reject);
      reply.on('end', () => {
        // A watch answers with many objects, one a line.
        const isObject = reply.headers['content-type']?.startsWith('application/json') === true;
        const isJson = isObject && !path.includes('watch=true');
        resolve({ status: reply.statusCode ?? 0, object: isJson ? JSON.parse(text) : text });
      });
    });
    outgoing.on('error', reject);
    outgoing.setTimeout(READY_MS, () => outgoing.destroy(new Error(`no answer: ${path}`)));
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** JSON is YAML. */
function kubeconfigText(fields: {
  readonly server: string;
  readonly ca: string;
  readonly credentials: Credentials;
}): string {
  const { server, ca, credentials } = fields;
  return JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      clusters: [{ name: 'test', cluster: { server, 'certificate-authority-data': ca } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      users: [{ name: 'test', user: userOf(credentials) }],
    },
    null,
    2,
  );
}

function userOf(credentials: Credentials): object {
  switch (credentials.kind) {
    case 'token':
      return { token: credentials.token };
    case 'token-file':
      return { tokenFile: credentials.path };
    case 'certificate': {
      const { certPath, keyPath } = credentials.certificate;
      return { 'client-certificate': certPath, 'client-key': keyPath };
    }
  }
}
