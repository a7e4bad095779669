/** Trailer sections (RFC 9112 7.1.2) as they are sent on. Which fields go on is `model/trailer_fields.ts`'s to say. */
import { type TrailerRule, trailerAction } from '../../model/trailer_fields.ts';
import { readLines } from './field_lines.ts';

const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

/**
 * The last chunk with those trailers of `raw` (a scanned section) that `rule` lets go on, or without any when
 * they are not forwarded; null when one of them makes the message malformed.
 */
export function lastChunk(raw: Buffer, areForwarded: boolean, rule: TrailerRule): Buffer | null {
  if (raw.length === 2) return LAST_CHUNK;
  const lines = readLines(raw, 0);
  let text = '0\r\n';
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i] as string;
    const action = trailerAction(name, rule);
    if (action === 'refuse') return null;
    if (action === 'keep') text += `${name}: ${lines[i + 1] as string}\r\n`;
  }
  return areForwarded ? Buffer.from(`${text}\r\n`, 'latin1') : LAST_CHUNK;
}
