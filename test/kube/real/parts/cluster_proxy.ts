/**
 * `sallyport run` with a cluster as its source of policy, in front of one pod. Clients are pods, too: their addresses are
 * of loopback, and they connect from them.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { basename, join } from 'node:path';
import { until } from '../../../support/until.ts';
import { askAdmin, type Line, type Sallyport, Scratch } from '../../../workers/running.ts';
import type { RbacRule } from './control_plane.ts';

/** As in deploy/: what a proxy reads. */
export const READ_RULES: readonly RbacRule[] = [
  {
    apiGroups: [''],
    resources: ['pods', 'namespaces', 'services', 'nodes'],
    verbs: ['get', 'list', 'watch'],
  },
  {
    apiGroups: ['discovery.k8s.io'],
    resources: ['endpointslices'],
    verbs: ['get', 'list', 'watch'],
  },
  {
    apiGroups: ['networking.k8s.io'],
    resources: ['networkpolicies'],
    verbs: ['get', 'list', 'watch'],
  },
  {
    apiGroups: ['policy.networking.k8s.io'],
    resources: ['clusternetworkpolicies'],
    verbs: ['get', 'list', 'watch'],
  },
  {
    apiGroups: ['cilium.io'],
    resources: ['ciliumnetworkpolicies', 'ciliumclusterwidenetworkpolicies', 'ciliumcidrgroups'],
    verbs: ['get', 'list', 'watch'],
  },
];

/** What it writes back: docs/kubernetes.md. */
export const REPORT_RULES: readonly RbacRule[] = [
  {
    apiGroups: ['cilium.io'],
    resources: ['ciliumnetworkpolicies/status', 'ciliumclusterwidenetworkpolicies/status'],
    verbs: ['patch'],
  },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'patch', 'create'] },
];

/** A watch that broke is opened again after a while, with others at work. */
const PATIENCE_MS = 150_000;

export interface ClusterProxyOptions {
  readonly kubeconfig: string;
  readonly nodeName?: string;
  /** Of the pod in front of which it is, with the port. */
  readonly destination: string;
  /** More fields of `kubernetes`, as JSON has them. */
  readonly kubernetes?: object;
  /** More fields of the configuration. */
  readonly more?: object;
}

export class ClusterProxy {
  readonly scratch: Scratch;
  process: Sallyport;
  port = 0;
  readonly #config: string;

  private constructor(scratch: Scratch, config: string) {
    this.scratch = scratch;
    this.#config = config;
    this.process = scratch.run(['run', '-c', config]);
  }

  /** Ready when it resolves; whatever is in force then. */
  static async start(options: ClusterProxyOptions): Promise<ClusterProxy> {
    const scratch = new Scratch();
    const upstream = await scratch.origin();
    const { kubeconfig, nodeName = 'node-1', destination, kubernetes = {}, more = {} } = options;
    const config = {
      admin: `unix:${join(scratch.dir, 'admin.sock')}`,
      stateDir: join(scratch.dir, 'state'),
      workers: 1,
      kubernetes: { kubeconfig, nodeName, ...kubernetes },
      listeners: [
        {
          name: 'pod',
          address: '127.0.0.1:0',
          direction: 'ingress',
          destination,
          upstream: `127.0.0.1:${upstream}`,
        },
      ],
      ...more,
    };
    const proxy = new ClusterProxy(scratch, scratch.write('cluster.json', JSON.stringify(config)));
    await proxy.#ready();
    return proxy;
  }

  /** The same again, after it was killed. */
  async restart(): Promise<void> {
    await this.process.kill();
    this.process = this.scratch.run(['run', '-c', this.#config]);
    await this.#ready();
  }

  async stop(): Promise<void> {
    await this.scratch.dispose();
  }

  /** The status that a client of this address gets; 0: its connection ends without one. */
  ask(from: string, path: string, agent: Agent | false = false): Promise<number> {
    const { port } = this;
    return new Promise((resolve) => {
      const fields = { host: '127.0.0.1', port, path, localAddress: from, agent };
      const outgoing = request(fields, (reply) => {
        reply.resume();
        reply.on('end', () => resolve(reply.statusCode ?? 0));
        reply.on('error', () => resolve(0));
      });
      outgoing.on('error', () => resolve(0));
      outgoing.setTimeout(10_000, () => outgoing.destroy());
      outgoing.end();
    });
  }

  /** Until a new connection of this client is answered so. */
  async answers(from: string, path: string, status: number): Promise<void> {
    let last = -1;
    await until(async () => {
      last = await this.ask(from, path);
      return last === status;
    }, PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${from} ${path} is answered ${last}, not ${status}: ${error.message}`);
    });
  }

  /** Until all kinds are followed. */
  async follows(): Promise<void> {
    await until(async () => {
      const { cluster } = JSON.parse(await this.admin('/status'));
      return cluster.stale.length === 0;
    }, PATIENCE_MS);
  }

  /** Until this is in the state on disk, which is written some time after it came into force. */
  async keeps(text: string): Promise<void> {
    const folder = join(this.scratch.dir, 'state');
    await until(() => {
      const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
      const own = names.filter((name) => basename(name) === 'cluster');
      return own.some((name) => readFileSync(join(folder, name), 'utf8').includes(text));
    }, PATIENCE_MS);
  }

  /** The log, whole lines. */
  lines(): readonly Line[] {
    return this.process.lines();
  }

  async admin(path: string): Promise<string> {
    return (await askAdmin(join(this.scratch.dir, 'admin.sock'), path)).text;
  }

  async #ready(): Promise<void> {
    this.port = await this.process.port();
  }
}

/** One connection of a client that stays open between requests. */
export class OpenConnection {
  readonly #proxy: ClusterProxy;
  readonly #from: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(proxy: ClusterProxy, from: string) {
    this.#proxy = proxy;
    this.#from = from;
  }

  ask(path: string): Promise<number> {
    return this.#proxy.ask(this.#from, path, this.#agent);
  }

  /** The proxy has not closed it. */
  get isOpen(): boolean {
    return Object.keys(this.#agent.freeSockets).length > 0;
  }

  close(): void {
    this.#agent.destroy();
  }
}
