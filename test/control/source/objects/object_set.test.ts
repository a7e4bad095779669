/** Histories of good and bad forms, beside a model that remembers the last good form of each object. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DecodeOptions } from '../../../../src/control/decode/context.ts';
import { formatHolder } from '../../../../src/control/decode/place.ts';
import type { PolicyDocument } from '../../../../src/control/decode/policy_document.ts';
import { decodePolicyObject } from '../../../../src/control/decode/policy_object.ts';
import {
  type ApiObject,
  type GoodObject,
  keyOf,
  ObjectSet,
  type StoredObject,
  type Surroundings,
} from '../../../../src/control/source/objects/object_set.ts';
import { INVALID_POLICY, type InvalidPolicy } from '../../../../src/model/invalid_policy.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { EMPTY_INVENTORY } from '../../../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../../../src/regex/re2_engine.ts';
import { cnpObject, opens } from '../../../support/objects.ts';
import { runs } from '../../../support/property_runs.ts';

const decode: DecodeOptions = {
  limits: DEFAULT_LIMITS,
  regexEngine: createRe2Engine(DEFAULT_LIMITS),
};
const SURROUNDINGS: Surroundings = {
  inventory: EMPTY_INVENTORY,
  secrets: new Map(),
  documents: [],
  warnings: [],
};

const FORMS: readonly { readonly isGood: boolean; readonly spec: unknown }[] = [
  { isGood: true, spec: opens('api', 80) },
  { isGood: true, spec: opens('api', 81) },
  { isGood: false, spec: { ...opens('api', 80), ingres: [] } },
  { isGood: false, spec: { endpointSelector: 5, ingress: [{}] } },
  { isGood: false, spec: null },
];

type Step =
  | { readonly kind: 'put'; readonly name: string; readonly form: number; readonly uid: number }
  | { readonly kind: 'remove'; readonly name: string };

const names = fc.constantFrom('a', 'b', 'c');
const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        name: names,
        form: fc.nat(FORMS.length - 1),
        uid: fc.nat(1),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), name: names }) },
  ),
  { minLength: 1, maxLength: 20 },
);

interface Modelled {
  readonly uid: number;
  readonly form: number;
  /** The last good form of this object. */
  readonly good: number | null;
}

describe('a set of objects', () => {
  it.each(INVALID_POLICY)('has what the last good form of each says (%s)', (invalidPolicy) => {
    const seen = { 'last-good': 0, absent: 0, deny: 0, good: 0 };
    fc.assert(
      fc.property(steps, (history) => {
        const set = new ObjectSet({ decode, invalidPolicy });
        const model = new Map<string, Modelled>();
        for (const step of history) {
          take(set, model, step);
          const { documents, refused } = set.snapshot(SURROUNDINGS);
          expect(documents.map(shown).toSorted()).toEqual(expected(model, invalidPolicy));
          expect(refused.map(({ place }) => formatHolder(place)).toSorted()).toEqual(
            bad(model).map(([name]) => `CiliumNetworkPolicy shop/${name}`),
          );
          for (const { inForce } of refused) seen[inForce]++;
          seen.good += documents.length;
          // Where one set ends another begins from nothing: without a memory of good forms.
          const fresh = restarted(model, invalidPolicy);
          expect(fresh).toEqual(expected(forgotten(model), invalidPolicy));
          set.settle();
        }
      }),
      runs(150),
    );
    const kinds = ['last-good', invalidPolicy, 'good'] as const;
    expect(Math.min(...kinds.map((kind) => seen[kind]))).toBeGreaterThan(50);
  });

  it.each(['stored', 'lostForms'] as const)(
    'who goes on with the good forms of before (%s) has the same set, whatever happened',
    (kept) => {
      fc.assert(
        fc.property(fc.constantFrom(...INVALID_POLICY), steps, (invalidPolicy, history) => {
          const set = new ObjectSet({ decode, invalidPolicy });
          const model = new Map<string, Modelled>();
          for (const step of history) {
            take(set, model, step);
            set.settle();
          }
          const next = new ObjectSet({ decode, invalidPolicy });
          next.seed(kept === 'stored' ? goodOf(set.stored()) : set.lostForms());
          for (const [name, one] of model) next.put(objectOf(name, one));
          const [before, after] = [set, next].map((one) => one.snapshot(SURROUNDINGS));
          expect(after?.documents.map(shown).toSorted()).toEqual(
            before?.documents.map(shown).toSorted(),
          );
          expect(after?.refused.map(({ inForce }) => inForce).toSorted()).toEqual(
            before?.refused.map(({ inForce }) => inForce).toSorted(),
          );
        }),
        runs(100),
      );
    },
  );

  it('the good form of an object that was deleted and made anew says nothing of the new one', () => {
    const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
    const one = cnpObject('shop', 'a', opens('api', 80));
    set.seed([one]);
    set.put({ ...cnpObject('shop', 'a', null), ref: { ...one.ref, uid: 'another' } });
    expect(set.snapshot(SURROUNDINGS)).toMatchObject({
      documents: [],
      refused: [{ inForce: 'absent' }],
    });
  });

  it('one more than there is room for is left out, and told to be', () => {
    const limits = { ...DEFAULT_LIMITS, kubePolicyCountMax: 2 };
    const set = new ObjectSet({ decode: { ...decode, limits }, invalidPolicy: 'absent' });
    const [a, b, c] = ['a', 'b', 'c'].map((name) => cnpObject('shop', name, opens('api', 80)));
    for (const one of [a, b, c]) set.put(one as ApiObject);
    expect([set.leftCount, set.hasRoomAgain]).toEqual([1, false]);
    set.put(cnpObject('shop', 'b', opens('api', 81)));
    expect(set.leftCount).toBe(1);
    set.remove((a as ApiObject).ref);
    expect([set.leftCount, set.hasRoomAgain]).toEqual([1, true]);
    set.put(c as ApiObject);
    expect(set.leftCount).toBe(0);
    expect(set.snapshot(SURROUNDINGS).documents.map(({ name }) => name)).toEqual([
      'shop/b',
      'shop/c',
    ]);
  });

  it('what a file has is the file’s: the object of its name is refused, and back when the file has gone', () => {
    const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
    set.put(cnpObject('shop', 'a', opens('api', 80)));
    set.put(cnpObject('shop', 'b', opens('api', 81)));
    const file = documentOf(cnpObject('shop', 'a', opens('api', 90)));
    set.shadow([file]);
    const shadowed = set.snapshot({ ...SURROUNDINGS, documents: [file] });
    expect(shadowed.documents.map(({ name }) => name)).toEqual(['shop/a', 'shop/b']);
    expect(shadowed.documents[0]).toBe(file);
    expect(shadowed.refused).toMatchObject([
      { place: { name: 'a' }, inForce: 'absent', problems: [{ field: '' }] },
    ]);
    expect(set.pending()).toEqual(['CiliumNetworkPolicy shop/b']);
    set.settle();
    set.shadow([file]);
    // The same object, so that it is told once.
    expect(set.snapshot(SURROUNDINGS).refused[0]).toBe(shadowed.refused[0]);
    set.shadow([]);
    expect(set.pending()).toEqual(['CiliumNetworkPolicy shop/a']);
    expect(set.snapshot(SURROUNDINGS).refused).toEqual([]);
  });

  it('an unchanged object is the same document, and the same version is not decoded again', () => {
    const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
    const one = { ...cnpObject('shop', 'a', opens('api', 80)), version: '1' };
    expect(set.put(one)).toBe(true);
    set.put(cnpObject('shop', 'b', opens('api', 81)));
    const [first] = set.snapshot(SURROUNDINGS).documents;
    expect(set.put({ ...one, object: 'not even looked at' })).toBe(false);
    set.put(cnpObject('shop', 'b', opens('api', 82)));
    expect(set.snapshot(SURROUNDINGS).documents[0]).toBe(first);
  });

  it('a form that was decoded and never in force is no good form', () => {
    const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
    set.put(cnpObject('shop', 'a', opens('api', 80)));
    set.put(cnpObject('shop', 'a', null));
    expect(set.snapshot(SURROUNDINGS)).toMatchObject({
      documents: [],
      refused: [{ inForce: 'absent' }],
    });
  });

  it('what is not in a new listing is gone', () => {
    const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
    const [a, b] = [cnpObject('shop', 'a', opens('api', 80)), cnpObject('shop', 'b', null)];
    for (const one of [a, b]) set.put(one);
    set.retain([a.ref]);
    expect(set.snapshot(SURROUNDINGS)).toMatchObject({
      refused: [],
      documents: [{ name: 'shop/a' }],
    });
  });
});

function goodOf(stored: readonly StoredObject[]): readonly GoodObject[] {
  return stored.flatMap(({ ref, good }) => (good === null ? [] : [{ ref, object: good }]));
}

function take(set: ObjectSet, model: Map<string, Modelled>, step: Step): void {
  if (step.kind === 'remove') {
    set.remove(objectOf(step.name, { form: 0, uid: 0 }).ref);
    model.delete(step.name);
    return;
  }
  set.put(objectOf(step.name, step));
  const before = model.get(step.name);
  const good = before?.uid === step.uid ? before.good : null;
  const isGood = FORMS[step.form]?.isGood === true;
  model.set(step.name, { ...step, good: isGood ? step.form : good });
}

function bad(model: ReadonlyMap<string, Modelled>): readonly (readonly [string, Modelled])[] {
  return [...model].filter(([, { form }]) => FORMS[form]?.isGood !== true).toSorted();
}

/** As after a restart: of what is bad now, nobody remembers a good form. */
function forgotten(model: ReadonlyMap<string, Modelled>): ReadonlyMap<string, Modelled> {
  return new Map(
    [...model].map(([name, one]) => [name, FORMS[one.form]?.isGood ? one : { ...one, good: null }]),
  );
}

function restarted(
  model: ReadonlyMap<string, Modelled>,
  invalidPolicy: InvalidPolicy,
): readonly string[] {
  const set = new ObjectSet({ decode, invalidPolicy });
  for (const [name, one] of model) set.put(objectOf(name, one));
  return set.snapshot(SURROUNDINGS).documents.map(shown).toSorted();
}

function expected(
  model: ReadonlyMap<string, Modelled>,
  invalidPolicy: InvalidPolicy,
): readonly string[] {
  return [...model]
    .flatMap(([name, { good }]) => {
      if (good !== null) return [shown(documentOf(objectOf(name, { form: good, uid: 0 })))];
      return invalidPolicy === 'deny' ? [`shop/${name} denies`] : [];
    })
    .toSorted();
}

function documentOf({ object, ref }: ApiObject): PolicyDocument {
  const decoded = decodePolicyObject(object, ref, decode);
  if (decoded.kind === 'refused') throw new Error(`${keyOf(ref)} is refused`);
  return decoded.document;
}

function objectOf(name: string, { form, uid }: Pick<Modelled, 'form' | 'uid'>): ApiObject {
  const one = cnpObject('shop', name, FORMS[form]?.spec);
  return { ...one, ref: { ...one.ref, uid: String(uid) } };
}

function shown({ name, specs }: PolicyDocument): string {
  const isDenying = specs.every(
    ({ rules, enableDefaultDeny }) =>
      rules.length === 0 && enableDefaultDeny.ingress && enableDefaultDeny.egress,
  );
  if (isDenying) return `${name} denies`;
  const rules = specs.flatMap((spec) => spec.rules);
  return `${name} opens ${rules.flatMap(({ ports }) => ports?.flatMap((one) => one.ports?.map(({ port }) => port)) ?? []).join()}`;
}
