/**
 * Reads an object of the Kubernetes API for the few facts that policy needs of it. What is absent has a neutral value,
 * as the API leaves out what is empty; what is of the wrong type or too much is a problem, and the object is refused.
 */
import { type IpAddress, parseIp } from '../../../model/address.ts';
import { compareText } from '../../../policy/labels.ts';
import { shownScalar } from '../field.ts';
import type { Problem } from '../problem.ts';

export interface FactsName {
  /** Null for clusterwide kinds. */
  readonly namespace: string | null;
  readonly name: string;
  readonly uid: string | null;
}

export type Decoded<Facts> =
  | { readonly kind: 'facts'; readonly facts: Facts }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

type PlainObject = Readonly<Record<string, unknown>>;

export class FactReader {
  readonly #apiKind: string;
  readonly #name: FactsName;
  readonly #problems: Problem[] = [];

  constructor(apiKind: string, name: FactsName) {
    this.#apiKind = apiKind;
    this.#name = name;
  }

  decoded<Facts>(facts: Facts): Decoded<Facts> {
    if (this.#problems.length > 0) return { kind: 'refused', problems: this.#problems };
    return { kind: 'facts', facts };
  }

  /** Empty when it is absent. `field`: for people, as are those of the other methods. */
  object(value: unknown, field: string): PlainObject {
    if (value === undefined || value === null) return EMPTY;
    if (typeof value === 'object' && !Array.isArray(value)) return value as PlainObject;
    this.fail(field, `must be a map (found ${shownValue(value)})`);
    return EMPTY;
  }

  list(value: unknown, field: string, countMax: number): readonly unknown[] {
    if (value === undefined || value === null) return NONE;
    if (!Array.isArray(value)) {
      this.fail(field, `must be a list (found ${shownValue(value)})`);
      return NONE;
    }
    if (value.length <= countMax) return value;
    this.fail(field, `has ${value.length} items (allowed: ${countMax})`);
    return NONE;
  }

  /** "" when it is absent. */
  text(value: unknown, field: string): string {
    if (value === undefined || value === null) return '';
    if (typeof value === 'string' && value.length <= TEXT_LENGTH_MAX) return value;
    this.fail(field, `must be a text of at most ${TEXT_LENGTH_MAX} characters`);
    return '';
  }

  boolean(value: unknown, field: string): boolean {
    if (value === undefined || value === null) return false;
    if (typeof value === 'boolean') return value;
    this.fail(field, `must be true or false (found ${shownValue(value)})`);
    return false;
  }

  /** Null when it is absent. */
  integer(
    value: unknown,
    field: string,
    range: { readonly min: number; readonly max: number },
  ): number | null {
    if (value === undefined || value === null) return null;
    const { min, max } = range;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      // -0 is 0, whose text has no sign.
      return value + 0;
    }
    this.fail(field, `must be a whole number from ${min} to ${max} (found ${shownValue(value)})`);
    return null;
  }

  /** Null when it is absent or none. */
  ip(value: unknown, field: string): IpAddress | null {
    const text = this.text(value, field);
    if (text === '') return null;
    const ip = parseIp(text);
    if (ip === null) this.fail(field, `must be an IP address (found ${shownValue(text)})`);
    return ip;
  }

  /** Keys and values of labels, by key: what the API server takes as such, and no more of them than `countMax`. */
  labels(value: unknown, field: string): Labels {
    const entries = Object.entries(this.object(value, field));
    if (entries.length > LABEL_COUNT_MAX) {
      this.fail(field, `has ${entries.length} labels (allowed: ${LABEL_COUNT_MAX})`);
      return NO_LABELS;
    }
    const labels: [string, string][] = [];
    for (const [key, text] of entries) {
      if (!isLabelKey(key)) this.fail(field, `${shownValue(key)} is no key of a label`);
      else if (typeof text !== 'string' || !isLabelValue(text)) {
        this.fail(`${field}.${key}`, `is no value of a label (found ${shownValue(text)})`);
      } else labels.push([key, text]);
    }
    return labels.sort(([a], [b]) => compareText(a, b));
  }

  fail(field: string, message: string): void {
    // One wrong list can be wrong a thousand times.
    if (this.#problems.length >= PROBLEM_COUNT_MAX) return;
    const place = { kind: 'object', apiKind: this.#apiKind, ...this.#name, field } as const;
    this.#problems.push({ place, field, message });
  }
}

/** Key and value, sorted by key. */
export type Labels = readonly (readonly [string, string])[];

export function valueOfLabel(labels: Labels, key: string): string | null {
  return labels.find(([name]) => name === key)?.[1] ?? null;
}

/** Sorted by text, each once. */
export function uniqueIps(ips: readonly IpAddress[]): readonly IpAddress[] {
  if (ips.length < 2) return ips;
  const byText = new Map(ips.map((ip) => [ip.text, ip]));
  return [...byText.values()].sort((a, b) => compareText(a.text, b.text));
}

const EMPTY: PlainObject = Object.freeze({});
const NONE: readonly unknown[] = Object.freeze([]);
const NO_LABELS: Labels = Object.freeze([]);
const PROBLEM_COUNT_MAX = 10;
/** No name, address or label that the API server takes is as long. */
const TEXT_LENGTH_MAX = 1024;
/** The API has no bound but the size of an object; an identity of more labels is nobody's intention. */
const LABEL_COUNT_MAX = 1000;

/** A qualified name (apimachinery validation: a DNS subdomain of 253, a slash, a name of 63). */
const LABEL_KEY =
  /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

function isLabelKey(key: string): boolean {
  return key.length <= 317 && LABEL_KEY.test(key);
}

function isLabelValue(value: string): boolean {
  return value.length <= 63 && LABEL_VALUE.test(value);
}

function shownValue(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'a map' : shownScalar(value);
}
