/** Policies as users write them, wrong ones, and right ones with one thing changed: for what judges policies beside us. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { decodePolicyObject } from '../../../src/control/decode/policy_object.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { REJECTED_CASES } from '../../control/decode/cnp_rejected_cases.ts';
import type { SeededRandom } from '../../support/seeded_random.ts';

// biome-ignore lint/suspicious/noExplicitAny: objects of the API, right ones and wrong ones
export type AnyObject = any;

export interface Sample {
  readonly about: string;
  readonly object: AnyObject;
}

const ROOT = new URL('../../../', import.meta.url).pathname;
const KINDS = ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', 'CiliumCIDRGroup'];
const PLURALS: Readonly<Record<string, string>> = {
  CiliumNetworkPolicy: 'ciliumnetworkpolicies',
  CiliumClusterwideNetworkPolicy: 'ciliumclusterwidenetworkpolicies',
  CiliumCIDRGroup: 'ciliumcidrgroups',
};

/** Of fixtures/policy and examples/. */
export function writtenPolicies(): readonly Sample[] {
  const folders = ['fixtures/policy', 'examples'].map((name) => join(ROOT, name));
  return folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.yaml'))
      .toSorted()
      .flatMap((name) => objectsOf(name, readFileSync(join(folder, name), 'utf8'))),
  );
}

export function wrongPolicies(): readonly Sample[] {
  return Object.entries(REJECTED_CASES).flatMap(([group, rows]) =>
    rows.flatMap(([about, marked]) => objectsOf(`${group}: ${about}`, marked.replace('▸', ''))),
  );
}

function objectsOf(about: string, text: string): readonly Sample[] {
  return parseAllDocuments(text, { logLevel: 'silent', uniqueKeys: false, merge: true })
    .flatMap((document) => {
      const value = document.toJS() as AnyObject;
      return value?.policies ?? [value];
    })
    .filter((object) => KINDS.includes(object?.kind) && typeof object.metadata?.name === 'string')
    .map((object) => ({ about, object: named(object) }));
}

/** As a client sends it: with its namespace. */
function named(object: AnyObject): AnyObject {
  if (object.kind !== 'CiliumNetworkPolicy') {
    const { namespace: _, ...metadata } = object.metadata;
    return { ...object, metadata };
  }
  return { ...object, metadata: { namespace: 'default', ...object.metadata } };
}

export function pathOf({ apiVersion, kind, metadata }: AnyObject): string {
  const scope = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `/apis/${apiVersion}${scope}/${PLURALS[kind]}`;
}

const regexEngine = createRe2Engine(DEFAULT_LIMITS);

/** What `check` says of it: of errors, and of warnings that the API server refuses it. Empty: it is taken. */
export function saidByCheck(object: AnyObject): readonly string[] {
  const { kind, metadata } = object;
  const ref = {
    apiKind: kind,
    namespace: metadata.namespace ?? null,
    name: metadata.name,
    uid: null,
  };
  const options = {
    limits: DEFAULT_LIMITS,
    regexEngine,
    isApiServerChecked: true,
    hasNodeLabels: true,
  };
  const decoded = decodePolicyObject(object, ref, options);
  const said =
    decoded.kind === 'refused'
      ? decoded.problems
      : decoded.warnings.filter(({ id }) => id === 'api-server-refuses');
  return said.map(({ field, message }) => `${field}: ${message}`);
}

/** As an API server keeps it: what has no value is none. */
export function withoutNulls(value: AnyObject): AnyObject {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutNulls(inner)]));
}

/** Values that fields may have by mistake, or on purpose. */
const VALUES: readonly unknown[] = [
  ...['', 'a', 'TCP', 'UDP', 'ANY', '0', '80', '65536', '70000', 'http', 'http-but-much-too-long'],
  ...[
    '10.0.0.0/8',
    '10.0.0.1',
    '10.0.0.0/33',
    'fd00::/64',
    'a..b',
    '*.a.test',
    '**.a.test',
    '*',
    'A b',
  ],
  ...[
    'k8s:app',
    'world',
    'In',
    'Exists',
    'IPv6',
    'EchoRequest',
    'X-A: b',
    ':path',
    'Host',
    'disabled',
  ],
  ...[
    0,
    1,
    80,
    65_535,
    65_536,
    -1,
    1.5,
    true,
    null,
    [],
    {},
    [{}],
    [''],
    ['a', 'a'],
    { a: 'b' },
    { name: 'a' },
  ],
];

/** One thing of it is another: a name, a value, an element more or less, a field of another object beside. */
export function mutated(
  object: AnyObject,
  fields: readonly Sample[],
  random: SeededRandom,
): AnyObject {
  const copy = structuredClone(object);
  const places = placesOf(copy.spec ?? copy.specs, []);
  if (places.length === 0) return copy;
  const place = random.pick(places);
  const parent = place
    .slice(0, -1)
    .reduce((at: AnyObject, key) => at[key], copy.spec ?? copy.specs);
  const key = place.at(-1) as string | number;
  switch (random.pick(['value', 'value', 'remove', 'rename', 'double', 'beside'] as const)) {
    case 'value':
      parent[key] = random.pick(VALUES);
      break;
    case 'remove':
      if (Array.isArray(parent)) parent.splice(key as number, 1);
      else delete parent[key];
      break;
    case 'rename':
      if (Array.isArray(parent)) break;
      parent[random.pick([`${key}s`, `${key} b`, key.toString().toUpperCase()])] = parent[key];
      delete parent[key];
      break;
    case 'double':
      if (Array.isArray(parent[key])) parent[key].push(...structuredClone(parent[key]));
      break;
    case 'beside': {
      const other = random.pick(fields).object;
      if (!Array.isArray(parent)) Object.assign(parent, fieldOfName(other, String(key)));
      break;
    }
  }
  return copy;
}

/** The siblings that a field of this name has elsewhere. */
function fieldOfName(object: AnyObject, name: string): AnyObject {
  if (typeof object !== 'object' || object === null) return {};
  if (!Array.isArray(object) && name in object) return structuredClone(object);
  for (const value of Object.values(object)) {
    const found = fieldOfName(value, name);
    if (Object.keys(found).length > 0) return found;
  }
  return {};
}

type Key = string | number;

function placesOf(value: AnyObject, at: readonly Key[]): readonly (readonly Key[])[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const key = Array.isArray(value) ? Number(name) : name;
    return [[...at, key], ...placesOf(inner, [...at, key])];
  });
}
