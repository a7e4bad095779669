/**
 * The report as a Markdown table for each scenario: for a terminal, an issue, a commit message. What needs a
 * picture or a whole configuration file is in the page.
 */
import type { FigureName, Report, Row, Scenario, SuiteResult } from './report.ts';
import {
  durationText,
  figureText,
  figureTitle,
  machineFacts,
  ratioText,
  ratioToReference,
  spreadText,
  summarise,
} from './summary.ts';

export function renderMarkdown(report: Report): string {
  const blocks = [
    '# Sallyport, measured',
    `${escapeMarkdown(report.startedAt)}, in ${durationText(report.seconds)}, by:`,
    codeBlock([report.command]),
    ...missingBlocks(report),
    table(['machine', ''], machineFacts(report.machine).map(escapeAll)),
    table(
      ['subject', 'version'],
      report.subjects.map(({ name, version }) => escapeAll([name, version])),
    ),
    'Medians of the rounds; ± is the round farthest from the median. Figures of one run compare with each ' +
      'other, not with those of another run or machine.',
    ...report.suites.flatMap(suiteBlocks),
  ];
  return `${blocks.join('\n\n')}\n`;
}

/** Before any figure: who reads the table has to know who is not in it. */
function missingBlocks({ missing }: Report): readonly string[] {
  if (missing.length === 0) return [];
  const lines = missing.map(
    ({ name, why }) => `> * **${escapeMarkdown(name)}**: ${escapeMarkdown(why)}`,
  );
  return [['> **Missing from this run**', '>', ...lines].join('\n')];
}

function suiteBlocks(suite: SuiteResult): readonly string[] {
  return [
    `## ${escapeMarkdown(suite.title)}`,
    escapeMarkdown(suite.about),
    ...suite.scenarios.flatMap(scenarioBlocks),
  ];
}

function scenarioBlocks(scenario: Scenario): readonly string[] {
  const { figures, reference, rows, warnings } = scenario;
  const [leading] = figures;
  const head = ['subject', ...figures.map(figureTitle), 'rounds'];
  if (reference !== null && leading !== undefined) head.push(`of ${reference}`);
  const blocks = [
    `### ${escapeMarkdown(scenario.title)}`,
    table(
      escapeAll(head),
      rows.map((row) => rowCells(scenario, row, leading)),
    ),
  ];
  if (warnings.length > 0) {
    blocks.push(warnings.map((warning) => `* ⚠ ${escapeMarkdown(warning)}`).join('\n'));
  }
  if (scenario.load.length > 0) blocks.push(codeBlock(scenario.load));
  return blocks;
}

function rowCells(scenario: Scenario, row: Row, leading: FigureName | undefined): string[] {
  const cells = [
    escapeMarkdown(row.subject),
    ...scenario.figures.map((name) => figureCell(row, name)),
    String(row.samples.length),
  ];
  if (scenario.reference !== null && leading !== undefined) {
    cells.push(ratioText(ratioToReference(scenario, row, leading)));
  }
  return cells;
}

function figureCell(row: Row, name: FigureName): string {
  const summary = summarise(row.samples, name);
  if (summary === null) return '–';
  return `${figureText(name, summary.median)} ${spreadText(summary)}`.trimEnd();
}

/** The first column is names, the others numbers, unless they are words as well. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const isNumeric = (column: number): boolean =>
    rows.length > 0 && rows.every((row) => /^[-–\d]/.test(row[column] ?? ''));
  const rule = head.map((_, column) => (column > 0 && isNumeric(column) ? '---:' : '---'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function escapeAll(texts: readonly string[]): string[] {
  return texts.map(escapeMarkdown);
}

/** On one line, and never markup: names, versions and warnings come from other programs. */
export function escapeMarkdown(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim()
    .replace(/[\\`*_[\]<>|&~#$!]/g, '\\$&')
    .replace(/^[-+=]|(?<=^\d{1,9})[.)](?=\s|$)/, '\\$&');
}

/** A fence that nothing inside can close. */
function codeBlock(lines: readonly string[]): string {
  const text = lines.join('\n').toWellFormed().replace(/\r/g, '');
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}sh\n${text}\n${fence}`;
}
