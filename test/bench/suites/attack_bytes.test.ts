/** The attacks are what their titles say: whole frames, with stream identifiers where the client raises them. */
import { describe, expect, it } from 'vitest';
import { HTTP1_ATTACKS, HTTP2_ATTACKS } from '../../../bench/suites/attack_bytes.ts';

const HEAD_BYTES = 9;

/** Where each frame begins; throws when the last one is not whole. */
function framesIn(bytes: Buffer): readonly number[] {
  const starts: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    starts.push(at);
    at += HEAD_BYTES + bytes.readUIntBE(at, 3);
  }
  expect(at).toBe(bytes.length);
  return starts;
}

describe('an attack', () => {
  it('has a name of its own', () => {
    const ids = [...HTTP1_ATTACKS, ...HTTP2_ATTACKS].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it.each(HTTP2_ATTACKS)('$title: whole frames, all streams of a piece raised alike', (attack) => {
    const starts = framesIn(attack.piece);
    expect(starts.length).toBeGreaterThan(0);
    const ofStreams = (attack.streamIdsAt ?? []).map((at) => at - 5);
    expect(starts).toEqual(expect.arrayContaining(ofStreams));
    if (ofStreams.length > 0) expect(ofStreams).toEqual(starts);
  });
});
