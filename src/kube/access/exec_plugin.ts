/**
 * Credentials that a program gives: the exec plugins of kubectl, `client.authentication.k8s.io/v1` and `v1beta1`
 * (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins). It is never
 * asked at a terminal: we may be a daemon.
 */
import { execFile } from 'node:child_process';
import type { Clock } from '../../platform/platform.ts';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Credential, CredentialResult, Credentials } from './credentials.ts';
import type { Environment } from './environment_proxy.ts';
import type { RereadText } from './reread_text.ts';

export interface ExecPlugin {
  /** "user prod of /root/.kube/config". */
  readonly owner: string;
  readonly apiVersion: string;
  /** As a path, if it is one; else it is looked for in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  /** Over ours. */
  readonly env: ReadonlyMap<string, string>;
  /** What a user does who does not have it; "" if nothing is said. */
  readonly installHint: string;
  /** What it is told of the API server; null: nothing. */
  readonly cluster: PluginCluster | null;
}

/** `spec.cluster` of an ExecCredential. */
export interface PluginCluster {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly authorities: RereadText | null;
}

export interface ExecOptions {
  readonly env: Environment;
  readonly clock: Clock;
  readonly limits: DocumentLimits;
  readonly timeoutMs: number;
}

export const EXEC_API_VERSIONS: readonly string[] = [
  'client.authentication.k8s.io/v1',
  'client.authentication.k8s.io/v1beta1',
];

const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Characters of what a plugin has said. */
const SAID_MAX = 300;

interface Given {
  readonly result: CredentialResult & { readonly kind: 'credential' };
  /** Null: until it is refused. */
  readonly expiresAtMs: number | null;
}

type Ran =
  | { readonly kind: 'output'; readonly text: string }
  | { readonly kind: 'error'; readonly message: string };

export class ExecCredentials implements Credentials {
  readonly #plugin: ExecPlugin;
  readonly #options: ExecOptions;
  #given: Given | null = null;
  /** All who ask meanwhile get what one run gives. */
  #run: Promise<CredentialResult> | null = null;

  constructor(plugin: ExecPlugin, options: ExecOptions) {
    this.#plugin = plugin;
    this.#options = options;
  }

  /** Of many who are refused with the same one, the first has it replaced. */
  renew({ authorization, certificate }: Credential): boolean {
    const given = this.#given?.result.credential;
    const isGiven =
      given?.authorization === authorization &&
      (given.certificate === null || given.certificate.key === certificate?.key);
    if (isGiven) this.#given = null;
    return true;
  }

  current(): Promise<CredentialResult> {
    const given = this.#given;
    if (given !== null && !this.#isExpired(given)) return Promise.resolve(given.result);
    this.#run ??= this.#ask().finally(() => {
      this.#run = null;
    });
    return this.#run;
  }

  #isExpired({ expiresAtMs }: Given): boolean {
    return expiresAtMs !== null && this.#options.clock.wallMs() >= expiresAtMs;
  }

  async #ask(): Promise<CredentialResult> {
    const cluster = await this.#cluster();
    const ran = await this.#output(cluster);
    const given = ran.kind === 'error' ? ran : this.#parsed(ran.text);
    if (given.kind === 'error') {
      const { owner, command } = this.#plugin;
      return { kind: 'error', message: `${owner}: exec plugin "${command}": ${given.message}` };
    }
    this.#given = given.given;
    return given.given.result;
  }

  /** As a part of the spec. */
  async #cluster(): Promise<{ readonly cluster?: Readonly<Record<string, unknown>> }> {
    const { cluster } = this.#plugin;
    if (cluster === null) return {};
    const read = await cluster.authorities?.current();
    if (read?.kind !== 'text') return { cluster: cluster.fields };
    const data = Buffer.from(read.text, 'utf8').toString('base64');
    return { cluster: { ...cluster.fields, 'certificate-authority-data': data } };
  }

  #output(cluster: { readonly cluster?: Readonly<Record<string, unknown>> }): Promise<Ran> {
    const { command, args, env, apiVersion } = this.#plugin;
    const info = {
      kind: 'ExecCredential',
      apiVersion,
      spec: { interactive: false, ...cluster },
    };
    const options = {
      env: {
        ...this.#options.env,
        ...Object.fromEntries(env),
        KUBERNETES_EXEC_INFO: JSON.stringify(info),
      },
      timeout: this.#options.timeoutMs,
      killSignal: 'SIGKILL' as const,
      maxBuffer: OUTPUT_BYTES_MAX,
    };
    return new Promise((resolve) => {
      const child = execFile(command, args, options, (error, stdout, stderr) => {
        if (error === null) resolve({ kind: 'output', text: stdout });
        else resolve({ kind: 'error', message: this.#runProblem(error, stderr) });
      });
      // A plugin that reads gets an end, no terminal.
      child.stdin?.on('error', () => {});
      child.stdin?.end();
    });
  }

  #runProblem(error: Error & { code?: unknown; killed?: boolean }, stderr: string): string {
    const { installHint } = this.#plugin;
    if (error.code === 'ENOENT' || error.code === 'EACCES') {
      const missing = error.code === 'ENOENT' ? 'not found' : 'permission denied';
      return installHint === '' ? missing : `${missing}; ${installHint.trim()}`;
    }
    const said = stderr.trim().slice(0, SAID_MAX);
    const failed =
      error.killed === true
        ? `no credentials within kubeCredentialTimeoutMs (${this.#options.timeoutMs})`
        : `it failed with ${String(error.code ?? error.message)}`;
    return said === '' ? failed : `${failed}: ${said}`;
  }

  /** No message has any of the output: it has secrets. */
  #parsed(
    text: string,
  ):
    | { readonly kind: 'given'; readonly given: Given }
    | { readonly kind: 'error'; readonly message: string } {
    const parsed = parseJson(text, this.#options.limits);
    if (parsed.kind === 'error') return wrong('its output is no JSON');
    const root = record(parsed.value);
    if (root?.['kind'] !== 'ExecCredential') return wrong('its output is no ExecCredential');
    if (root['apiVersion'] !== this.#plugin.apiVersion) {
      return wrong(`it must answer with apiVersion ${this.#plugin.apiVersion}`);
    }
    const status = record(root['status']);
    if (status === null) return wrong('its output has no status');
    const token = textOf(status['token']);
    const certificate = textOf(status['clientCertificateData']);
    const key = textOf(status['clientKeyData']);
    if ((certificate === null) !== (key === null)) {
      return wrong('it gave only one of clientCertificateData and clientKeyData');
    }
    if (token === null && certificate === null) {
      return wrong('it gave neither a token nor a client certificate');
    }
    const expiry = textOf(status['expirationTimestamp']);
    const expiresAtMs = expiry === null ? null : Date.parse(expiry);
    if (Number.isNaN(expiresAtMs)) return wrong('its expirationTimestamp is no time');
    const credential = {
      authorization: token === null ? null : `Bearer ${token.trim()}`,
      certificate: certificate === null || key === null ? null : { certificate, key },
    };
    return { kind: 'given', given: { result: { kind: 'credential', credential }, expiresAtMs } };
  }
}

function wrong(message: string): { readonly kind: 'error'; readonly message: string } {
  return { kind: 'error', message };
}

function record(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

/** Null: "", too. */
function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
