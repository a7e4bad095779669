/**
 * Trailers of either direction, by the rule that HTTP/1.1 has, too (model/trailer_fields.ts). What may not stand
 * there is refused in a request and left out of a response; what is left out cannot go on as the block that came.
 */
import { type Cause, causeOf } from '../../model/fault_detail.ts';
import { type TrailerRule, trailerAction } from '../../model/trailer_fields.ts';
import { fieldCause } from './field_cause.ts';
import { isRegular } from './field_kind.ts';
import type { FieldSource } from './frame_writer.ts';
import type { HpackDecoder } from './hpack_decoder.ts';

/** What is wrong with them, or null: then `decoder` has what goes on of the block that it has just decoded. */
export function readTrailers(decoder: HpackDecoder, rule: TrailerRule): Cause | null {
  const { fields, kinds } = decoder;
  let dropCount = 0;
  for (let i = 0; i < kinds.length; i++) {
    if (!isRegular(kinds[i] as number)) return fieldCause(decoder, i);
    const action = trailerAction(fields[2 * i] as string, rule);
    if (action === 'refuse') return causeOf('trailer-forbidden');
    if (action === 'drop') dropCount++;
  }
  if (dropCount === 0) return null;
  const kept = keptTrailers({ fields, kinds, from: 0 }, rule);
  decoder.fields = [...kept.fields];
  decoder.kinds = [...(kept.kinds ?? [])];
  decoder.isSelfContained = false;
  return null;
}

/** Those that go on. */
export function keptTrailers(source: FieldSource, rule: TrailerRule): FieldSource {
  const fields: string[] = [];
  const kinds: number[] = [];
  for (let i = source.from; i < source.fields.length; i += 2) {
    const name = source.fields[i] as string;
    if (trailerAction(name, rule) !== 'keep') continue;
    fields.push(name, source.fields[i + 1] as string);
    if (source.kinds !== null) kinds.push(source.kinds[i >> 1] as number);
  }
  return { fields, kinds: source.kinds === null ? null : kinds, from: 0 };
}
