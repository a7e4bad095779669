/** Pieces merged all at once: the same as merged one after the other. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type L7Rules, NO_L7 } from '../../../src/policy/ast.ts';
import { MergeError, mergePieces } from '../../../src/policy/resolve/merge.ts';
import type { Piece } from '../../../src/policy/resolve/piece.ts';
import { runs } from '../../support/property_runs.ts';

const http = fc.array(fc.constantFrom('/a', '/b', '/c', null), { minLength: 1, maxLength: 4 });
const names = fc.array(fc.constantFrom('a.test', 'b.test'), { maxLength: 2 });
const drafts = fc.array(
  fc.record({
    l7: fc.oneof(
      { weight: 3, arbitrary: fc.constant(null) },
      { weight: 6, arbitrary: http },
      { weight: 1, arbitrary: fc.constant('dns' as const) },
    ),
    names: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, names),
    isTlsTerminated: fc.boolean(),
    listener: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, fc.constantFrom('l', 'm')),
  }),
  { minLength: 1, maxLength: 8 },
);

const RUNS = runs(1000);

describe('merging', () => {
  it('of many allows is merging of the first two, then the third, and so on', () => {
    const seen = { merged: 0, conflicts: 0 };
    fc.assert(
      fc.property(drafts, (list) => {
        const pieces = list.map(pieceOf);
        const [first, ...others] = pieces as [Piece, ...Piece[]];
        const atOnce = outcome(() => mergePieces(pieces)[0] as Piece);
        const inTurn = outcome(() =>
          others.reduce((merged, piece) => mergePieces([merged, piece])[0] as Piece, first),
        );
        expect(atOnce).toEqual(typeof inTurn === 'string' ? inTurn : sortedAlone(inTurn));
        if (typeof atOnce === 'string') seen.conflicts++;
        else seen.merged++;
      }),
      RUNS,
    );
    expect(seen.merged).toBeGreaterThan(RUNS.numRuns / 6);
    expect(seen.conflicts).toBeGreaterThan(100);
  });
});

type Draft = typeof drafts extends fc.Arbitrary<(infer One)[]> ? One : never;

function pieceOf(draft: Draft, index: number): Piece {
  const origin = { policy: 'p', rule: `ingress[${index}]` };
  return {
    mergeKey: 'TCP 80',
    level: 0,
    action: 'allow',
    passTarget: 0,
    port: { port: 80, endPort: 80, name: null, protocol: 'TCP' },
    selectorKey: 'any',
    remotes: null,
    selector: null,
    origin,
    l7: l7Of(draft.l7, origin),
    serverNames: draft.names,
    listener:
      draft.listener !== null
        ? { envoyConfigKind: null, envoyConfigName: null, name: draft.listener, priority: 1 }
        : null,
    isTlsTerminated: draft.isTlsTerminated,
    isTlsOriginated: false,
  };
}

function l7Of(given: Draft['l7'], origin: Piece['origin']): L7Rules {
  if (given === null) return NO_L7;
  if (given === 'dns') {
    return { kind: 'dns', rules: [{ origin, matchName: 'a.test', matchPattern: null }] };
  }
  const rules = given.map((path, i) => ({
    origin: { policy: 'p', rule: `${origin.rule}.http[${i}]` },
    matchers:
      path === null
        ? []
        : [
            {
              name: ':path',
              value: { kind: 'regex' as const, pattern: path },
              isInverted: false,
              treatMissingAsEmpty: false,
            },
          ],
    headerMatches: [],
  }));
  return { kind: 'http', rules };
}

/** A conflict as text: which two are named is part of it. */
function outcome(merge: () => Piece): Piece | string {
  try {
    return merge();
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return JSON.stringify(error.conflict);
  }
}

/** One piece alone has been through no merge: its rules are put in order as those of any. */
function sortedAlone(piece: Piece): Piece {
  return mergePieces([piece])[0] as Piece;
}
