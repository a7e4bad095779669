/**
 * Makes src/hubble/generated/ of the .proto files in src/hubble/proto/ (`npm run build:protos`). The result is
 * committed, and test/hubble/protos.test.ts holds it against the files: so neither a checkout nor CI needs the
 * compiler, which is fetched only for this.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROTOS = join(dirname(dirname(fileURLToPath(import.meta.url))), 'src/hubble/proto');
/** The generator is of the version of the library that its code calls. */
const PACKAGES = ['@bufbuild/buf@1.75.0', '@bufbuild/protoc-gen-es@2.17.0'];

const run = spawnSync(
  'npm',
  [
    ...['exec', '--yes'],
    ...PACKAGES.map((name) => `--package=${name}`),
    ...['--', 'buf', 'generate', '--clean'],
  ],
  { cwd: PROTOS, stdio: 'inherit' },
);
process.exit(run.status ?? 1);
