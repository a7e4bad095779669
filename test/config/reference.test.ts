/** docs/configuration.md tells every field, with the default and the range that the code has. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { decodeConfig, loadConfig } from '../../src/config/load.ts';
import { referenceSections, withReference } from '../../src/config/print_reference.ts';

const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

describe('docs/configuration.md', () => {
  it('has the tables that `node src/config/print_reference.ts docs/configuration.md` prints', () => {
    expect(page).toBe(withReference(page));
  });

  it.each(referenceSections())('has a table of section "%s"', (section) => {
    expect(page).toContain(`<!-- table: ${section} -->\n| field |`);
  });
});

describe('examples/standalone/sallyport.yaml', () => {
  it('is valid', () => {
    const path = fileURLToPath(
      new URL('../../examples/standalone/sallyport.yaml', import.meta.url),
    );
    expect(loadConfig({ path, env: {}, cwd: '/', flags: [] })).toMatchObject({ kind: 'config' });
  });

  it('every YAML block of docs/configuration.md is valid', () => {
    const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) {
      const surroundings = { path: '/c.yaml', shownPath: 'c.yaml', env: {}, cwd: '/', flags: [] };
      const result = decodeConfig(block, surroundings);
      expect(result.kind === 'rejected' ? result.problems : []).toEqual([]);
    }
  });
});
