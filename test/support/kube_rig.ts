/** A fake API server, a client of it and reflectors of its kinds, in time that runs fast. */
import type { KubeAccess } from '../../src/kube/access/access.ts';
import { ApiClient } from '../../src/kube/api_client.ts';
import type { KubeKind } from '../../src/kube/kind.ts';
import { ApiServer } from '../../src/kube/watch/api_server.ts';
import { Reflector } from '../../src/kube/watch/reflector.ts';
import type { Selection } from '../../src/kube/watch/selection.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/model/limits.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { FakeKubeApi, type FakeKubeApiOptions } from './fake_kube_api.ts';
import { fastPlatform } from './fast_platform.ts';
import { MirrorSink } from './mirror_sink.ts';

export const PODS: KubeKind = {
  group: '',
  version: 'v1',
  plural: 'pods',
  kind: 'Pod',
  isNamespaced: true,
};
export const CNPS: KubeKind = {
  group: 'cilium.io',
  version: 'v2',
  plural: 'ciliumnetworkpolicies',
  kind: 'CiliumNetworkPolicy',
  isNamespaced: true,
};
export const NODES: KubeKind = {
  group: '',
  version: 'v1',
  plural: 'nodes',
  kind: 'Node',
  isNamespaced: false,
};

/** An access to it as nobody. */
export function accessTo(server: string, more: Partial<KubeAccess> = {}): KubeAccess {
  return {
    server,
    namespace: 'default',
    from: 'a test',
    warnings: [],
    trust: { isVerified: true, serverName: null, authorities: null },
    proxy: null,
    credentials: {
      current: () =>
        Promise.resolve({
          kind: 'credential',
          credential: { authorization: null, certificate: null },
        }),
      renew: () => false,
    },
    impersonation: {},
    ...more,
  };
}

export interface KubeRigOptions {
  readonly api?: FakeKubeApiOptions;
  readonly access?: Partial<KubeAccess>;
  readonly limits?: Partial<Limits>;
  /** How many times as fast as it does time runs. */
  readonly speed?: number;
}

const SPEED = 100;
const HOUR_MS = 3_600_000;

export class KubeRig {
  readonly api: FakeKubeApi;
  readonly platform: Platform;
  readonly limits: Limits;
  readonly client: ApiClient;
  readonly server: ApiServer;
  readonly #reflectors: Reflector[] = [];

  static async start(options: KubeRigOptions = {}): Promise<KubeRig> {
    return new KubeRig(await FakeKubeApi.start(options.api), options);
  }

  private constructor(api: FakeKubeApi, { access, limits, speed = SPEED }: KubeRigOptions) {
    this.api = api;
    this.platform = fastPlatform(speed);
    // On a busy machine, an answer may take longer than thirty seconds of fast time.
    this.limits = { ...DEFAULT_LIMITS, kubeSilenceMaxMs: HOUR_MS, ...limits };
    this.client = new ApiClient(accessTo(api.url, access), {
      platform: this.platform,
      limits: this.limits,
      userAgent: 'sallyport/test',
    });
    this.server = new ApiServer(this.client, this.platform);
  }

  /** What the sink that follows it has heard. */
  follow(kind: KubeKind, selection: Selection = {}): MirrorSink {
    const sink = new MirrorSink();
    const { client, server, platform, limits } = this;
    const reflector = new Reflector({ client, kind, selection, sink, server, platform, limits });
    this.#reflectors.push(reflector);
    reflector.start();
    return sink;
  }

  async stopFollowing(): Promise<void> {
    await Promise.all(this.#reflectors.splice(0).map((reflector) => reflector.stop()));
  }

  async close(): Promise<void> {
    await this.stopFollowing();
    await this.client.close();
    await this.api.close();
  }
}
