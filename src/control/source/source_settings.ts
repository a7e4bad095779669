/** What the source of a configuration is made of. */
import type { InvalidPolicy } from '../../model/invalid_policy.ts';
import type { KubernetesSettings } from '../../model/kubernetes_settings.ts';
import type { Platform } from '../../platform/platform.ts';
import type { DecodeOptions } from '../decode/context.ts';
import type { ReportEvents } from '../report/policy_report.ts';
import type { FileSettings } from './files/file_source.ts';
import type { GoodObject } from './objects/object_set.ts';
import type { PolicySource } from './source.ts';

export interface SourceSettings extends FileSettings {
  /** Null: files alone say what policy is. */
  readonly kubernetes: KubernetesSettings | null;
  /** Of the configuration: name → proxy id. */
  readonly listeners: readonly (readonly [string, number])[];
  readonly invalidPolicy: InvalidPolicy;
  /** Null: nothing is kept on disk. */
  readonly stateDir: string | null;
}

export interface SourceEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string | null;
  /** "sallyport/0.1.0 (linux/x64)". */
  readonly userAgent: string;
}

export interface SourceSurroundings {
  readonly environment: SourceEnvironment;
  readonly decode: DecodeOptions;
  readonly platform: Platform;
  /** Who uses the state folder: "proxy" or "loader". */
  readonly stateName: string;
  /** False: nothing is written there before `own`. */
  readonly isStateOurs: boolean;
  /** What standard input said to an earlier reader of it. */
  readonly stdin: string | null;
  /** See `FileSourceOptions`. */
  readonly isRestAwaited: boolean;
  /** Null: it is the first. */
  readonly resumed: ResumedCluster | null;
  readonly onLostForms: (forms: readonly GoodObject[]) => void;
  /** Who is told how the report to the cluster goes; null: others report. */
  readonly reporting: ReportEvents | null;
  /** What could not be kept on disk. One line. */
  readonly onNotKept: (problem: string) => void;
}

export interface ConfiguredSource {
  readonly source: PolicySource;
  /** Whoever takes what it offers keeps its texts; false: the source sees to that. */
  readonly isLastGoodKept: boolean;
  /** See `PolicyFeedOptions`. */
  readonly isDeniedAtFirst: boolean;
  /** The state folder is ours from now on. */
  own(): void;
  /** What is wrong with the workers of the proxy, for who reads its source; null: nothing any more. */
  tellCondition(problem: string | null): void;
}

/** Of a source that keeps nothing, and has nobody to tell. */
export const UNTOLD: Pick<ConfiguredSource, 'own' | 'tellCondition'> = {
  own: () => {},
  tellCondition: () => {},
};

/** Another thread was before us, and what it had put in force still is: nothing older takes its place. */
export interface ResumedCluster {
  /** As it told them. */
  readonly lostForms: readonly GoodObject[];
}
