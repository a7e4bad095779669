/**
 * `check -c CONFIG`: what `run` would read and need at its start, looked at without starting anything. Ports are not
 * tried, as the proxy that serves now has them.
 */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import type { Config } from '../../config/config.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { configuredFiles } from '../../control/source/files/file_source.ts';
import type { SourceBundle } from '../../control/source/files/source_bundle.ts';
import { unfinishedFiles } from '../../control/source/files/unfinished_files.ts';
import { emptySetText } from '../../control/source/policy_feed.ts';
import { nodePlatform } from '../../platform/node_platform.ts';

export interface ConfiguredSources {
  readonly bundle: SourceBundle;
  readonly config: Config;
  /** Why the policy set cannot even be read. One line each. */
  readonly readProblems: readonly string[];
  /** What else keeps `run` from starting. One line each. */
  readonly otherProblems: readonly string[];
}

export const NO_FILES: SourceBundle = { policies: [], endpoints: null, secrets: null };

export function readConfiguredSources(config: Config): ConfiguredSources {
  const read = configuredFiles(config, nodePlatform().timers).read();
  return {
    bundle: read.kind === 'ok' ? read.bundle : NO_FILES,
    config,
    readProblems:
      read.kind === 'ok' ? unfinishedFiles(read.bundle).map(formatProblem) : [read.message],
    otherProblems: accessLogProblems(config),
  };
}

function accessLogProblems({ accessLog }: Config): readonly string[] {
  const { to } = accessLog;
  if (to.kind !== 'file') return [];
  const folder = dirname(to.path);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return [`access log ${to.path}: ${folder} cannot be written to (${code})`];
  }
}

export interface StartReport {
  readonly wouldStart: boolean;
  readonly text: string;
  readonly problems: readonly string[];
}

/** What `run` would do with the sources as they are. */
export function startReport(sources: ConfiguredSources, isSetRejected: boolean): StartReport {
  const { config, readProblems, otherProblems } = sources;
  const { path, stateDir } = config;
  const problems = [...readProblems, ...otherProblems];
  if (problems.length === 0 && !isSetRejected) {
    const isEmpty = sources.bundle.policies.length === 0 && config.kubernetes === null;
    return {
      wouldStart: true,
      text: `${path}: would start`,
      // It starts, but hardly as its author wants it.
      problems: isEmpty && !config.isEmptySetOpen ? [emptySetText(false)] : problems,
    };
  }
  const isFallbackUsed = stateDir !== null && otherProblems.length === 0;
  const text = isFallbackUsed
    ? `${path}: would start with the last good set in ${stateDir}, or deny everything`
    : `${path}: would not start`;
  return { wouldStart: isFallbackUsed, text, problems };
}
