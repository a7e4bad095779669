/**
 * node test/soak/mutation_fuzz.ts SECONDS [SEED]: damaged requests and HTTP/2 frames from clients, damaged
 * responses from upstreams, for as long as told, while an honest client asks beside them. Whatever comes:
 * no error is ours, what was opened is closed, no request is two records, and the honest client gets its
 * own answers, byte for byte. Prints the seed; the last line is the sum: "N passed, N failed".
 */
import { CLIENT_PREFACE } from '../../src/codec/http2/frame.ts';
import { data, headers, POST, reset, SETTINGS_ACK, settings } from '../codec/http2/wire.ts';
import { streamOf } from '../support/http1_streams.ts';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import type { OriginConnection } from '../support/raw_origin.ts';
import { SeededRandom } from '../support/seeded_random.ts';

const ATTACKS_A_ROUND = 40;
const SETTLE_TURNS_MAX = 400;
const seconds = Number(process.argv[2] ?? 30);
const firstSeed = Number(process.argv[3] ?? Date.now() % 1_000_000_000);
const lastMs = performance.now() + seconds * 1000;
let passed = 0;
let failed = 0;
console.log(`seed ${firstSeed}, ${seconds} s`);
for (let seed = firstSeed; performance.now() < lastMs && failed === 0; seed++) {
  try {
    await round(new SeededRandom(seed));
    passed += 1;
  } catch (error) {
    failed += 1;
    console.error(`seed ${seed}:`, error);
  }
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function round(random: SeededRandom): Promise<void> {
  const rig = await startRig({ script: (connection, chunk) => answer(connection, chunk, random) });
  const honest = await rig.client();
  for (let i = 0; i < ATTACKS_A_ROUND; i++) {
    const client = await rig.client();
    client.send(attack(random));
    const mark = `honest-${i};`;
    honest.send(`GET /${mark} HTTP/1.1\r\nhost: honest\r\n\r\n`);
    await honest.until(mark, 1);
    if (random.below(3) === 0) client.reset();
    else client.close();
  }
  const contents = honest.received.replaceAll(/HTTP\/1\.1 200 OK\r\n.*?\r\n\r\n/gs, '');
  const wanted = Array.from({ length: ATTACKS_A_ROUND }, (_, i) => `/honest-${i};`).join('');
  if (contents !== wanted) throw new Error(`the honest client got ${honest.received}`);
  honest.close();
  await settle(rig);
  closeRigs();
}

async function settle(rig: Rig): Promise<void> {
  const { recorder } = rig;
  for (let i = 0; i < SETTLE_TURNS_MAX && rig.plane.connectionCount > 0; i++) {
    rig.time.advance(3_600_000);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const heads = recorder.records.flatMap(({ head }) => (head === null ? [] : [head]));
  if (new Set(heads).size !== heads.length) throw new Error('a request with two records');
  if (recorder.closed.length !== recorder.openedCount) throw new Error('a connection left open');
}

/** The honest client's question in its answer; to others, anything. */
function answer(connection: OriginConnection, chunk: string, random: SeededRandom): void {
  const target = /^GET (\/honest-\d+;) /.exec(chunk)?.[1];
  if (target === undefined) connection.send(streamOf(random.below(1e9), 'response'));
  else connection.send(`HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`);
}

function attack(random: SeededRandom): Buffer {
  if (random.below(2) === 0) return Buffer.from(streamOf(random.below(1e9)), 'latin1');
  const frames = [settings(), SETTINGS_ACK];
  for (let id = 1; id < 9; id += 2) {
    frames.push(headers(id, POST, 0x4), data(id, 'hello', random.below(2)));
    if (random.below(3) === 0) frames.push(reset(id));
  }
  const bytes = Buffer.concat(frames);
  for (let count = random.below(4); count > 0; count--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  return Buffer.concat([CLIENT_PREFACE, bytes.subarray(0, random.below(bytes.length) + 1)]);
}
