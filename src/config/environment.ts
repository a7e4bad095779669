/** What the environment says besides our own variables: for the client of a Kubernetes API. */
import { homedir } from 'node:os';
import type { Environment } from './overrides.ts';

export interface ProcessEnvironment {
  readonly env: Environment;
  /** Null: the user has no home folder. */
  readonly home: string | null;
}

export function processEnvironment(): ProcessEnvironment {
  return { env: process.env, home: homeFolder() };
}

function homeFolder(): string | null {
  try {
    const home = homedir();
    return home === '' ? null : home;
  } catch {
    // A user that the system does not know.
    return null;
  }
}
