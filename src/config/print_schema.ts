/**
 * The published form of the declaration: JSON Schema 2020-12. As a program it prints what
 * `config.schema.json` holds:
 *
 *     node src/config/print_schema.ts > config.schema.json
 */
import { CONFIG_FIELD } from './declaration.ts';

export function configSchemaText(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Sallyport configuration',
    description:
      'The file that `sallyport run -c` reads. Unknown fields are errors. Relative paths start at the directory of the file.',
    ...CONFIG_FIELD.schema,
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

if (import.meta.main) process.stdout.write(configSchemaText());
