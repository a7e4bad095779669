/** A field of a kubeconfig, with its place for whom it must be told to. */

/** What is wrong with a kubeconfig: one line, with file and field. */
export class KubeconfigProblem extends Error {}

export class KubeconfigField {
  readonly #value: unknown;
  /** "/root/.kube/config: users[prod].user.token". */
  readonly place: string;

  constructor(value: unknown, place: string) {
    this.#value = value;
    this.place = place;
  }

  problem(message: string): KubeconfigProblem {
    return new KubeconfigProblem(`${this.place}: ${message}`);
  }

  /** Absent and null are the same, as for kubectl. */
  get isAbsent(): boolean {
    return this.#value === undefined || this.#value === null;
  }

  /** As it stands. */
  get value(): unknown {
    return this.#value;
  }

  at(name: string): KubeconfigField {
    const separator = this.place.endsWith(':') ? ' ' : '.';
    return new KubeconfigField(this.#fields()[name], `${this.place}${separator}${name}`);
  }

  /** Entries of a list, each called by its `name`. */
  named(): readonly { readonly name: string; readonly field: KubeconfigField }[] {
    return this.list().map((entry) => {
      const name = entry.at('name').text();
      const place = entry.place.replace(/\[\d+\]$/, `[${name}]`);
      return { name, field: new KubeconfigField(entry.value, place) };
    });
  }

  list(): readonly KubeconfigField[] {
    if (this.isAbsent) return [];
    if (!Array.isArray(this.#value)) throw this.problem('must be a list');
    return this.#value.map((entry, i) => new KubeconfigField(entry, `${this.place}[${i}]`));
  }

  /** "" if absent. */
  text(): string {
    if (this.isAbsent) return '';
    if (typeof this.#value === 'string') return this.#value;
    throw this.problem('must be a text');
  }

  texts(): readonly string[] {
    return this.list().map((entry) => entry.text());
  }

  /** False if absent. */
  flag(): boolean {
    if (this.isAbsent) return false;
    if (typeof this.#value === 'boolean') return this.#value;
    throw this.problem('must be true or false');
  }

  /** Text that stands in base64; null if absent. */
  data(): string | null {
    const text = this.text().replace(/\s/g, '');
    if (text === '') return null;
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw this.problem('must be base64');
    return Buffer.from(text, 'base64').toString('utf8');
  }

  /** Names and what is below each of them. */
  entries(): readonly (readonly [string, KubeconfigField])[] {
    return Object.entries(this.#fields()).map(([name, value]) => [
      name,
      new KubeconfigField(value, `${this.place}.${name}`),
    ]);
  }

  #fields(): Readonly<Record<string, unknown>> {
    if (this.isAbsent) return {};
    if (typeof this.#value !== 'object' || Array.isArray(this.#value)) {
      throw this.problem('must be a map');
    }
    return this.#value as Record<string, unknown>;
  }
}
