/** docs/configuration.md tells every field, with the default and the range that the code has. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { referenceSections, withReference } from '../../src/config/reference.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

describe('docs/configuration.md', () => {
  it('has the tables that `node src/config/print_reference.ts docs/configuration.md` prints', () => {
    expect(page).toBe(withReference(page));
  });

  it.each(referenceSections())('has a table of section "%s"', (section) => {
    expect(page).toContain(`<!-- table: ${section} -->\n| field |`);
  });
});
