/** An `Io` that keeps what is written. */
import type { Environment, Io } from '../../src/cli/io.ts';

export interface TestIo extends Io {
  readonly stdout: TextCollector;
  readonly stderr: TextCollector;
}

export class TextCollector {
  text = '';

  write(text: string): void {
    this.text += text;
  }
}

export function testIo(options: { stdin?: string; env?: Environment; cwd?: string } = {}): TestIo {
  const stdin = options.stdin ?? '';
  return {
    stdin: (async function* () {
      yield stdin;
    })(),
    stdout: new TextCollector(),
    stderr: new TextCollector(),
    hasColour: false,
    env: options.env ?? {},
    cwd: options.cwd ?? '/',
  };
}
