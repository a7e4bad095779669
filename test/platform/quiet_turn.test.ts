/** When the work of a start is over: at the first turn of the event loop that has little to do. */
import { expect, it } from 'vitest';
import { quietTurn } from '../../src/platform/quiet_turn.ts';

it.each([
  [[1], 1],
  [[300, 80, 5], 3],
  [[20], 1],
  [[], 50],
])('turns of %j ms: the one number %i', async (tookMs, expected) => {
  let nowMs = 0;
  let calls = 0;
  const platform = {
    clock: { nowMs: () => nowMs, wallMs: () => 0 },
    soon: (task: () => void) => {
      // A turn is two of them; without an end of the work each is long.
      if (calls % 2 === 0) nowMs += tookMs[calls / 2] ?? 100;
      calls += 1;
      task();
    },
  };
  expect(await quietTurn(platform)).toBe(expected);
});
