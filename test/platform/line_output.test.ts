/** Whatever a descriptor does to writes, and however often another takes its place: every line once, whole, in order. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countLines, LineOutput } from '../../src/platform/line_output.ts';
import { ManualPlatform } from '../observe/records.ts';

type Outcome =
  /** So much of it, as a share. */
  | { readonly kind: 'some'; readonly share: number }
  | { readonly kind: 'error'; readonly code: 'EAGAIN' | 'ENOSPC' | 'EIO' };

type Step = Outcome | { readonly kind: 'move' };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('some'),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('error'),
      code: fc.constantFrom('EAGAIN', 'ENOSPC', 'EIO'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('move') }) },
) as fc.Arbitrary<Step>;

const anyPiece = fc
  .array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 6 }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((lines) => lines.map((line) => `${line}\n`).join(''));

describe('what is written', () => {
  it('is every line once and in order; only a file that was left may end in a part of the next', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(anyPiece)),
        fc.array(anyStep, { maxLength: 60 }),
        (batches, steps) => {
          const files = new FakeFiles();
          const output = files.output();
          let next = 0;
          const writeNext = (): void => {
            const pieces = batches[next++];
            if (pieces !== undefined) output.write(pieces.map((piece) => Buffer.from(piece)));
          };
          const whole: Outcome = { kind: 'some', share: 1 };
          for (const step of [...steps, ...batches.flatMap(() => [whole, whole, whole])]) {
            if (!output.isBusy) writeNext();
            if (step.kind === 'move') output.moveTo(files.open());
            else files.end(step);
            files.platform.fire();
          }
          const left = files.opened
            .slice(0, -1)
            .map(({ text }) => text.slice(0, text.lastIndexOf('\n') + 1));
          const current = files.opened.at(-1)?.text ?? '';
          expect(left.join('') + current).toBe(batches.slice(0, next).flat().join(''));
          expect(output.byteLength).toBe(0);
          const closed = files.opened.map(({ closeCount }) => closeCount);
          expect(closed.slice(0, -1).every((count) => count === 1)).toBe(true);
          expect(closed.at(-1)).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is tried again although no further line comes', () => {
    const files = new FakeFiles();
    const output = files.output();
    output.write([Buffer.from('one\ntwo\n')]);
    for (let i = 0; i < 3; i++) {
      files.end({ kind: 'error', code: 'ENOSPC' });
      expect(files.isUnderWay).toBe(false);
      files.platform.fire();
      expect(files.isUnderWay).toBe(true);
    }
    files.end({ kind: 'some', share: 1 });
    expect(files.opened[0]?.text).toBe('one\ntwo\n');
    expect(files.errorCount).toBe(3);
    expect(files.writtenCount).toBe(1);
  });

  it('is given up and counted when the reader is gone; another one gets what comes later', () => {
    const files = new FakeFiles();
    const output = files.output();
    for (const count of [1, 2]) {
      output.write([Buffer.from('1\n2\n'), Buffer.from('3\n4\n')]);
      files.end({ kind: 'some', share: 3 / 8 });
      files.end({ kind: 'error', code: 'EPIPE' });
      expect(files.goneLineCounts).toEqual(Array.from({ length: count }, () => 3));
      expect([output.isBusy, output.isGone, output.byteLength]).toEqual([true, true, 0]);
      files.platform.fire();
      expect([output.isBusy, output.isGone, files.writtenCount]).toEqual([false, false, count]);
    }
    output.write([Buffer.from('5\n')]);
    files.end({ kind: 'some', share: 1 });
    expect(files.opened[0]?.text).toBe('1\n21\n25\n');
  });

  it('is let go at once when it is closed without a reader', () => {
    const files = new FakeFiles();
    const output = files.output();
    output.write([Buffer.from('1\n')]);
    files.end({ kind: 'error', code: 'EPIPE' });
    output.close();
    files.platform.fire();
    expect([files.opened[0]?.closeCount, files.writtenCount]).toEqual([1, 0]);
  });

  it('goes in writes that the kernel takes whole where others write, too', () => {
    const lines = [1, 4000, 100, 9000, 4096, 4095, 1, 5000].map(
      (length, index) => `${String(index).repeat(length - 1)}\n`,
    );
    const files = new FakeFiles();
    const output = files.output({ isShared: true });
    output.write([Buffer.from(lines.slice(0, 5).join('')), Buffer.from(lines.slice(5).join(''))]);
    while (files.isUnderWay) files.end({ kind: 'some', share: 1 });
    const [file] = files.opened;
    expect(file?.text).toBe(lines.join(''));
    expect(files.writes.map(({ length }) => length)).toEqual([4001, 100, 9000, 4096, 4096, 5000]);
  });

  it('and abandoned is told, but for what is with the kernel already', () => {
    const files = new FakeFiles();
    const output = files.output();
    output.write([Buffer.from('1\n2\n'), Buffer.from('3\n4\n')]);
    files.end({ kind: 'some', share: 5 / 8 });
    expect(countLines(output.abandon())).toBe(2);
    output.close();
    expect(files.opened[0]?.closeCount).toBe(0);
    files.end({ kind: 'some', share: 1 });
    expect(files.opened[0]?.closeCount).toBe(1);
    output.moveTo(files.open());
    expect(files.opened[1]?.closeCount).toBe(1);
  });
});

/** Files by number whose writes end as the test says, when it says so. */
class FakeFiles {
  readonly platform = new ManualPlatform();
  readonly opened: { text: string; closeCount: number }[] = [{ text: '', closeCount: 0 }];
  readonly goneLineCounts: number[] = [];
  readonly writes: Buffer[] = [];
  errorCount = 0;
  writtenCount = 0;
  #finish:
    | ((outcome: Outcome | { readonly kind: 'error'; readonly code: 'EPIPE' }) => void)
    | null = null;

  get isUnderWay(): boolean {
    return this.#finish !== null;
  }

  open(): number {
    return this.opened.push({ text: '', closeCount: 0 }) - 1;
  }

  output(options: { readonly isShared?: boolean } = {}): LineOutput {
    return new LineOutput(0, {
      ...options,
      timers: this.platform.timers,
      onWritten: () => this.writtenCount++,
      onError: () => this.errorCount++,
      onGone: (lineCount) => this.goneLineCounts.push(lineCount),
      system: {
        writev: (fd, pieces, done) => {
          this.#finish = (outcome) => {
            if (outcome.kind === 'error') {
              done(Object.assign(new Error(outcome.code), { code: outcome.code }), 0);
              return;
            }
            const bytes = Buffer.concat(pieces);
            this.writes.push(bytes);
            const length = Math.round(bytes.length * outcome.share);
            const file = this.opened[fd];
            if (file === undefined || file.closeCount > 0)
              throw new Error('written to what is closed');
            file.text += bytes.toString('latin1', 0, length);
            done(null, length);
          };
        },
        close: (fd) => {
          const file = this.opened[fd];
          if (file !== undefined) file.closeCount++;
        },
      },
    });
  }

  /** The write that is under way, if there is one. */
  end(outcome: Outcome | { readonly kind: 'error'; readonly code: 'EPIPE' }): void {
    const finish = this.#finish;
    this.#finish = null;
    finish?.(outcome);
  }
}
