/**
 * What never gets into a log line: values of fields that carry credentials, whoever allows them to
 * be logged, and every value that is, or contains, a secret of the policies.
 */
export const REDACTED = '[redacted]';

/** Lower case. Their values are never logged. */
const CREDENTIAL_FIELDS: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'authentication-info',
  'proxy-authentication-info',
  'cookie',
  'cookie2',
  'set-cookie',
  'set-cookie2',
  'x-api-key',
  'api-key',
  'apikey',
  'x-apikey',
  'x-auth-token',
  'x-auth-key',
  'x-access-token',
  'x-id-token',
  'x-refresh-token',
  'x-amz-security-token',
  'x-goog-api-key',
  'x-goog-iap-jwt-assertion',
  'x-amzn-oidc-data',
  'x-amzn-oidc-accesstoken',
  'x-vault-token',
  'x-gitlab-token',
  'private-token',
  'job-token',
  'x-csrf-token',
  'x-xsrf-token',
  'x-forwarded-access-token',
  'x-forwarded-client-cert',
  'x-ms-client-principal',
  'dpop',
]);

/** Shorter secrets are found only when they are the whole value: "a" would redact every text. */
const SUBSTRING_LENGTH_MIN = 6;

export class Redaction {
  readonly #whole: ReadonlySet<string>;
  readonly #parts: readonly string[];

  constructor(secrets: Iterable<string>) {
    // Fields are latin1 views of bytes, a secrets file is UTF-8: the secret is looked for in both.
    const texts = [...secrets]
      .filter((text) => text !== '')
      .flatMap((text) => [text, Buffer.from(text, 'utf8').toString('latin1')]);
    this.#whole = new Set(texts);
    this.#parts = [...this.#whole].filter(({ length }) => length >= SUBSTRING_LENGTH_MIN);
  }

  /** The value of a field as it may be logged. `name` in lower case. */
  field(name: string, value: string): string {
    return CREDENTIAL_FIELDS.has(name) || this.#isSecret(value) ? REDACTED : value;
  }

  /** A path or an authority, the secrets in it replaced. */
  text(value: string): string {
    let text = value;
    for (let i = 0; i < this.#parts.length; i++) {
      const part = this.#parts[i] as string;
      if (text.includes(part)) text = text.replaceAll(part, REDACTED);
    }
    return text;
  }

  #isSecret(value: string): boolean {
    if (this.#whole.has(value)) return true;
    for (let i = 0; i < this.#parts.length; i++) {
      if (value.includes(this.#parts[i] as string)) return true;
    }
    return false;
  }
}
