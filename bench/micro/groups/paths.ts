/** Paths made normal, as they come and as attackers write them. */
import { normalisePath } from '../../../src/codec/path.ts';
import type { Work, Works } from '../work.ts';

const LONG = `/${'segment/'.repeat(24)}last?${'key=value&'.repeat(12)}z=1`;

export function works(): Works {
  return {
    'normal already, 29 bytes': normalised('/api/v1/items/42?expand=price', 'same'),
    'normal already, 320 bytes': normalised(LONG, 'same'),
    'dot segments and repeated slashes': normalised('/api/./v1//items/../items/42?a=b', 'changed'),
    'percent-encoded': normalised('/api/v1/%7euser/%C3%A4/it%65ms?q=%20x', 'changed'),
    'encoded slash': normalised('/api%2Fv1/..%2fitems', 'redirect'),
    malformed: normalised('/api/v1/items/%zz', 'malformed'),
  };
}

function normalised(path: string, expected: string): Work {
  const bytes = Buffer.from(path, 'latin1');
  return () => {
    const { kind } = normalisePath(bytes);
    if (kind !== expected) throw new Error(`${path}: ${kind}`);
    return kind.length;
  };
}
