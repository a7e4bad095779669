/** A scenario on the page: its warnings, its table, what made the load. */
import { escapeHtml } from './html.ts';
import type { Look, Looks } from './looks.ts';
import { markAt } from './plot_lines.ts';
import { FIGURES, type FigureName, type Row, type Scenario } from './report.ts';
import { figureText, ratioText, ratioToReference, spreadText, summarise } from './summary.ts';

export function renderScenario(scenario: Scenario, looks: Looks, id: string): string {
  const rows = scenario.rows.map((row) => renderRow(scenario, row, looks));
  return `<section class="scenario" id="${id}">
<h3>${escapeHtml(scenario.title)}</h3>
${warningBox(scenario)}<div class="scroll"><table>
<thead><tr><th scope="col">subject</th>${headCells(scenario)}</tr></thead>
<tbody>
${rows.join('')}</tbody>
</table></div>
${loadDetails(scenario)}</section>
`;
}

function warningBox({ warnings }: Scenario): string {
  if (warnings.length === 0) return '';
  const items = warnings.map((warning) => `<li>${escapeHtml(warning)}</li>\n`);
  return `<div class="warn" role="note"><ul>\n${items.join('')}</ul></div>\n`;
}

function headCells({ figures, reference }: Scenario): string {
  const cells = figures.map((name) => {
    const { label, unit, isLowerBetter } = FIGURES[name];
    const better = isLowerBetter ? 'less is better' : 'more is better';
    return `<th scope="col" title="${better}">${escapeHtml(label)}<small>${escapeHtml(unit) || '&nbsp;'}</small></th>`;
  });
  const ratio =
    reference === null || figures.length === 0
      ? []
      : [`<th scope="col">of<small>${escapeHtml(reference)}</small></th>`];
  const [leading, ...others] = cells;
  return [leading, ...ratio, ...others, '<th scope="col">rounds</th>'].join('');
}

function renderRow(scenario: Scenario, row: Row, looks: Looks): string {
  const [leading, ...others] = scenario.figures;
  const isReference = row.subject === scenario.reference;
  const cells = leading === undefined ? [] : leadingCells(scenario, row, leading, looks);
  const rest = others.map((name) => `<td>${figureCell(row, name)}</td>`);
  const name = `<th scope="row">${swatch(looks.of(row.subject))}${escapeHtml(row.subject)}</th>`;
  const kind = isReference ? ' class="reference"' : '';
  return `<tr${kind}>${name}${[...cells, ...rest].join('')}<td>${row.samples.length}</td></tr>\n`;
}

/** The figure that the scenario is about, with a bar, and the ratio beside it. */
function leadingCells(
  scenario: Scenario,
  row: Row,
  name: FigureName,
  looks: Looks,
): readonly string[] {
  const own = summarise(row.samples, name)?.median ?? 0;
  const most = Math.max(0, ...scenario.rows.map((r) => summarise(r.samples, name)?.median ?? 0));
  const part = most > 0 ? Math.max(0, own / most) * 100 : 0;
  const { colour } = looks.of(row.subject);
  const bar = `<svg viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true"><rect width="${part.toFixed(1)}" height="5" class="bar ${colour}"/></svg>`;
  const cells = [`<td class="leading">${figureCell(row, name, bar)}</td>`];
  if (scenario.reference !== null) {
    cells.push(`<td>${ratioText(ratioToReference(scenario, row, name))}</td>`);
  }
  return cells;
}

/** All rounds are told under the pointer: whoever doubts a median sees what it is of. */
function figureCell(row: Row, name: FigureName, bar = ''): string {
  const summary = summarise(row.samples, name);
  if (summary === null) return '–';
  const rounds = summary.values.map((value) => figureText(name, value)).join(' · ');
  return `<span title="rounds: ${rounds}">${figureText(name, summary.median)}</span>${bar}<small>${spreadText(summary) || '&nbsp;'}</small>`;
}

export function swatch(look: Look): string {
  return `<svg class="swatch" viewBox="0 0 12 12" aria-hidden="true">${markAt(6, 6, look)}</g></svg>`;
}

function loadDetails({ load }: Scenario): string {
  if (load.length === 0) return '';
  return `<details><summary>What made the load</summary>
<pre><code>${escapeHtml(load.join('\n'))}</code></pre>
</details>
`;
}
