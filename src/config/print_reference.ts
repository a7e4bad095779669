/**
 * Makes the tables of a page anew and prints the page:
 *
 *     node src/config/print_reference.ts docs/configuration.md > new && mv new docs/configuration.md
 */
import { readFileSync } from 'node:fs';
import { withReference } from './reference.ts';

process.stdout.write(
  withReference(readFileSync(process.argv[2] ?? 'docs/configuration.md', 'utf8')),
);
