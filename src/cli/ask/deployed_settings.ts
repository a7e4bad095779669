/**
 * The settings of the Sallyport that is deployed in a cluster: its pods name the ConfigMap that they were started with,
 * which is parsed as `run` does it there. Rights to read the pods are needed anyway.
 */
import { decodeConfig } from '../../config/load.ts';
import { PROXY_SELECTOR } from '../../control/ask/cluster_status.ts';
import type { ApiLister } from '../../control/source/kube/api_lister.ts';
import { CLUSTER_KINDS } from '../../control/source/kube/cluster_kinds.ts';
import type { KubeFailure } from '../../kube/client.ts';
import type { KubeKind } from '../../kube/kind.ts';
import { nameKeyOf, type SeenObject } from '../../kube/seen_object.ts';
import { type ClusterSettings, settingsOf } from './cluster_settings.ts';

export type DeployedSettings =
  | {
      readonly kind: 'found';
      readonly settings: ClusterSettings;
      /** "ConfigMap sallyport/sallyport-config". */
      readonly from: string;
      /** It names policies, endpoints or secrets as files, which are where its pods are. */
      readonly hasFiles: boolean;
    }
  /** No pods of it are there, or they take nothing from the cluster. */
  | { readonly kind: 'none' }
  /** Why its settings are not known. */
  | { readonly kind: 'unknown'; readonly message: string }
  /** Nothing can be asked of the API server. */
  | { readonly kind: 'error'; readonly message: string };

export async function readDeployedSettings(lister: ApiLister): Promise<DeployedSettings> {
  const pods = await listed(lister, POD, { labelSelector: PROXY_SELECTOR });
  if (pods.kind === 'unreachable') return { kind: 'error', message: pods.message };
  if (pods.kind === 'refused') return unknown(`its pods cannot be looked for (${pods.message})`);
  const started = new Map(pods.objects.flatMap(startOf).map((one) => [JSON.stringify(one), one]));
  const found = new Map<string, Found>();
  for (const start of started.values()) {
    const one = await settingsAt(lister, start);
    if (typeof one === 'string') return unknown(one);
    const key = JSON.stringify([one?.settings, one?.hasFiles]);
    if (one !== null && !found.has(key)) found.set(key, one);
  }
  const [first, second] = found.values();
  if (first === undefined) return { kind: 'none' };
  if (second === undefined) return first;
  return unknown(`there are several: ${first.from} and ${second.from} differ`);
}

type Found = Extract<DeployedSettings, { kind: 'found' }>;

/** What a proxy was started with. */
interface Start {
  readonly namespace: string;
  readonly configMap: string;
  readonly env: Readonly<Record<string, string>>;
}

const POD = CLUSTER_KINDS.Pod[0] as KubeKind;
const CONFIG_MAP: KubeKind = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  plural: 'configmaps',
  isNamespaced: true,
};

/** As the chart and the kustomization call them. */
const CONTAINER = 'proxy';
const VOLUME = 'config';
const FILE = 'config.yaml';
/** Where it is mounted: paths in it are of the pod. */
const PATH = '/etc/sallyport/config.yaml';

function startOf({ namespace, object }: SeenObject): readonly Start[] {
  const spec = fieldsOf(fieldsOf(object)['spec']);
  const volume = listOf(spec['volumes']).find(({ name }) => name === VOLUME);
  const configMap = fieldsOf(volume?.['configMap'])['name'];
  const container = listOf(spec['containers']).find(({ name }) => name === CONTAINER);
  if (namespace === null || typeof configMap !== 'string' || container === undefined) return [];
  const env = listOf(container['env']).flatMap(({ name, value }) =>
    typeof name === 'string' && typeof value === 'string' ? [[name, value] as const] : [],
  );
  return [{ namespace, configMap, env: Object.fromEntries(env) }];
}

/** Null: it takes nothing from the cluster. A text: why they are not known. */
async function settingsAt(
  lister: ApiLister,
  { namespace, configMap, env }: Start,
): Promise<Found | string | null> {
  const from = `ConfigMap ${namespace}/${configMap}`;
  const maps = await listed(lister, CONFIG_MAP, {
    namespace,
    fieldSelector: `metadata.name=${configMap}`,
  });
  if (maps.kind !== 'objects') return `${from} cannot be read (${maps.message})`;
  const text = fieldsOf(fieldsOf(maps.objects[0]?.object)['data'])[FILE];
  if (typeof text !== 'string') return `${from} has no ${FILE}`;
  const decoded = decodeConfig(text, {
    ...{ path: PATH, shownPath: FILE, flags: [], env, cwd: '/' },
  });
  if (decoded.kind === 'rejected') {
    return `${from} cannot be read by this version (${decoded.problems[0] ?? ''})`;
  }
  const { config } = decoded;
  const settings = settingsOf(config);
  const { policyPaths, endpointsPath, secretsPath } = config;
  const hasFiles = policyPaths.length > 0 || endpointsPath !== null || secretsPath !== null;
  return settings === null ? null : { kind: 'found', settings, from, hasFiles };
}

async function listed(
  lister: ApiLister,
  kind: KubeKind,
  selection: Parameters<ApiLister['listSelected']>[1],
): Promise<{ readonly kind: 'objects'; readonly objects: readonly SeenObject[] } | KubeFailure> {
  const found = new Map<string, SeenObject>();
  const result = await lister.listSelected(kind, selection, {
    put: (seen) => void found.set(nameKeyOf(seen), seen),
    listed: (keys) => {
      for (const key of found.keys()) if (!keys.has(key)) found.delete(key);
    },
  });
  if (result.kind === 'absent') return { kind: 'objects', objects: [] };
  return result.kind === 'listed' ? { kind: 'objects', objects: [...found.values()] } : result;
}

function unknown(message: string): DeployedSettings {
  return { kind: 'unknown', message };
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}
