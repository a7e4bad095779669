/** What a worker remembers of what it told: by that an answer goes at once or waits, and no server makes it more and more. */
import { expect, it } from 'vitest';
import { type IpAddress, ipFromBytes } from '../../../src/model/address.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import type { PolicySnapshot } from '../../../src/policy/compiled/snapshot.ts';
import { NameLearner } from '../../../src/proxy/dns/name_learner.ts';

/** Every address but those has every name in it, and one selector selects all of them. */
function snapshotWithout(unnamed: ReadonlySet<string>): PolicySnapshot {
  return {
    naming: () => [0],
    endpoint: () => ({ name: 'shop/web' }),
    who: {
      remotes: { of: (identity: number) => ({ selectors: Uint32Array.from(identity ? [] : [0]) }) },
    },
    ipcache: { lookup: (ip: string) => (unnamed.has(ip) ? 1 : 0) },
    shadow: null,
  } as unknown as PolicySnapshot;
}

const ADDRESS_COUNT = 1000;

/** The nth thousand of addresses. */
function thousand(n: number): readonly IpAddress[] {
  return Array.from({ length: ADDRESS_COUNT }, (_, i) => {
    const number = n * ADDRESS_COUNT + i;
    return ipFromBytes(Uint8Array.of(11, number >> 16, (number >> 8) & 255, number & 255));
  });
}

class Answers {
  readonly #told: number[] = [];
  nowMs = 0;
  /** Addresses that no name has. */
  readonly unnamed = new Set<string>();
  readonly #snapshot = snapshotWithout(this.unnamed);
  readonly #learner = new NameLearner({
    currentSnapshot: () => this.#snapshot,
    limits: DEFAULT_LIMITS,
    clock: { nowMs: () => this.nowMs, wallMs: () => 0 },
    timers: { every: () => () => {}, after: () => () => {} },
    events: { dnsAnswerHeld: () => {} },
    tell: ({ id }) => this.#told.push(id),
  });

  /** True: it had to wait, and is in force now. */
  waited(name: string, addresses: readonly IpAddress[]): boolean {
    const [endpointIp] = addresses.map(({ text }) => text);
    if (endpointIp === undefined) throw new Error('an answer without addresses');
    const taught = { endpointIp, name, addresses, ttlSeconds: 2 ** 31 };
    const isHeld = this.#learner.waits(taught, () => {});
    this.#learner.inForce(this.#told.splice(0));
    return isHeld;
  }
}

it('an answer waits the first time, and not again', () => {
  const answers = new Answers();
  expect(answers.waited('a.', thousand(0))).toBe(true);
  expect(answers.waited('a.', thousand(0))).toBe(false);
});

it('of a name whose server says other addresses each time, as many are remembered as are kept', () => {
  const answers = new Answers();
  for (let n = 0; n < 3; n++) answers.waited('a.', thousand(n));
  expect(answers.waited('a.', thousand(2))).toBe(false);
  expect(answers.waited('a.', thousand(0))).toBe(true);
});

it('of many names with many addresses those are forgotten that were told longest ago', () => {
  const answers = new Answers();
  for (let n = 0; n < 110; n++) answers.waited(`${n}.`, thousand(n));
  expect(answers.waited('109.', thousand(109))).toBe(false);
  expect(answers.waited('20.', thousand(20))).toBe(false);
  expect(answers.waited('0.', thousand(0))).toBe(true);
});

const LEARNABLE = thousand(0).slice(0, 1);
const OF_CLUSTER = thousand(0).slice(1, 2);

it.each([
  ['that leads to an address of the cluster, too,', [...LEARNABLE, ...OF_CLUSTER]],
  ['that leads to nothing else', OF_CLUSTER],
])('an answer %s waits once, and again after a while', (_which, addresses) => {
  const answers = new Answers();
  for (const { text } of OF_CLUSTER) answers.unnamed.add(text);
  const waited = (): boolean => answers.waited('a.', addresses);
  expect([waited(), waited(), waited()]).toEqual([true, false, false]);
  answers.nowMs += DEFAULT_LIMITS.dnsLearnedGraceMs;
  expect([waited(), waited()]).toEqual([true, false]);
});

it('an answer waits at once for an address that the name had and has no more', () => {
  const answers = new Answers();
  expect(answers.waited('a.', LEARNABLE)).toBe(true);
  for (const { text } of LEARNABLE) answers.unnamed.add(text);
  expect(answers.waited('a.', LEARNABLE)).toBe(true);
});
