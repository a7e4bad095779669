/** Where policy is asked about: files that flags or a configuration name, or a cluster. */
import type { Config } from '../../config/config.ts';
import { loadConfig } from '../../config/load.ts';
import type { Args } from '../args.ts';
import type { Io } from '../io.ts';
import { kubeFlagProblem } from '../kube_flags.ts';

export type AskedPlace =
  | { readonly kind: 'flags' }
  | { readonly kind: 'configuration'; readonly config: Config }
  /** Null: the settings of its own proxies. */
  | { readonly kind: 'cluster'; readonly config: Config | null }
  /** The configuration is wrong. One line each. */
  | { readonly kind: 'rejected'; readonly problems: readonly string[] }
  | { readonly kind: 'error'; readonly message: string };

export function askedPlace(args: Args, io: Io): AskedPlace {
  if (!args.has('config')) {
    const problem = kubeFlagProblem(args) ?? (args.has('kube') ? clusterFlagProblem(args) : null);
    if (problem !== null) return { kind: 'error', message: problem };
    return args.has('kube') ? { kind: 'cluster', config: null } : { kind: 'flags' };
  }
  const path = args.value('config');
  const loaded = loadConfig({ path, flags: [], env: io.env, cwd: io.cwd });
  if (loaded.kind === 'rejected') return loaded;
  const { config } = loaded;
  const problem =
    config.kubernetes === null ? filesProblem(args, config) : clusterConfigProblem(args);
  if (problem !== null) return { kind: 'error', message: problem };
  return config.kubernetes === null
    ? { kind: 'configuration', config }
    : { kind: 'cluster', config };
}

const OWN_POLICIES = '--config names its own policies; give one or the other';

/** Flags that say what a configuration says. */
const SOURCE_FLAG_NAMES = ['policy', 'endpoints', 'secrets'];
const SETTING_FLAG_NAMES = ['enable-node-selector-labels', 'judge-host'];

function filesProblem(args: Args, { path }: Config): string | null {
  const named = [...SOURCE_FLAG_NAMES, ...SETTING_FLAG_NAMES].some((name) => args.has(name));
  if (named) return OWN_POLICIES;
  if (args.has('kube')) return `${path} says nothing of a cluster: it has no field kubernetes`;
  return kubeFlagProblem(args);
}

function clusterConfigProblem(args: Args): string | null {
  const setting = SETTING_FLAG_NAMES.find((name) => args.has(name));
  if (setting !== undefined) return `--config says whether --${setting}; give one or the other`;
  return clusterFlagProblem(args);
}

function clusterFlagProblem(args: Args): string | null {
  return args.has('endpoints')
    ? 'a cluster says itself who is in it, and --endpoints something else; give one or the other'
    : null;
}
