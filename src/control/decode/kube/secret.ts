/**
 * Secrets whose values policies compare header fields with: which ones policies name, and what one of them says. A
 * value never appears in a message.
 */
import { compareText } from '../../../policy/labels.ts';
import type { DirectionRule } from '../../../policy/rule.ts';
import { hasControls } from '../header_values.ts';
import type { PolicyDocument } from '../policy_document.ts';
import { type Decoded, FactReader, type FactsName, valueOfLabel } from './fact_reader.ts';

export interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

export interface SecretFacts {
  /** One char a byte, as requests are judged. */
  readonly value: string;
  /** Of a copy that Cilium's operator made for its agents: whose it is. Null: of no other. */
  readonly copyOf: SecretName | null;
}

/** Sorted, each once. One that a clusterwide policy names without a namespace is nowhere. */
export function secretsNamedBy(documents: readonly PolicyDocument[]): readonly SecretName[] {
  const found = new Map<string, SecretName>();
  for (const { specs } of documents) {
    for (const text of specs.flatMap(({ rules }) => rules.flatMap(namesOfRule))) {
      const slash = text.indexOf('/');
      if (slash === -1) continue;
      found.set(text, { namespace: text.slice(0, slash), name: text.slice(slash + 1) });
    }
  }
  return [...found].sort(([a], [b]) => compareText(a, b)).map(([, name]) => name);
}

/**
 * Where it is to be read: in its own namespace, or as the copy in the one namespace that may be read. Two secrets can
 * have one name as copies, so `copyOf` has to be asked.
 */
export function placeOfSecret(secret: SecretName, secretsNamespace: string | null): SecretName {
  if (secretsNamespace === null) return secret;
  return { namespace: secretsNamespace, name: `${secret.namespace}-${secret.name}` };
}

/** It has one item, whatever that is called (GetSecretString of the agent). */
export function decodeSecret(object: unknown, name: FactsName): Decoded<SecretFacts> {
  const reader = new FactReader('Secret', name);
  const root = reader.object(object, '');
  const metadata = reader.object(root['metadata'], 'metadata');
  const labels = reader.labels(metadata['labels'], 'metadata.labels');
  const namespace = valueOfLabel(labels, OWNING_NAMESPACE);
  const owner = valueOfLabel(labels, OWNING_NAME);
  const items = itemsOf(root['data']);
  if (items.length !== 1) {
    reader.fail('data', `must have exactly one item (found ${items.length})`);
  }
  return reader.decoded({
    value: items.length === 1 ? itemValue(reader, items[0]) : '',
    copyOf: namespace === null || owner === null ? null : { namespace, name: owner },
  });
}

function namesOfRule({ ports }: DirectionRule): readonly string[] {
  return (ports ?? []).flatMap(({ l7 }) =>
    l7.kind !== 'http'
      ? []
      : l7.rules.flatMap(({ headerMatches }) =>
          headerMatches.flatMap(({ secret }) => secret ?? []),
        ),
  );
}

/** What is no map may be the secret itself, so nothing is said of it. */
function itemsOf(data: unknown): readonly unknown[] {
  return typeof data === 'object' && data !== null && !Array.isArray(data)
    ? Object.values(data)
    : [];
}

function itemValue(reader: FactReader, item: unknown): string {
  if (typeof item !== 'string' || !BASE64_TEXT.test(item)) {
    reader.fail('data', 'the value of a secret must be base64');
    return '';
  }
  const value = Buffer.from(item, 'base64').toString('latin1');
  if (hasControls(value)) {
    reader.fail(
      'data',
      'the value has control characters, such as a line end at its end: no header could be equal to it',
    );
  }
  return value;
}

const BASE64_TEXT = /^[A-Za-z0-9+/]*={0,2}$/;
const OWNING_NAMESPACE = 'secretsync.cilium.io/owning-secret-namespace';
const OWNING_NAME = 'secretsync.cilium.io/owning-secret-name';
