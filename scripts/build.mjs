/**
 * Makes dist/ from src/: types are replaced by spaces and `.ts` endings of imports become `.js`, so
 * that lines stay what they are and no compiler is needed. For the package and the image; a
 * checkout runs src/ as it stands.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const SOURCE = join(ROOT, 'src');
const TARGET = process.argv[2] ?? join(ROOT, 'dist');

// The function is marked experimental; what it does is what Node does when it runs a .ts file.
process.removeAllListeners('warning');
process.on('warning', (warning) => {
  if (warning.name !== 'ExperimentalWarning') console.error(warning);
});

rmSync(TARGET, { recursive: true, force: true });
let count = 0;
for (const entry of readdirSync(SOURCE, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const from = join(entry.parentPath, entry.name);
  const to = join(TARGET, relative(SOURCE, from));
  mkdirSync(dirname(to), { recursive: true });
  if (entry.name.endsWith('.ts')) {
    writeFileSync(to.replace(/\.ts$/, '.js'), javaScript(from));
    count++;
  } else {
    cpSync(from, to);
  }
}
console.log(`sallyport: ${count} files in ${relative(process.cwd(), TARGET) || '.'}`);

/** Relative specifiers of imports, of `import()` and of `new URL('./x.ts', import.meta.url)`. */
function javaScript(path) {
  const stripped = stripTypeScriptTypes(readFileSync(path, 'utf8'), { mode: 'strip' });
  return stripped.replace(
    /(\bfrom\s+|\bimport\s*\(?\s*|\bnew URL\()(['"])(\.{1,2}\/[^'"]+)\.ts\2/g,
    (_all, before, quote, specifier) => `${before}${quote}${specifier}.js${quote}`,
  );
}
