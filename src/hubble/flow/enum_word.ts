import type { DescEnum } from '@bufbuild/protobuf';

/** As the .proto file names the value; one that it does not know is its number, as in JSON. */
export function enumWord(schema: DescEnum, value: number): string {
  return schema.value[value]?.name ?? String(value);
}
