/**
 * Many clients at once, with large contents, pauses and cuts, pipelined and half-closed: each byte arrives once, in
 * order, at whom it is for, and each request is one record.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Limits } from '../../../src/model/limits.ts';
import type { RequestRecord } from '../../../src/model/record.ts';
import { type Asked, askAll, askAtRandom, NumberedOrigin } from '../../support/http1_numbered.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import { SeededRandom } from '../../support/seeded_random.ts';

afterEach(closeRigs);

const FIRST_SEED = 20_261_100;
const ROUND_COUNT = 12;
const CLIENT_COUNT = 24;
const REQUEST_COUNT_MAX = 8;

describe('every byte arrives once, in order, at whom it is for', () => {
  it.each<[string, Partial<Limits>]>([
    ['with the usual buffers', {}],
    ['with small buffers', { bufferBytesMax: 4096, pipelinedBytesMax: 1024 }],
  ])('%s', async (_, limits) => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUND_COUNT; seed++) {
      try {
        await round(new SeededRandom(seed), limits);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  });
});

async function round(random: SeededRandom, limits: Partial<Limits>): Promise<void> {
  const origin = await NumberedOrigin.start(random);
  const rig = await startRig({
    policy: allowHttp('* /ok/.*'),
    limits: { discardedContentBytesMax: 1024 * 1024, ...limits },
    upstreamPort: origin.port,
  });
  const denials = {
    kept: await denialOf(rig, ''),
    closing: await denialOf(rig, 'connection: close\r\n'),
  };
  let number = 0;
  const clients = Array.from({ length: CLIENT_COUNT }, () => {
    const count = 1 + random.below(REQUEST_COUNT_MAX);
    const isClosing = random.below(2) === 0;
    return Array.from({ length: count }, (_, i) =>
      askAtRandom(random, { number: ++number, isLast: isClosing && i === count - 1, denials }),
    );
  });
  for (const asked of clients.flat()) if (asked.isAllowed) origin.asked.set(asked.number, asked);
  const outcomes = await Promise.all(clients.map((asked) => askAll(rig.port, asked, random)));
  const wrong = outcomes.map((outcome) => outcome.wrong).filter((each) => each !== '');
  expect([...origin.differences, ...wrong]).toEqual([]);
  for (let n = 0; n < 500 && rig.plane.connectionCount > 0; n++) await settle();
  expect(rig.plane.connectionCount).toBe(0);
  for (let n = 0; n < 500 && origin.openCount > 0; n++) await settle();
  expect(origin.openCount).toBe(0);
  clients.forEach((asked, i) => {
    checkRecords(asked, rig.recorder.records, outcomes[i]?.hasLeft === true);
  });
  rig.stop();
  origin.stop();
}

function checkRecords(
  asked: readonly Asked[],
  records: readonly RequestRecord[],
  hasLeft: boolean,
): void {
  for (const { number, isAllowed } of asked) {
    const path = `/${isAllowed ? 'ok' : 'no'}/${number}`;
    const statuses = records.filter(({ head }) => head?.path === path).map(({ status }) => status);
    // Who has left may not have sent it, or not have been answered.
    if (hasLeft) expect(statuses.length).toBeLessThanOrEqual(1);
    else expect(statuses).toEqual([isAllowed ? 200 : 403]);
  }
}

async function denialOf(rig: Rig, line: string): Promise<Buffer> {
  const client = await rig.client();
  client.send(`GET /no HTTP/1.1\r\nhost: x\r\n${line}\r\n`);
  const text = await client.until('denied');
  client.close();
  return Buffer.from(text, 'latin1');
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}
