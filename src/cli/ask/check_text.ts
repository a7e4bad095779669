/** Findings as lines for a person: all that are few, those of one kind summed up where they are many. */
import { formatProblem } from '../../control/decode/problem.ts';
import { shownLine } from '../../model/shown_text.ts';
import type { FindingId, FindingSeverity } from '../../policy/lint/finding_kinds.ts';
import type { Io } from '../io.ts';
import { type Colour, paint } from '../terminal.ts';
import type { CheckFinding } from './check_findings.ts';

/** Of one kind; of a severity there are never more kinds than `FINDING_KINDS` has. */
const SHOWN_OF_A_KIND: Readonly<Record<FindingSeverity, number>> = {
  error: 50,
  warning: 10,
  note: 3,
};

const COLOURS = { error: 'red', warning: 'yellow', note: 'cyan' } as const satisfies Record<
  FindingSeverity,
  Colour
>;

export interface CheckResult {
  readonly told: readonly CheckFinding[];
  readonly ignoredCount: number;
  /** "3 files". */
  readonly checked: string;
}

export interface CheckTextOptions {
  readonly isAll: boolean;
  readonly io: Pick<Io, 'hasColour'>;
}

export function checkLines(result: CheckResult, options: CheckTextOptions): string[] {
  const { told, ignoredCount, checked } = result;
  const lines: string[] = [];
  const counts = new Map<FindingId, number>();
  for (const found of told) {
    const count = (counts.get(found.id) ?? 0) + 1;
    counts.set(found.id, count);
    if (options.isAll || count <= SHOWN_OF_A_KIND[found.severity]) {
      lines.push(findingLine(found, options));
    }
  }
  const many = [...counts].flatMap(([id, count]) => {
    const { severity } = told.find((found) => found.id === id) as CheckFinding;
    const more = count - SHOWN_OF_A_KIND[severity];
    return options.isAll || more <= 0
      ? []
      : [`${word(severity, options)}: and ${more} more [${id}]`];
  });
  if (many.length > 0) lines.push(...many, '--all prints all of them.');
  const count = (severity: FindingSeverity): number =>
    told.filter((found) => found.severity === severity).length;
  const ignored = ignoredCount === 0 ? '' : `, ${ignoredCount} ignored`;
  lines.push(
    `${checked}: ${count('error')} errors, ${count('warning')} warnings, ${count('note')} notes${ignored}`,
  );
  return lines;
}

function findingLine(found: CheckFinding, options: CheckTextOptions): string {
  const instead = found.instead === undefined ? '' : `; write: ${found.instead}`;
  const text = shownLine(`${formatProblem(found)}${instead}`);
  return `${word(found.severity, options)}: ${text} [${found.id}]`;
}

function word(severity: FindingSeverity, { io }: CheckTextOptions): string {
  return paint(io, COLOURS[severity], severity);
}
