/**
 * How often a property is tried: so often that it takes a second or two on an idle core. More for who looks for what
 * is rare, as `PROPERTY_RUNS=20 npx vitest run test/policy --testTimeout 600000`; what failed once is tried again with
 * the seed that fast-check prints, as `PROPERTY_SEED=-123`.
 */
const TIMES = Number(process.env['PROPERTY_RUNS'] ?? 1);
const SEED = process.env['PROPERTY_SEED'];

/** For `fc.assert`. */
export function runs(count: number): { readonly numRuns: number; readonly seed?: number } {
  const numRuns = Math.max(1, Math.round(count * TIMES));
  return SEED === undefined ? { numRuns } : { numRuns, seed: Number(SEED) };
}
