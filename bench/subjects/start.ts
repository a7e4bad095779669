/** What every kind of subject does: writes its files, is started, serves, is told of in the report. */
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import type { Place } from '../measure/pinning.ts';
import { OwnedProcess } from './process.ts';
import type { Subject } from './subject.ts';

export interface Plan {
  readonly name: string;
  readonly version: string;
  /** Its own, and there already. */
  readonly directory: string;
  /** By name; what they say of HERE is the directory. */
  readonly files: Readonly<Record<string, string>>;
  readonly command: (pathOf: (name: string) => string) => readonly string[];
  /** Where it is to be reached, or how its output tells that. */
  readonly at: { readonly port: number } | { readonly line: RegExp };
  /** Its standard output goes to access.log. */
  readonly isLogOnStdout?: boolean;
  readonly place?: Place;
  readonly isOrigin?: boolean;
}

/** Stands for the subject's directory in its files. */
export const HERE = '{{directory}}';
const SHOWN_CHARS_MAX = 4000;

export async function startSubject(plan: Plan): Promise<Subject> {
  const { name, version, directory, files } = plan;
  const pathOf = (file: string): string => join(directory, file);
  for (const [file, text] of Object.entries(files)) {
    await writeFile(pathOf(file), text.replaceAll(HERE, directory));
  }
  const log = plan.isLogOnStdout ? await open(pathOf('access.log'), 'a') : null;
  const owned = new OwnedProcess({
    command: plan.command(pathOf),
    place: plan.place ?? 'measured',
    directory,
    ...(log !== null && { stdout: log.fd }),
  });
  await log?.close();
  try {
    return {
      name,
      url: await urlOf(owned, plan.at),
      facts: {
        name,
        version,
        commands: [commandText(owned.command, directory)],
        files: shown(files),
      },
      directory,
      isOrigin: plan.isOrigin ?? false,
      pids: () => owned.pids(),
      stop: () => owned.stop(),
    };
  } catch (error) {
    await owned.stop();
    throw error;
  }
}

async function urlOf(owned: OwnedProcess, at: Plan['at']): Promise<string> {
  if ('line' in at) return `http://${(await owned.untilLine(at.line))[1]}`;
  await owned.untilListening(at.port);
  return `http://127.0.0.1:${at.port}`;
}

/** Without the paths of this machine. */
function commandText(command: readonly string[], directory: string): string {
  return command.join(' ').replaceAll(directory, 'DIRECTORY').replaceAll(`${ROOT}/`, '');
}

function shown(files: Plan['files']): Subject['facts']['files'] {
  return Object.entries(files).map(([name, text]) => ({
    name,
    text:
      text.length <= SHOWN_CHARS_MAX
        ? text
        : `${text.slice(0, SHOWN_CHARS_MAX)}\n… cut: ${text.length} characters in all`,
  }));
}
