/**
 * The tables of docs/configuration.md, from the declaration. Each stands between two markers, so
 * that the prose around it is written by hand. As a program it prints a page with its tables anew:
 *
 *     node src/config/print_reference.ts docs/configuration.md > new && mv new docs/configuration.md
 */
import { readFileSync } from 'node:fs';
import { CONFIG_FIELD } from './declaration.ts';
import type { Field, Member, Members } from './field.ts';

/** `page` with every table between its markers made anew. Throws on a marker of no section. */
export function withReference(page: string): string {
  return page.replace(
    /<!-- table: ([A-Za-z.]*) -->\n[\s\S]*?<!-- end -->/g,
    (_all, path: string) => `<!-- table: ${path} -->\n${table(path)}<!-- end -->`,
  );
}

/** The sections that a page must have: every mapping of the configuration. */
export function referenceSections(): readonly string[] {
  const found: string[] = [];
  const walk = (field: Field<unknown>, path: string): void => {
    const members = field.members ?? elementMembers(field);
    if (members === null) return;
    found.push(path);
    for (const [name, member] of Object.entries(members)) {
      walk(member.field, path === '' ? name : `${path}.${name}`);
    }
  };
  walk(CONFIG_FIELD, '');
  return found;
}

function table(path: string): string {
  const members = membersAt(path);
  const rows = Object.entries(members).map(([name, member]) => {
    const cells = [`\`${name}\``, member.field.form, defaultText(member), member.about];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return ['| field | value | default | |', '|---|---|---|---|', ...rows, ''].join('\n');
}

function membersAt(path: string): Members {
  let field: Field<unknown> = CONFIG_FIELD;
  for (const step of path === '' ? [] : path.split('.')) {
    const member = (field.members ?? elementMembers(field))?.[step];
    if (member === undefined) throw new Error(`no section "${path}" in the configuration`);
    field = member.field;
  }
  const members = field.members ?? elementMembers(field);
  if (members === null) throw new Error(`"${path}" is no section of the configuration`);
  return members;
}

function elementMembers(field: Field<unknown>): Members | null {
  return field.element?.members ?? null;
}

function defaultText(member: Member<unknown>): string {
  if (member.isRequired) return '(required)';
  if (member.default === undefined) return '';
  if (member.field.members !== null) return '';
  return `\`${JSON.stringify(member.default)}\``;
}

if (import.meta.main) {
  const path = process.argv[2] ?? 'docs/configuration.md';
  process.stdout.write(withReference(readFileSync(path, 'utf8')));
}
