/** Certificates in a Secret that others write, too, and an API server that does not always answer. */
import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { KeyPair } from '../../../src/cli/admission/certificate.ts';
import { CertificateKeeper } from '../../../src/cli/admission/certificate_keeper.ts';
import { CERTIFICATE_TIMES } from '../../../src/cli/admission/certificate_state.ts';
import type { KubeClient, KubeReply, KubeRequest } from '../../../src/kube/client.ts';
import { createLogger } from '../../../src/observe/log/logger.ts';
import { ManualPlatform } from '../../support/manual_platform.ts';
import { settled } from '../../support/settled.ts';

type Data = Record<string, string | null>;

/** An API with one Secret and one webhook, each with a version. */
class Api implements KubeClient {
  readonly server = 'https://api.test';
  secret: { version: number; data: Data } | null = { version: 1, data: {} };
  webhook = { version: 1, bundles: ['', ''] };
  /** Answers the next request in place of the API. */
  failing: KubeReply | null = null;
  /** Called before a write is looked at. */
  beforeWrite: () => void = () => {};
  writes = 0;

  request({ method, path, body }: KubeRequest): Promise<KubeReply> {
    if (this.failing !== null) return Promise.resolve(this.failing);
    if (method === 'PATCH') {
      this.writes++;
      this.beforeWrite();
    }
    const reply = path.includes('/secrets/')
      ? this.#secret(method, body as { metadata: { resourceVersion: string }; data: Data })
      : this.#webhook(method, body as { op: string; path: string; value: string }[]);
    return Promise.resolve(reply);
  }

  stream(): never {
    throw new Error('nothing is watched');
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  get trusted(): readonly string[] {
    return this.webhook.bundles.map((bundle) => Buffer.from(bundle, 'base64').toString());
  }

  #secret(method: string, body: { metadata: { resourceVersion: string }; data: Data }): KubeReply {
    if (this.secret === null) return refused(404, 'secrets "s" not found');
    if (method === 'PATCH') {
      if (body.metadata.resourceVersion !== `${this.secret.version}`)
        return refused(409, 'changed');
      this.secret = {
        version: this.secret.version + 1,
        data: { ...this.secret.data, ...body.data },
      };
    }
    const { version, data } = this.secret;
    return ok({ metadata: { resourceVersion: `${version}` }, data });
  }

  #webhook(method: string, body: { op: string; path: string; value: string }[]): KubeReply {
    if (method === 'PATCH') {
      const [test, ...adds] = body;
      if (test?.value !== `${this.webhook.version}`) return refused(422, 'test failed');
      this.webhook = {
        version: this.webhook.version + 1,
        bundles: adds.map(({ value }) => value),
      };
    }
    const webhooks = this.webhook.bundles.map((caBundle) => ({ clientConfig: { caBundle } }));
    return ok({ metadata: { resourceVersion: `${this.webhook.version}` }, webhooks });
  }
}

function ok(object: unknown): KubeReply {
  return { kind: 'ok', status: 200, object };
}

function refused(status: number, message: string): KubeReply {
  return { kind: 'refused', status, reason: '', message, retryAfterMs: null };
}

interface Rig {
  readonly api: Api;
  readonly platform: ManualPlatform;
  readonly keeper: CertificateKeeper;
  readonly served: KeyPair[];
}

function rig(api = new Api()): Rig {
  const platform = new ManualPlatform();
  const served: KeyPair[] = [];
  const keeper = new CertificateKeeper({
    client: api,
    clock: { wallMs: () => Date.UTC(2026, 0, 1) + platform.clock.nowMs() },
    timers: platform.timers,
    log: createLogger({ level: 'silent' }),
    namespace: 'n',
    secretName: 's',
    webhookName: 'w',
    hosts: ['webhook.test'],
    times: CERTIFICATE_TIMES,
    intervalMs: 30_000,
    onServer: (pair) => void served.push(pair),
  });
  return { api, platform, keeper, served };
}

describe('the keeper of certificates', () => {
  it('makes them, tells every webhook whom to trust, and then does nothing', async () => {
    const { api, keeper, platform, served } = rig();
    await keeper.start();
    expect(keeper.problem).toBeNull();
    const [server] = served;
    const certificate = new X509Certificate(server?.certificate ?? '');
    for (const bundle of api.trusted) {
      expect(certificate.verify(new X509Certificate(bundle).publicKey)).toBe(true);
    }
    expect(api.writes).toBe(2);
    for (let round = 0; round < 10; round++) {
      platform.advance(30_000);
      await settled();
    }
    expect([api.writes, served.length]).toEqual([2, 1]);
    keeper.end();
  });

  it('takes what another replica wrote at the same moment, in place of its own', async () => {
    const api = new Api();
    const other = rig(api);
    let isFirst = true;
    const { keeper, platform, served } = rig(api);
    api.beforeWrite = () => {
      if (!isFirst || api.secret === null) return;
      isFirst = false;
      // The other one was quicker.
      api.secret = { ...api.secret, version: api.secret.version + 1 };
    };
    await keeper.start();
    expect(keeper.problem).toBe('the Secret n/s: somebody else has just written it');
    expect([keeper.isTrusted, served]).toEqual([false, []]);
    await other.keeper.start();
    platform.advance(1000);
    await settled();
    expect(keeper.problem).toBeNull();
    expect(served).toEqual(other.served);
    keeper.end();
    other.keeper.end();
  });

  it.each([
    [
      'is gone',
      { kind: 'unreachable', message: 'connection refused' } as const,
      'connection refused',
    ],
    ['refuses', refused(403, 'forbidden'), 'forbidden'],
  ])('stays trusted while the API server %s', async (_, failing, told) => {
    const { api, keeper, platform, served } = rig();
    await keeper.start();
    api.failing = failing;
    platform.advance(30_000);
    await settled();
    expect(keeper.problem).toContain(told);
    expect(keeper.isTrusted).toBe(true);
    api.failing = null;
    platform.advance(1000);
    await settled();
    expect([keeper.problem, served.length]).toEqual([null, 1]);
    keeper.end();
  });

  it('is not trusted before a Secret is there, and is soon after', async () => {
    const api = new Api();
    api.secret = null;
    const { keeper, platform } = rig(api);
    await keeper.start();
    expect(keeper.problem).toBe('the Secret n/s: secrets "s" not found');
    expect(keeper.isTrusted).toBe(false);
    api.secret = { version: 9, data: {} };
    platform.advance(1000);
    await settled();
    expect(keeper.isTrusted).toBe(true);
    keeper.end();
  });

  it('mends webhooks of which one lost its trust', async () => {
    const { api, keeper, platform } = rig();
    await keeper.start();
    const [before = ''] = api.trusted;
    api.webhook = { ...api.webhook, bundles: [api.webhook.bundles[0] ?? '', ''] };
    platform.advance(30_000);
    await settled();
    expect(api.trusted).toEqual([before, before]);
    keeper.end();
  });
});
