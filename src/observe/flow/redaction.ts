/**
 * What never gets into a log line: values of fields that carry credentials, whoever allows them to
 * be logged, and every value that is, or contains, a secret of the policies.
 */
import { CREDENTIAL_FIELDS } from '../../model/credential_fields.ts';

export const REDACTED = '[redacted]';

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
