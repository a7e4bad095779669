/**
 * Runs the linter and formatter. The platform packages are named directly instead of the wrapper
 * package, so that the lock file needs no package of a platform that we do not run on.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const binary = createRequire(import.meta.url).resolve(`@biomejs/cli-linux-${process.arch}/biome`);
const run = spawnSync(binary, process.argv.slice(2), { stdio: 'inherit' });
process.exit(run.status ?? 1);
