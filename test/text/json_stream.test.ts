import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { textAtKeys } from '../../src/text/cut_json.ts';
import { JsonItems } from '../../src/text/json_items.ts';
import { JsonLines } from '../../src/text/json_lines.ts';
import type { JsonPiece } from '../../src/text/json_piece.ts';
import { runs } from '../support/property_runs.ts';

const LIMITS = { ...DEFAULT_LIMITS, kubeObjectBytesMax: 100_000 };

/** Cut at these places, as the network likes. */
function chunksOf(text: string, cuts: readonly number[]): readonly Buffer[] {
  const bytes = Buffer.from(text);
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length));
}

function valuesOf(pieces: Iterable<JsonPiece>): unknown[] {
  return [...pieces].map((piece) => (piece.kind === 'value' ? piece.value : `! ${piece.message}`));
}

function linesOf(text: string, cuts: readonly number[] = [], limits = LIMITS): unknown[] {
  const lines = new JsonLines(limits);
  return chunksOf(text, cuts).flatMap((chunk) => valuesOf(lines.split(chunk)));
}

function itemsOf(text: string, cuts: readonly number[] = [], limits = LIMITS): readonly unknown[] {
  const items = new JsonItems(limits);
  const elements = chunksOf(text, cuts).flatMap((chunk) => valuesOf(items.split(chunk)));
  return [elements, ...valuesOf([items.rest()])];
}

const cuts = fc.array(fc.nat(), { maxLength: 12 });
const maps = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue());
/** Without white space, with some, and with line breaks. */
const indent = fc.constantFrom(undefined, 1, '\n\t');

describe('a stream of lines', () => {
  it('gives its values, wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(maps), cuts, (values, places) => {
        const text = values.map((value) => `${JSON.stringify(value)}\n`).join('');
        expect(linesOf(text, places)).toEqual(JSON.parse(JSON.stringify(values)));
      }),
      runs(150),
    );
  });

  it('loses only the line that is wrong', () => {
    const text = '{"a":1}\n\r\n \n{"a":\n{"b":]}\n[1\n{"c":2}\n{"d":';
    const [first, ...rest] = linesOf(text);
    expect(first).toEqual({ a: 1 });
    expect(rest.slice(0, 3).map((said) => String(said).charAt(0))).toEqual(['!', '!', '!']);
    expect(rest.slice(3)).toEqual([{ c: 2 }]);
  });

  it('says nothing of what it cannot read: it may be a secret', () => {
    expect(linesOf('{"password":hunter2}\n')).toEqual(['! it is no JSON']);
    const deep = `${'['.repeat(200)}"hunter2"`;
    expect(String(linesOf(`${deep}\n`))).toMatch(/^! lists and maps are nested deeper[^"]*$/);
  });

  it('loses only the line that is too long, and keeps how it begins', () => {
    const limits = { ...LIMITS, kubeObjectBytesMax: 1000 };
    for (const place of [0, 500, 1500]) {
      const lines = new JsonLines(limits);
      const text = `{"a":1}\n{"name":"long","x":"${'y'.repeat(2000)}"}\n{"b":2}\n`;
      const pieces = chunksOf(text, [place]).flatMap((chunk) => [...lines.split(chunk)]);
      expect(valuesOf(pieces)).toEqual([
        { a: 1 },
        '! it has more bytes than kubeObjectBytesMax allows (1000)',
        { b: 2 },
      ]);
      const long = pieces[1];
      expect(long?.kind === 'unreadable' && textAtKeys(long.head, ['name'])).toBe('long');
    }
  });
});

describe('a list as it arrives', () => {
  it('gives its elements and the rest, wherever it is cut and whatever is around them', () => {
    fc.assert(
      fc.property(
        fc.array(maps),
        maps,
        maps,
        cuts,
        indent,
        (items, before, after, places, space) => {
          const { items: _, ...around } = after;
          const list = { ...before, items, ...around };
          const text = `${JSON.stringify(list, null, space)}\n`;
          const [elements, rest] = itemsOf(text, places);
          expect(elements).toEqual(JSON.parse(JSON.stringify(items)));
          expect(rest).toEqual(JSON.parse(JSON.stringify({ ...list, items: [] })));
        },
      ),
      runs(150),
    );
  });

  it.each([
    ['{"items":null,"metadata":{"a":[{}]}}', [[], { items: null, metadata: { a: [{}] } }]],
    ['{"metadata":{"items":[{}]},"items":[]}', [[], { metadata: { items: [{}] }, items: [] }]],
    [
      '{"x":[{"items":[{}]}],"items" : [ {"a":"]}\\\\\\""} ]}',
      [[{ a: ']}\\"' }], { x: [{ items: [{}] }], items: [] }],
    ],
    ['{"items":[{"a":1}', [[{ a: 1 }], '!']],
    ['{"items":[{"a":1},{"b":', [[{ a: 1 }], '!']],
    ['', [[], '!']],
  ])('%# is read as %s says', (text, expected) => {
    const shown = itemsOf(text).map((part) => (String(part).startsWith('!') ? '!' : part));
    expect(shown).toEqual(expected);
  });

  it('loses only the element that is wrong or too long', () => {
    const limits = { ...LIMITS, kubeObjectBytesMax: 1000 };
    const text = `{"items":[{"a":1},{"x":"${'y'.repeat(2000)}"},{"b":},{"c":3}],"kind":"L"}`;
    const [elements, rest] = itemsOf(text, [100], limits);
    const shown = (elements as unknown[]).map((part) => (typeof part === 'string' ? '!' : part));
    expect(shown).toEqual([{ a: 1 }, '!', '!', { c: 3 }]);
    expect(rest).toEqual({ items: [], kind: 'L' });
  });
});

describe('a text in JSON that is cut', () => {
  it('tells what stands before the cut, and nothing else', () => {
    fc.assert(
      fc.property(maps, fc.string(), fc.nat(), (around, name, cut) => {
        const object = {
          ...around,
          metadata: { labels: { name: 'x' }, list: [{ name: 'y' }], name },
        };
        const text = JSON.stringify({ object });
        const end = text.length - 3 - (JSON.stringify({ name }).length - 9);
        const found = textAtKeys(text.slice(0, cut % (text.length + 1)), [
          'object',
          'metadata',
          'name',
        ]);
        if (cut % (text.length + 1) >= end + JSON.stringify(name).length) expect(found).toBe(name);
        else expect([null, name]).toContain(found);
      }),
      runs(150),
    );
  });

  it.each(['', '"', '{"a', '{"a"', '{"a":', '}]}"x"', '[["a"', '{"metadata":{"name":"\\'])(
    'of %s tells nothing',
    (text) => {
      expect(textAtKeys(text, ['metadata', 'name'])).toBe(null);
    },
  );
});
