/** `sallyport version`: what is running, for people and for bug reports. */
import { readFileSync } from 'node:fs';
import { jsonDocument } from '../model/json_document.ts';
import type { Args } from './args.ts';
import { EXIT_OK, type ExitCode, type Io } from './io.ts';
import { yamlText } from './terminal.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const facts = jsonDocument('Version', {
    sallyport: sallyportVersion(),
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform}-${process.arch}`,
  });
  const output = args.value('output') ?? 'table';
  if (output === 'json') io.stdout.write(`${JSON.stringify(facts)}\n`);
  else if (output === 'yaml') io.stdout.write(yamlText(facts));
  else io.stdout.write(`${versionLine()}\n`);
  return EXIT_OK;
}

/** One line: "sallyport 0.1.0 (node 26.1.0, linux-x64)". */
export function versionLine(): string {
  return `sallyport ${sallyportVersion()} (node ${process.versions.node}, ${process.platform}-${process.arch})`;
}

/** As who we are known to servers: "sallyport/0.1.0 (linux/x64)". */
export function userAgent(): string {
  return `sallyport/${sallyportVersion()} (${process.platform}/${process.arch})`;
}

/** package.json stands beside src/ in a checkout and beside dist/ in a package. */
export function sallyportVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) {
    return String(manifest.version);
  }
  throw new Error('package.json has no version');
}
