/**
 * What budgets are counted in. Nothing of ours is in them: a change of ours that made a yardstick longer
 * would hide what it costs. (Short strings cut from bytes were tried as a third one for what makes garbage: they
 * spread more than what they were to measure.)
 */
import RE2 from 're2';
import type { Work, Works } from './work.ts';

/** A call into C++ that reads some bytes: the steadiest, since no compiler of ours has a part in it. */
export const RE2_MATCH = 'RE2 match';
/** As scanners and codecs do: byte after byte, a table, a branch that is mostly taken. */
export const BYTE_LOOP = 'byte loop';

const LOOP_BYTES = 512;

export const YARDSTICKS: Works = {
  [RE2_MATCH]: re2Match(),
  [BYTE_LOOP]: byteLoop(),
};

function re2Match(): Work {
  const regex = new RE2('^(?:/service/7/items/[0-9]+)$', 'u');
  const subject = Buffer.from('/service/7/items/42');
  return () => (regex.test(subject) ? 1 : 0);
}

function byteLoop(): Work {
  const bytes = Buffer.from(
    'accept-language: en-GB,en;q=0.7\r\n'.repeat(LOOP_BYTES / 16),
    'latin1',
  );
  const classes = Uint8Array.from({ length: 256 }, (_, byte) => (byte > 0x20 ? 1 : 0));
  return () => {
    let count = 0;
    for (let i = 0; i < LOOP_BYTES; i++) {
      if (classes[bytes[i] as number] === 1) count++;
    }
    return count;
  };
}
