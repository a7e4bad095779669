/** Names of DNS and of nodes with `*` in them, as patterns of RE2: nothing of what was given is one by itself. */
import { BadFilterError } from './bad_filter.ts';

const ANY_NAME = '[-0-9_a-z]+(?:\\.[-0-9_a-z]+)*';
const ANY_RUN = '[-.0-9a-z]*';
const CHARACTER = /^[-0-9_a-z]$/;

export function namePattern(text: string): string {
  const name = text.trim().replace(/\.$/, '').toLowerCase();
  if (name === '') throw new BadFilterError('empty pattern');
  if (name.endsWith('.')) throw new BadFilterError('multiple trailing dots in pattern');
  return [...name].map(partOf).join('');
}

/** "node", "cluster/node", "cluster/", "/node". */
export function nodePattern(text: string): string {
  const parts = text.split('/');
  if (text === '') throw new BadFilterError('empty pattern');
  if (parts.length > 2) throw new BadFilterError('too many slashes in pattern');
  const [first = '', second] = parts;
  const [cluster, node] = second === undefined ? ['', first] : [first, second];
  const patternOf = (name: string): string => (name === '' ? ANY_NAME : namePattern(name));
  return `^${patternOf(cluster)}/${patternOf(node)}$`;
}

function partOf(character: string): string {
  if (character === '.') return '\\.';
  if (character === '*') return ANY_RUN;
  if (CHARACTER.test(character)) return character;
  throw new BadFilterError(`${JSON.stringify(character)}: invalid rune in pattern`);
}
