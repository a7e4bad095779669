/**
 * Kubeconfigs as kubectl reads them: of several files, the first one that has an entry of a name, or a current context,
 * is the one that counts.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Limits } from '../../model/limits.ts';
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { parseYamlDocument, yamlValue } from '../../text/yaml_documents.ts';
import { KubeconfigField, KubeconfigProblem } from './kubeconfig_field.ts';
import { readProblem } from './reread_text.ts';

export type KubeconfigLimits = DocumentLimits & Pick<Limits, 'yamlAliasCountMax'>;

/** An entry of a file, which paths in it are relative to. */
export interface Entry {
  readonly field: KubeconfigField;
  readonly folder: string;
}

export interface Kubeconfig {
  /** Those that were read. */
  readonly paths: readonly string[];
  /** "" if none is named. */
  readonly currentContext: string;
  readonly contexts: ReadonlyMap<string, Entry>;
  readonly clusters: ReadonlyMap<string, Entry>;
  readonly users: ReadonlyMap<string, Entry>;
}

/** One with 2,000 clusters has about 8 MiB. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Throws `KubeconfigProblem`. `isEachNeeded` false: files that are not there are passed over. */
export function readKubeconfigs(
  paths: readonly string[],
  isEachNeeded: boolean,
  limits: KubeconfigLimits,
): Kubeconfig {
  const read: string[] = [];
  const contexts = new Map<string, Entry>();
  const clusters = new Map<string, Entry>();
  const users = new Map<string, Entry>();
  let currentContext = '';
  for (const path of paths) {
    const text = textOf(path, isEachNeeded);
    if (text === null) continue;
    read.push(path);
    const root = rootOf(text, path, limits);
    const folder = dirname(resolve(path));
    if (currentContext === '') currentContext = root.at('current-context').text();
    addEntries(contexts, root.at('contexts'), folder);
    addEntries(clusters, root.at('clusters'), folder);
    addEntries(users, root.at('users'), folder);
  }
  return { paths: read, currentContext, contexts, clusters, users };
}

function textOf(path: string, isNeeded: boolean): string | null {
  try {
    if (statSync(path).size > FILE_BYTES_MAX) {
      throw new KubeconfigProblem(`${path}: the file is larger than 16 MiB`);
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof KubeconfigProblem) throw error;
    if (!isNeeded && (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new KubeconfigProblem(`${path}: ${readProblem(error)}`);
  }
}

function rootOf(text: string, path: string, limits: KubeconfigLimits): KubeconfigField {
  const parsed = yamlValue(parseYamlDocument(text, { limits }), limits);
  if (parsed.kind === 'error') throw new KubeconfigProblem(`${path}: ${parsed.message}`);
  const root = new KubeconfigField(parsed.value, `${path}:`);
  const kind = root.at('kind').text();
  if (kind !== '' && kind !== 'Config') throw root.at('kind').problem('must be Config');
  return root;
}

function addEntries(entries: Map<string, Entry>, list: KubeconfigField, folder: string): void {
  for (const { name, field } of list.named()) {
    if (!entries.has(name)) entries.set(name, { field, folder });
  }
}
