/** What the run ran on, for the report. */
import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Machine } from '../report/report.ts';
import { findVersion, isInstalled, versionOf } from '../subjects/tools.ts';
import { PINNING } from './pinning.ts';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

/** Asked before anything is started: the load average is that of the others. */
export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: `${type()} ${release()}`,
    node: process.version,
    revision: revision(),
    pinning: PINNING,
    loadAverage: loadavg()[0] ?? 0,
    tools: toolVersions(),
  };
}

function revision(): string {
  const { status, stdout } = spawnSync('git', ['describe', '--always', '--dirty'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : 'unknown';
}

function toolVersions(): Record<string, string> {
  const tools: Record<string, string> = {};
  const { stdout } = spawnSync(process.execPath, [
    '-p',
    `require(${JSON.stringify(join(ROOT, 'node_modules/autocannon/package.json'))}).version`,
  ]);
  tools['autocannon'] = findVersion(String(stdout));
  if (isInstalled('wrk')) tools['wrk'] = versionOf(['wrk', '-v']);
  if (isInstalled('dnsperf')) tools['dnsperf'] = versionOf(['dnsperf', '-h']);
  if (isInstalled('h2load')) tools['h2load'] = versionOf(['h2load', '--version']);
  return tools;
}
