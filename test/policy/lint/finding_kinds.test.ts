/** docs/findings.md and the code say the same of every kind of finding. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { FINDING_KINDS } from '../../../src/policy/lint/finding_kinds.ts';

const DOCUMENT = resolve(import.meta.dirname, '../../../docs/findings.md');

it('docs/findings.md has a row for each kind, in order, and none for another', () => {
  const rows = readFileSync(DOCUMENT, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  expect(rows).toEqual(
    Object.entries(FINDING_KINDS).map(
      ([id, { severity, about }]) => `| \`${id}\` | ${severity} | ${about} |`,
    ),
  );
});
