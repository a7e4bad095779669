/** What ended connections leave behind is taken back once for each time that most of many are gone. */
import { expect, it } from 'vitest';
import { ConnectionMemory } from '../../../src/proxy/plane/memory/connection_memory.ts';

const CASES: readonly [string, readonly number[], number][] = [
  ['many that go', [10, 4000, 3000, 900], 1],
  ['many that go at once', [4000, 0], 1],
  ['many that stay', [4000, 3999, 2000, 1001], 0],
  ['few that come and go', [900, 0, 900, 0], 0],
  ['nobody', [0, 0, 0], 0],
  ['those that are left and go, too', [8000, 1900, 400, 0], 2],
  ['many that come and go again', [4000, 0, 4000, 0, 0, 4000, 10], 3],
];

it.each(CASES)('%s: %j', (_, counts, expected) => {
  let releases = 0;
  const memory = new ConnectionMemory(() => releases++);
  for (const count of counts) memory.counted(count);
  expect(releases).toBe(expected);
});
