/** Pieces merged all at once: the same as merged one after the other. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type L7Rules, NO_L7 } from '../../../src/policy/ast.ts';
import { MergeError, mergePieces } from '../../../src/policy/resolve/merge.ts';
import type { Piece } from '../../../src/policy/resolve/piece.ts';
import { runs } from '../../support/property_runs.ts';

const path = fc.constantFrom('/a', '/b', '/c', null);
/** Without a repetition no list is lost. */
const http = fc.uniqueArray(path, { minLength: 1, maxLength: 4 });
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
        const atOnce = outcome(() => mergePieces(pieces).pieces[0] as Piece);
        const inTurn = outcome(() =>
          others.reduce((merged, piece) => mergePieces([merged, piece]).pieces[0] as Piece, first),
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

describe('lists that have a rule twice', () => {
  const paths = fc.oneof(
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 8, arbitrary: fc.array(path, { minLength: 1, maxLength: 3 }) },
    { weight: 8, arbitrary: fc.array(fc.constantFrom('/a', '/b'), { minLength: 2, maxLength: 2 }) },
  );

  it('are merged as the agent merges them: what it passes over is lost', () => {
    let lostCount = 0;
    fc.assert(
      fc.property(fc.array(paths, { minLength: 1, maxLength: 5 }), (lists) => {
        const pieces = lists.map((l7, index) =>
          pieceOf({ l7, names: [], isTlsTerminated: false, listener: null }, index),
        );
        const { pieces: merged, lost } = mergePieces(pieces);
        expect(pathsOf((merged[0] as Piece).l7)).toEqual(mergedByAgent(lists));
        lostCount += lost.length;
      }),
      RUNS,
    );
    expect(lostCount).toBeGreaterThan(RUNS.numRuns / 100);
  });

  it('are so whatever their policies are called: clusterwide ones come first', () => {
    const draft = { names: [], isTlsTerminated: false, listener: null };
    const twice = pieceOf({ ...draft, l7: ['/a', '/a'] }, 0);
    const other = pieceOf({ ...draft, l7: ['/a', '/b'] }, 1);
    const of = (piece: Piece, policy: string): Piece => ({
      ...piece,
      origin: { ...piece.origin, policy },
    });
    const merge = (...pieces: readonly Piece[]): readonly (string | null)[] | null =>
      pathsOf((mergePieces(pieces).pieces[0] as Piece).l7);
    expect(merge(of(twice, 'a/p'), of(other, 'b/p'))).toEqual(['/a']);
    expect(merge(of(twice, 'b/p'), of(other, 'a/p'))).toEqual(['/a', '/b']);
    expect(merge(of(twice, 'z'), of(other, 'a/p'))).toEqual(['/a']);
    expect(merge(of(twice, 'a/p'), of(other, 'z'))).toEqual(['/a', '/b']);
  });

  it('are lost only beside the same server names and TLS contexts', () => {
    const tls: Draft = {
      l7: ['/a', '/a'],
      names: ['a.test'],
      isTlsTerminated: true,
      listener: null,
    };
    const twice = pieceOf(tls, 0);
    const lost = (other: Partial<Draft>): number =>
      mergePieces([twice, pieceOf({ ...tls, l7: ['/a', '/b'], ...other }, 1)]).lost.length;
    expect(lost({})).toBe(1);
    expect(lost({ names: ['b.test'] })).toBe(0);
    expect(lost({ names: [] })).toBe(0);
    expect(lost({ isTlsTerminated: false })).toBe(0);
  });
});

type Paths = readonly (string | null)[];

/** rule.go mergePortProto with PortRulesHTTP.DeepEqual, word for word, on lists of paths; null: no list. */
function mergedByAgent(lists: readonly (Paths | null)[]): Paths {
  let existing: (string | null)[] | null = null;
  for (const [index, next] of lists.entries()) {
    if (index === 0) {
      existing = next === null ? null : [...next];
      continue;
    }
    const isEqual =
      existing === null || next === null
        ? existing === next
        : existing.length === next.length && existing.every((rule) => next.includes(rule));
    if (isEqual) continue;
    const merged: (string | null)[] = [...(existing ?? next ?? [])];
    for (const rule of existing === null || next === null ? [null] : next) {
      if (!merged.includes(rule)) merged.push(rule);
    }
    existing = merged;
  }
  return [...new Set(existing ?? [])].sort();
}

function pathsOf(l7: L7Rules): Paths {
  if (l7.kind !== 'http') return [];
  const found = l7.rules.map(({ matchers: [matcher] }) =>
    matcher?.value.kind === 'regex' ? matcher.value.pattern : null,
  );
  return found.sort();
}

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
  return mergePieces([piece]).pieces[0] as Piece;
}
