/** The source of policy that a configuration names: files, or a cluster with files beside it. */
import { configuredFiles, type FileSettings, FileSource } from './files/file_source.ts';
import { LastGoodSet } from './files/last_good_set.ts';
import { FilesBeside } from './kube/files_beside.ts';
import type { KubernetesSourceOptions } from './kube/kubernetes_source.ts';
import { openCluster } from './kube/open_cluster.ts';
import {
  type ConfiguredSource,
  type SourceSettings,
  type SourceSurroundings,
  UNTOLD,
} from './source_settings.ts';

export function configuredSource(
  settings: SourceSettings,
  surroundings: SourceSurroundings,
): ConfiguredSource {
  const { kubernetes } = settings;
  if (kubernetes === null) {
    const source = fileSource(settings, surroundings);
    return { source, isLastGoodKept: true, isDeniedAtFirst: false, ...UNTOLD };
  }
  const filesOf = hasFiles(settings) ? besideOf(settings, surroundings) : null;
  return openCluster(kubernetes, { settings, surroundings, filesOf });
}

function fileSource(
  settings: FileSettings,
  { platform, stdin, decode, isRestAwaited }: SourceSurroundings,
): FileSource {
  const files = configuredFiles(settings, platform.timers, stdin);
  return new FileSource(files, { decode, isRestAwaited });
}

function hasFiles({ policyPaths, endpointsPath, secretsPath }: FileSettings): boolean {
  return policyPaths.length > 0 || endpointsPath !== null || secretsPath !== null;
}

function besideOf(
  settings: SourceSettings,
  surroundings: SourceSurroundings,
): NonNullable<KubernetesSourceOptions['filesOf']> {
  const { stateDir: folder } = settings;
  const { decode, platform, stateName: name, isStateOurs: isOurs, onNotKept } = surroundings;
  const wallMs = (): number => platform.clock.wallMs();
  return (to) =>
    new FilesBeside({
      ...to,
      source: fileSource(settings, surroundings),
      decode,
      lastGood:
        folder === null
          ? null
          : new LastGoodSet({ folder, name, wallMs, onError: onNotKept, isOurs }),
      wallMs,
    });
}
