/**
 * The examples of the documentation are true: YAML blocks that begin with "# NAME" are files, and
 * each "$ sallyport ..." of a console block prints at least the lines that stand below it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCommandLine } from '../../src/cli/command_line.ts';
import { DENY_REASONS } from '../../src/model/decision.ts';
import { testIo } from './test_io.ts';

const DOCS = resolve(import.meta.dirname, '../../docs');

describe.each(['endpoints.md', 'policy-tests.md'])('docs/%s', (name) => {
  const text = readFileSync(join(DOCS, name), 'utf8');

  it('its examples print what it says', async () => {
    const cwd = mkdtempSync(join(tmpdir(), 'sallyport-docs-'));
    try {
      for (const [, file = '', content = ''] of text.matchAll(/```yaml\n# (\S+)\n(.*?)```/gs)) {
        writeFileSync(join(cwd, file), content);
      }
      const commands = commandsOf(text);
      expect(commands.length).toBeGreaterThan(1);
      for (const { argv, output } of commands) {
        const io = testIo({ cwd });
        await runCommandLine(argv, io);
        expect(`${io.stdout.text}${io.stderr.text}`).toContain(output);
      }
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  });

  it('the files that it points to are there', () => {
    for (const [, target = ''] of text.matchAll(/\]\(([^)#]+)\)/g)) {
      expect(() => readFileSync(join(DOCS, target))).not.toThrow();
    }
  });
});

it('the reasons of a denial that docs/policy-tests.md names exist', () => {
  const text = readFileSync(join(DOCS, 'policy-tests.md'), 'utf8');
  const row = /^\| `reason` \|.*$/m.exec(text)?.[0] ?? '';
  const named = [...row.matchAll(/`([a-z-]+)`/g)].map(([, word]) => word).slice(1);
  expect(named.length).toBeGreaterThan(3);
  expect(Object.keys(DENY_REASONS)).toEqual(expect.arrayContaining(named));
});

interface Command {
  readonly argv: readonly string[];
  readonly output: string;
}

function commandsOf(text: string): Command[] {
  return [...text.matchAll(/```console\n(.*?)```/gs)].flatMap(([, block = '']) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const [line = '', ...output] = part.split('\n');
        return { argv: line.split(' ').slice(1), output: output.join('\n') };
      }),
  );
}
