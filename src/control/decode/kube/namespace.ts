/** A Namespace: its labels are labels of all that is in it. */
import { type Decoded, FactReader, type FactsName, type Labels } from './fact_reader.ts';

export interface NamespaceFacts {
  readonly labels: Labels;
}

export function decodeNamespace(object: unknown, name: FactsName): Decoded<NamespaceFacts> {
  const reader = new FactReader('Namespace', name);
  const metadata = reader.object(reader.object(object, '')['metadata'], 'metadata');
  return reader.decoded({ labels: reader.labels(metadata['labels'], 'metadata.labels') });
}
