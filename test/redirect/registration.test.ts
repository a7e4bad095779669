/** Which worker holds which slots of the sockmap. */
import { expect, it } from 'vitest';
import { LISTENER_SLOTS } from '../../src/redirect/layout.ts';
import { slotsOf } from '../../src/redirect/registration.ts';

it.each([
  [4, 'TCP', 0],
  [6, 'TCP', 1],
  [4, 'UDP', 2],
  [6, 'UDP', 3],
] as const)(
  'IPv%s, %s: every slot is one worker’s, however many there are',
  (family, transport, part) => {
    const first = part * LISTENER_SLOTS;
    const all = Array.from({ length: LISTENER_SLOTS }, (_, slot) => first + slot);
    for (let workerCount = 1; workerCount <= LISTENER_SLOTS; workerCount++) {
      const held = Array.from({ length: workerCount }, (_, workerIndex) =>
        slotsOf({ workerIndex, workerCount, address: { family }, transport }),
      );
      expect(held.flat().toSorted((a, b) => a - b)).toEqual(all);
      // Connections fall on slots evenly, so workers hold as many as each other, give or take one.
      const counts = held.map(({ length }) => length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  },
);
