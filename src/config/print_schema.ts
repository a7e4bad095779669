/**
 * Prints the JSON Schema of the configuration, which is `config.schema.json`:
 *
 *     node src/config/print_schema.ts > config.schema.json
 */
import { configSchemaText } from './json_schema.ts';

process.stdout.write(configSchemaText());
