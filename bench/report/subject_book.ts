/**
 * Facts of the subjects, gathered over all suites: one entry a name, with each configuration that it had. A
 * port alone does not make another configuration, and of one file only so many are kept.
 */
import type { SubjectFacts } from './report.ts';

type File = SubjectFacts['files'][number];

const VARIANTS_MAX = 4;

export class SubjectBook {
  readonly #byName = new Map<string, SubjectFacts>();

  get subjects(): readonly SubjectFacts[] {
    return [...this.#byName.values()];
  }

  tell(facts: SubjectFacts): void {
    const known = this.#byName.get(facts.name);
    this.#byName.set(facts.name, known === undefined ? facts : merged(known, facts));
  }
}

function merged(known: SubjectFacts, facts: SubjectFacts): SubjectFacts {
  const files = [...known.files];
  for (const file of facts.files) addVariant(files, file);
  const commands = [...known.commands];
  for (const command of facts.commands) {
    const isKnown = commands.some((other) => withoutPorts(other) === withoutPorts(command));
    if (!isKnown && commands.length < VARIANTS_MAX) commands.push(command);
  }
  const versions = known.version.split(' / ');
  const version = versions.includes(facts.version) ? versions : [...versions, facts.version];
  return { name: known.name, version: version.join(' / '), commands, files };
}

function addVariant(files: File[], file: File): void {
  const variants = files.filter(({ name }) => name === file.name || isVariantOf(name, file.name));
  if (variants.some(({ text }) => withoutPorts(text) === withoutPorts(file.text))) return;
  if (variants.length >= VARIANTS_MAX) return;
  const name = variants.length === 0 ? file.name : `${file.name} (${variants.length + 1})`;
  files.push({ name, text: file.text });
}

function isVariantOf(name: string, base: string): boolean {
  return name.startsWith(`${base} (`);
}

function withoutPorts(text: string): string {
  return text.replaceAll(/127\.0\.0\.1:[0-9]+|"port_value": [0-9]+/g, 'ADDRESS');
}
