/**
 * Keeps the certificates of the webhook: reads the Secret that its replicas share, takes the next step, and tells API
 * servers whom to trust. Nobody leads: who writes first wins, and the others take up what was written.
 */
import type { KubeClient, KubeFailure } from '../../kube/client.ts';
import type { Logger } from '../../observe/log/logger.ts';
import type { Clock, Timers } from '../../platform/platform.ts';
import type { KeyPair } from './certificate.ts';
import {
  bundleOf,
  type CertificateState,
  type CertificateTimes,
  nextStep,
} from './certificate_state.ts';
import { isRecord } from './review.ts';
import { secretDataOf, stateOfSecret } from './secret_data.ts';

export interface CertificateKeeperOptions {
  readonly client: KubeClient;
  readonly clock: Pick<Clock, 'wallMs'>;
  readonly timers: Timers;
  readonly log: Logger;
  readonly namespace: string;
  /** It must be there: then no right to create Secrets is needed. */
  readonly secretName: string;
  /** Of the ValidatingWebhookConfiguration. */
  readonly webhookName: string;
  readonly hosts: readonly string[];
  readonly times: CertificateTimes;
  readonly intervalMs: number;
  /** Called for each certificate that is to be served from now on. */
  readonly onServer: (pair: KeyPair) => void;
}

interface Told {
  readonly version: string;
  /** What API servers trust; "" when nothing. */
  readonly bundle: string;
  readonly webhooks: readonly unknown[];
}

/** What kept a round from its end; thrown within it only. */
class Hindrance extends Error {}

export class CertificateKeeper {
  readonly #options: CertificateKeeperOptions;
  /** As it was last read or written. */
  #state: CertificateState | null = null;
  #served: string | null = null;
  #problem: string | null = 'the certificates have not been read yet';
  #isEnded = false;
  #cancel: () => void = () => {};

  constructor(options: CertificateKeeperOptions) {
    this.#options = options;
  }

  /** Why the last round came to no end; null: it did. */
  get problem(): string | null {
    return this.#problem;
  }

  /** API servers have been told whom to trust. What fails later takes nothing of that away. */
  get isTrusted(): boolean {
    return this.#served !== null;
  }

  /** One round now, and then one each `intervalMs`. Resolves after the first; it may have failed. */
  async start(): Promise<void> {
    await this.#round();
    this.#again();
  }

  end(): void {
    this.#isEnded = true;
    this.#cancel();
  }

  #again(): void {
    if (this.#isEnded) return;
    const { timers, intervalMs } = this.#options;
    // Until API servers trust us, sooner.
    const delayMs = this.#problem === null ? intervalMs : Math.min(intervalMs, RETRY_MS);
    this.#cancel = timers.after(delayMs, () => void this.#round().then(() => this.#again()));
  }

  async #round(): Promise<void> {
    const { log } = this.#options;
    try {
      const told = await this.#readWebhook();
      const state = await this.#keepSecret(told.bundle);
      await this.#tell(told, bundleOf(state));
      // Only now: an API server that is not told yet would not trust it.
      this.#serve(state.server);
      if (this.#problem !== null) log.info({}, 'API servers trust the certificate of the webhook');
      this.#problem = null;
    } catch (error) {
      if (!(error instanceof Hindrance)) throw error;
      if (error.message !== this.#problem) log.warn({ problem: error.message }, 'certificates');
      this.#problem = error.message;
    }
  }

  #serve(server: KeyPair): void {
    if (this.#served === server.certificate) return;
    this.#served = server.certificate;
    this.#options.onServer(server);
  }

  /** The state that is stored now. */
  async #keepSecret(trusted: string): Promise<CertificateState> {
    const { client, clock, hosts, log, times } = this.#options;
    const path = this.#secretPath();
    const read = await client.request({ method: 'GET', path });
    if (read.kind !== 'ok') throw hindrance(`the Secret ${this.#secretShown()}`, read);
    const { version, data } = secretOf(read.object);
    // One that was emptied gets back what the others still serve.
    const stored = stateOfSecret(data) ?? this.#state;
    const step = nextStep(stored, { nowMs: clock.wallMs(), times, hosts, trusted });
    const state = step?.state ?? stored;
    if (state === null) throw new Hindrance('there is no state');
    if (step !== null || stateOfSecret(data) === null) {
      const body = { metadata: { resourceVersion: version }, data: secretDataOf(state) };
      const contentType = 'application/merge-patch+json';
      const written = await client.request({ method: 'PATCH', path, body, contentType });
      if (written.kind !== 'ok') throw hindrance(`the Secret ${this.#secretShown()}`, written);
      log.info({ did: step?.did ?? 'wrote back what was lost' }, 'certificates');
    }
    this.#state = state;
    return state;
  }

  async #readWebhook(): Promise<Told> {
    const { client, webhookName } = this.#options;
    const read = await client.request({ method: 'GET', path: this.#webhookPath() });
    if (read.kind !== 'ok') {
      throw hindrance(`the ValidatingWebhookConfiguration ${webhookName}`, read);
    }
    return toldOf(read.object);
  }

  async #tell({ version, bundle: before, webhooks }: Told, bundle: string): Promise<void> {
    const { client, webhookName } = this.#options;
    if (before === bundle) return;
    const value = Buffer.from(bundle, 'utf8').toString('base64');
    const body = [
      { op: 'test', path: '/metadata/resourceVersion', value: version },
      ...webhooks.map((_, index) => ({
        op: 'add',
        path: `/webhooks/${index}/clientConfig/caBundle`,
        value,
      })),
    ];
    const contentType = 'application/json-patch+json';
    const written = await client.request({
      method: 'PATCH',
      path: this.#webhookPath(),
      body,
      contentType,
    });
    if (written.kind !== 'ok') {
      throw hindrance(`the ValidatingWebhookConfiguration ${webhookName}`, written);
    }
  }

  #secretPath(): string {
    const { namespace, secretName } = this.#options;
    return `/api/v1/namespaces/${namespace}/secrets/${secretName}`;
  }

  #secretShown(): string {
    return `${this.#options.namespace}/${this.#options.secretName}`;
  }

  #webhookPath(): string {
    return `/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/${this.#options.webhookName}`;
  }
}

const RETRY_MS = 1000;

function hindrance(what: string, failure: KubeFailure): Hindrance {
  if (failure.kind === 'refused' && failure.status === 409) {
    return new Hindrance(`${what}: somebody else has just written it`);
  }
  return new Hindrance(`${what}: ${failure.message}`);
}

function secretOf(object: unknown): { readonly version: string; readonly data: unknown } {
  const { metadata, data } = isRecord(object) ? object : {};
  return { version: versionOf(metadata), data };
}

/** Of webhooks that do not trust the same, nothing is known. */
function toldOf(object: unknown): Told {
  const { metadata, webhooks } = isRecord(object) ? object : {};
  const list: readonly unknown[] = Array.isArray(webhooks) ? webhooks : [];
  const bundles = new Set(list.map(bundleOfWebhook));
  const [only = ''] = bundles;
  return { version: versionOf(metadata), bundle: bundles.size === 1 ? only : '', webhooks: list };
}

function bundleOfWebhook(webhook: unknown): string {
  const { clientConfig } = isRecord(webhook) ? webhook : {};
  const bundle = isRecord(clientConfig) ? clientConfig['caBundle'] : undefined;
  return typeof bundle === 'string' ? Buffer.from(bundle, 'base64').toString('utf8') : '';
}

function versionOf(metadata: unknown): string {
  const version = isRecord(metadata) ? metadata['resourceVersion'] : undefined;
  return typeof version === 'string' ? version : '';
}
