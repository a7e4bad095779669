/**
 * Connections to one API server. Its certificates and ours may change while we run: then what is asked next goes over
 * new connections, and what is on its way ends on the old ones.
 */
import { isIP } from 'node:net';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { Agent, buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici';
import type { Limits } from '../model/limits.ts';
import type { KubeAccess } from './access/access.ts';
import type { ClientCertificate, Credential } from './access/credentials.ts';

export type TransportLimits = Pick<
  Limits,
  'kubeConnectionCountMax' | 'kubeRequestTimeoutMs' | 'kubeConnectTimeoutMs'
>;

/** How the next request goes out. */
export interface Route {
  readonly kind: 'route';
  readonly dispatcher: Dispatcher;
  /** Fields that say who asks. */
  readonly fields: Readonly<Record<string, string | string[]>>;
  readonly credential: Credential;
}

export type RouteResult = Route | { readonly kind: 'error'; readonly message: string };

interface Material {
  readonly authorities: string | null;
  readonly certificate: ClientCertificate | null;
}

interface Connections {
  readonly material: Material;
  readonly dispatcher: Dispatcher;
}

type DispatcherResult =
  | { readonly kind: 'dispatcher'; readonly dispatcher: Dispatcher }
  | { readonly kind: 'error'; readonly message: string };

/** The server closes idle ones after 90 s. */
const IDLE_MS = 60_000;
/** With the ten probes of a second each that libuv asks for, a peer that is gone is noticed in 40 s. */
const KEEPALIVE_DELAY_MS = 30_000;

export class Transport {
  readonly #access: KubeAccess;
  readonly #limits: TransportLimits;
  #connections: Connections | null = null;
  /** Those before it whose requests have not ended. */
  readonly #retiring = new Set<Dispatcher>();

  constructor(access: KubeAccess, limits: TransportLimits) {
    this.#access = access;
    this.#limits = limits;
  }

  /** For the next request. */
  async route(): Promise<RouteResult> {
    const { credentials, trust, impersonation } = this.#access;
    const given = await credentials.current();
    if (given.kind === 'error') return given;
    const authorities = await trust.authorities?.current();
    if (authorities?.kind === 'error') return authorities;
    const { authorization, certificate } = given.credential;
    const chosen = this.#dispatcher({ authorities: authorities?.text ?? null, certificate });
    if (chosen.kind === 'error') return chosen;
    const fields: Record<string, string | string[]> = {};
    if (authorization !== null) fields['authorization'] = authorization;
    for (const [name, values] of Object.entries(impersonation)) fields[name] = [...values];
    return { kind: 'route', dispatcher: chosen.dispatcher, fields, credential: given.credential };
  }

  /** For the next request, who may be trusted is read again. */
  rereadTrust(): void {
    this.#access.trust.authorities?.forget();
  }

  /** The server refuses this credential. False: there is no other one. */
  renew(refused: Credential): boolean {
    return this.#access.credentials.renew(refused);
  }

  /** All that is on its way fails with `reason`; what is asked next gets new connections. */
  reset(reason: string): void {
    const dispatchers = [...this.#retiring];
    if (this.#connections !== null) dispatchers.push(this.#connections.dispatcher);
    this.#connections = null;
    this.#retiring.clear();
    for (const dispatcher of dispatchers) {
      dispatcher.destroy(new Error(reason)).catch(() => {});
    }
  }

  #dispatcher(material: Material): DispatcherResult {
    const before = this.#connections;
    if (before !== null && isSame(before.material, material)) return chosen(before);
    const context = secureContextOf(material, this.#access.from);
    // A certificate and its key are two files: between their changes they do not fit.
    if (context.kind === 'error') return before === null ? context : chosen(before);
    if (before !== null) this.#retire(before.dispatcher);
    this.#connections = { material, dispatcher: this.#made(context.context, material) };
    return chosen(this.#connections);
  }

  #retire(dispatcher: Dispatcher): void {
    this.#retiring.add(dispatcher);
    const forget = (): void => {
      this.#retiring.delete(dispatcher);
    };
    dispatcher.close().then(forget, forget);
  }

  #made(secureContext: SecureContext, { authorities }: Material): Dispatcher {
    const { trust, proxy } = this.#access;
    const { kubeConnectionCountMax, kubeRequestTimeoutMs, kubeConnectTimeoutMs } = this.#limits;
    const connection = {
      keepAlive: true,
      keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
      timeout: kubeConnectTimeoutMs,
    };
    const tls = {
      ...connection,
      secureContext,
      rejectUnauthorized: trust.isVerified,
      ...(trust.serverName === null ? {} : { servername: trust.serverName }),
    };
    const options = {
      // And one to ask whether the server lives.
      connections: kubeConnectionCountMax + 1,
      headersTimeout: kubeRequestTimeoutMs,
      // Whoever reads it knows how long it may be silent.
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS,
      // One slow watch holds up none of the others, and each notices alone that its connection is dead. A watch with a
      // connection of its own costs the API server 72 KiB where one stream of HTTP/2 costs 35 (800 watches, 1.35).
      allowH2: false,
    };
    if (proxy === null) return new Agent({ ...options, connect: tls });
    const common = { ...options, uri: proxy.href, requestTls: { ...tls, allowH2: false } };
    // With `proxyTls`, one of SOCKS would be asked over TLS.
    if (proxy.protocol === 'socks5:') return new ProxyAgent(common);
    const proxyTls = {
      ...connection,
      allowH2: false,
      ...(authorities === null ? {} : { ca: [...rootCertificates, authorities] }),
    };
    const connect = proxyConnector(buildConnector(proxyTls));
    return new ProxyAgent({
      ...common,
      clientFactory: (origin) => new Pool(origin, { connect, allowH2: false }),
    });
  }
}

/** undici gives the host of a proxy as the name in TLS, where an address may not stand. */
function proxyConnector(connector: buildConnector.connector): buildConnector.connector {
  return (options, done) => {
    const { servername, ...others } = options;
    const isName = servername !== undefined && isIP(servername) === 0;
    connector(isName ? options : others, done);
  };
}

function chosen({ dispatcher }: Connections): DispatcherResult {
  return { kind: 'dispatcher', dispatcher };
}

function isSame(one: Material, other: Material): boolean {
  return (
    one.authorities === other.authorities &&
    one.certificate?.certificate === other.certificate?.certificate &&
    one.certificate?.key === other.certificate?.key
  );
}

function secureContextOf(
  { authorities, certificate }: Material,
  from: string,
):
  | { readonly kind: 'context'; readonly context: SecureContext }
  | { readonly kind: 'error'; readonly message: string } {
  let part = 'certificate-authority';
  try {
    if (authorities !== null) {
      if (!authorities.includes('-----BEGIN ')) throw new Error('it has no certificate in PEM');
      createSecureContext({ ca: authorities });
    }
    part = 'client-certificate and client-key';
    const context = createSecureContext({
      ...(authorities === null ? {} : { ca: authorities }),
      ...(certificate === null ? {} : { cert: certificate.certificate, key: certificate.key }),
    });
    return { kind: 'context', context };
  } catch (error) {
    return { kind: 'error', message: `${from}: ${part}: ${(error as Error).message}` };
  }
}
