/**
 * node test/soak/http1_differential.ts SECONDS [SEED]: our HTTP/1.1 parsers against llhttp, for as
 * long as told. Prints the seed of a difference and exits 1.
 */
import { runDifferential } from '../support/http1_differential.ts';

const seconds = Number(process.argv[2] ?? 60);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000_000);

for (const kind of ['request', 'response'] as const) {
  console.log(`${kind}s: seed ${seed}, ${seconds / 2} s`);
  const { cases, accepted, difference } = runDifferential(seconds * 500, seed, kind);
  console.log(`${cases} cases, ${accepted} with an accepted ${kind}`);
  if (difference === null) continue;
  console.log(`seed ${difference.seed}: ${difference.what}\n${JSON.stringify(difference.stream)}`);
  process.exitCode = 1;
}
