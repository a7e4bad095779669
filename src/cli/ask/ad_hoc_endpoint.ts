/** An endpoint that is in no file, for questions about labels: added to the endpoints file's text. */
import { stringify } from 'yaml';
import type { SourceText } from '../../control/set/policy_set.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseYamlDocument, yamlValue } from '../../text/yaml_documents.ts';

export interface AdHocEndpoint {
  readonly name: string;
  readonly labels: readonly string[];
}

/** An address of TEST-NET-1, which no endpoint has. */
const AD_HOC_IP = '192.0.2.1';
const NAMESPACE_LABEL = /^(?:k8s:|any:)?io\.kubernetes\.pod\.namespace=(.+)$/;

/** Its namespace is the one that a label says, else "default". */
export function adHocEndpoint(labels: readonly string[]): AdHocEndpoint {
  const namespace = labels
    .map((label) => NAMESPACE_LABEL.exec(label)?.[1])
    .find((one) => one !== undefined);
  return { name: `${namespace ?? 'default'}/ad-hoc`, labels };
}

/** A text that cannot be read is left to the decoder, which says what is wrong with it. */
export function addEndpoint(file: SourceText | null, endpoint: AdHocEndpoint): SourceText {
  const path = file?.path ?? '<endpoint>';
  const document = readDocument(file);
  if (document === null) return { path, text: file?.text ?? '' };
  const endpoints = Array.isArray(document['endpoints']) ? document['endpoints'] : [];
  const added = { name: endpoint.name, ip: AD_HOC_IP, labels: endpoint.labels.map(withSource) };
  return { path, text: stringify({ ...document, endpoints: [...endpoints, added] }) };
}

function readDocument(file: SourceText | null): Record<string, unknown> | null {
  if (file === null) return {};
  const read = yamlValue(parseYamlDocument(file.text, { limits: DEFAULT_LIMITS }), DEFAULT_LIMITS);
  if (read.kind === 'error') return null;
  const { value } = read;
  if (value === null || value === undefined) return {};
  return typeof value === 'object' && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function withSource(label: string): string {
  return /^[^=]*:/.test(label) ? label : `k8s:${label}`;
}
