/**
 * The same requests through a real Envoy, with the path settings of Cilium's listeners and an RBAC filter of the
 * same rules, and through this proxy, over HTTP/1.1 and HTTP/2:
 *
 *     npm run bench:peers     # fetches Envoy, once
 *     node test/conformance/envoy_differential.ts
 *
 * What we forward and Envoy does not, and what reaches the upstream in another form, must be nothing or stand in
 * `envoy/explained.ts`; so must what Envoy forwards and we do not. Last line: "N passed, N failed".
 */
import { findEnvoy } from '../../bench/subjects/envoy.ts';
import { closeRigs, startRig } from '../support/plane_rig.ts';
import { askHttp1, askHttp2, type Outcome } from './envoy/ask.ts';
import { CASES, type Case } from './envoy/cases.ts';
import { startEnvoy } from './envoy/envoy.ts';
import { explanationOf } from './envoy/explained.ts';
import { startOrigins } from './envoy/origins.ts';
import { POLICY } from './envoy/rules.ts';

const binary = findEnvoy();
if (binary === null) {
  console.error('envoy is not here: npm run bench:peers fetches it');
  console.log('0 passed, 1 failed');
  process.exit(1);
}

const AT_ONCE = 32;
const counts = { passed: 0, failed: 0 };
const explained = new Map<string, number>();
const origins = await startOrigins();
const envoy = await startEnvoy(binary, origins);
try {
  const http1 = await startRig({ policy: POLICY, upstreamPort: origins.http1Port });
  const http2 = await startRig({ policy: POLICY, upstreamPort: origins.http2Port });
  const compare = async (one: Case): Promise<void> => {
    const [ours, theirs] = await Promise.all(
      one.version === 'h1'
        ? [askHttp1(http1.port, one), askHttp1(envoy.http1Port, one)]
        : [askHttp2(http2.port, one), askHttp2(envoy.http2Port, one)],
    );
    settle(one, ours, theirs);
  };
  for (let at = 0; at < CASES.length; at += AT_ONCE) {
    await Promise.all(CASES.slice(at, at + AT_ONCE).map(compare));
  }
} finally {
  envoy.stop();
  closeRigs();
  origins.stop();
}
for (const [why, count] of [...explained].sort()) console.log(`${count}\texplained: ${why}`);
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 ? 0 : 1);

function settle(one: Case, ours: Outcome, theirs: Outcome): void {
  const isSame =
    ours.kind === 'forwarded' && theirs.kind === 'forwarded'
      ? ours.seen === theirs.seen
      : ours.kind !== 'forwarded' && theirs.kind !== 'forwarded';
  const why = isSame ? '' : explanationOf(one, ours, theirs);
  if (why === null) {
    counts.failed++;
    console.log(`${one.version} ${JSON.stringify(one.text)}`);
    console.log(`  ours  ${wordsOf(ours)}\n  envoy ${wordsOf(theirs)}`);
    return;
  }
  counts.passed++;
  if (why !== '') explained.set(why, (explained.get(why) ?? 0) + 1);
}

function wordsOf(outcome: Outcome): string {
  return `${outcome.kind} ${outcome.status} ${JSON.stringify(outcome.seen)}`;
}
