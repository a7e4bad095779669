/** As whom requests are made. What says so may change at any time, and is never shown. */
import type { RereadText } from './reread_text.ts';

export interface Credential {
  /** The field `authorization`. */
  readonly authorization: string | null;
  readonly certificate: ClientCertificate | null;
}

/** In PEM. */
export interface ClientCertificate {
  readonly certificate: string;
  readonly key: string;
}

export type CredentialResult =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'error'; readonly message: string };

export interface Credentials {
  current(): Promise<CredentialResult>;
  /** The API server refuses this one (401): the next one is made anew. False: there is no other one. */
  renew(refused: Credential): boolean;
}

/** Where each part comes from. */
export interface CredentialParts {
  readonly token: RereadText | null;
  readonly basic: { readonly username: string; readonly password: string } | null;
  readonly certificate: { readonly certificate: RereadText; readonly key: RereadText } | null;
  /** Asked for what the others do not give. */
  readonly plugin: Credentials | null;
}

export function credentialsOf(parts: CredentialParts): Credentials {
  return new JoinedCredentials(parts);
}

class JoinedCredentials implements Credentials {
  readonly #parts: CredentialParts;

  constructor(parts: CredentialParts) {
    this.#parts = parts;
  }

  renew(refused: Credential): boolean {
    const { token, certificate, plugin } = this.#parts;
    const texts = [token, certificate?.certificate, certificate?.key];
    for (const text of texts) text?.forget();
    const isPluginRenewed = plugin?.renew(refused) ?? false;
    return isPluginRenewed || texts.some((text) => text?.isFile === true);
  }

  async current(): Promise<CredentialResult> {
    const authorization = await this.#authorization();
    if (authorization.kind === 'error') return authorization;
    const certificate = await this.#certificate();
    if (certificate.kind === 'error') return certificate;
    const own: Credential = { authorization: authorization.value, certificate: certificate.value };
    const { plugin } = this.#parts;
    // As kubectl: a plugin is not asked for a token where one is given.
    if (plugin === null || own.authorization !== null)
      return { kind: 'credential', credential: own };
    const given = await plugin.current();
    if (given.kind === 'error') return given;
    return {
      kind: 'credential',
      credential: {
        authorization: given.credential.authorization,
        certificate: given.credential.certificate ?? own.certificate,
      },
    };
  }

  async #authorization(): Promise<Part<string>> {
    const { token, basic } = this.#parts;
    if (token !== null) {
      const read = await token.current();
      if (read.kind === 'error') return read;
      return { kind: 'part', value: `Bearer ${read.text.trim()}` };
    }
    if (basic === null) return { kind: 'part', value: null };
    const pair = Buffer.from(`${basic.username}:${basic.password}`, 'utf8').toString('base64');
    return { kind: 'part', value: `Basic ${pair}` };
  }

  async #certificate(): Promise<Part<ClientCertificate>> {
    const { certificate } = this.#parts;
    if (certificate === null) return { kind: 'part', value: null };
    const chain = await certificate.certificate.current();
    if (chain.kind === 'error') return chain;
    const key = await certificate.key.current();
    if (key.kind === 'error') return key;
    return { kind: 'part', value: { certificate: chain.text, key: key.text } };
  }
}

type Part<T> =
  | { readonly kind: 'part'; readonly value: T | null }
  | { readonly kind: 'error'; readonly message: string };
