/** A copy of `src/` that a test may change, and the compiler's word on it. */
import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

export class SourceCopy {
  readonly #root = mkdtempSync(join(tmpdir(), 'sallyport-source-'));

  constructor() {
    const config = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8'));
    cpSync(join(ROOT, 'src'), join(this.#root, 'src'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(this.#root, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(this.#root, 'node_modules'));
    this.write('tsconfig.json', JSON.stringify({ ...config, include: ['src'] }));
  }

  read(file: string): string {
    return readFileSync(join(this.#root, file), 'utf8');
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.#root, file)), { recursive: true });
    writeFileSync(join(this.#root, file), text);
  }

  /** Throws unless `before` is there exactly once. */
  replace(file: string, before: string, after: string): void {
    const parts = this.read(file).split(before);
    if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times:\n${before}`);
    this.write(file, parts.join(after));
  }

  /** What the compiler says: one line an error. */
  async errors(): Promise<readonly string[]> {
    const tsc = join(ROOT, 'node_modules/.bin/tsc');
    const output = await new Promise<string>((done) => {
      execFile(
        tsc,
        ['--pretty', 'false', '-p', this.#root],
        { cwd: this.#root },
        (_error, stdout) => done(stdout),
      );
    });
    return output.split('\n').filter((line) => line !== '');
  }

  remove(): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}
