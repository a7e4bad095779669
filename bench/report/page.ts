/**
 * The report as one page that needs nothing else: no script, no network, plots as inline SVG. All that comes
 * from a program or a configuration file is text and stays text.
 */
import { escapeHtml, idOf } from './html.ts';
import { type Looks, makeLooks } from './looks.ts';
import { renderScenario, swatch } from './page_scenario.ts';
import { PAGE_STYLE } from './page_style.ts';
import { renderPlot } from './plot.ts';
import type { Report, SubjectFacts, SuiteResult } from './report.ts';
import { durationText, machineFacts } from './summary.ts';

export function renderPage(report: Report): string {
  const looks = looksOf(report);
  const date = escapeHtml(report.startedAt);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Sallyport, measured: ${date}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<div class="layout">
${contents(report)}
<main>
${opening(report)}
${report.suites.map((suite) => renderSuite(suite, looks)).join('')}
${subjectsSection(report, looks)}
</main>
</div>
</body>
</html>
`;
}

/** Subjects keep their colour in all plots, ours the first one; what else has a name there is neutral. */
function looksOf({ subjects, suites }: Report): Looks {
  const rows = suites.flatMap(({ scenarios }) => scenarios.flatMap((scenario) => scenario.rows));
  const series = suites.flatMap(({ plots }) => plots.flatMap((plot) => plot.series));
  const names = [...subjects.map(({ name }) => name), ...rows.map(({ subject }) => subject)];
  const known = new Set(names);
  const others = series.map(({ name }) => name).filter((name) => !known.has(name));
  const isOurs = (name: string): boolean => name.startsWith('sallyport');
  const ordered = [...names.filter(isOurs), ...names.filter((name) => !isOurs(name))];
  return makeLooks(ordered, others);
}

function contents({ suites, subjects }: Report): string {
  const entries = suites.map((suite) => {
    const scenarios = suite.scenarios.map(
      ({ id, title }) => `<li><a href="#${idOf(suite.name, id)}">${escapeHtml(title)}</a></li>\n`,
    );
    return `<li><a href="#${idOf(suite.name)}">${escapeHtml(suite.title)}</a>\n<ol>\n${scenarios.join('')}</ol></li>\n`;
  });
  const facts = subjects.length === 0 ? '' : '<li><a href="#subjects">What took part</a></li>\n';
  return `<nav aria-label="Contents"><ol>
<li><a href="#top">The run</a></li>
${entries.join('')}${facts}</ol></nav>`;
}

function opening(report: Report): string {
  const facts = machineFacts(report.machine).map(
    ([name, text]) =>
      `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(text)}</td></tr>\n`,
  );
  return `<header id="top">
<h1>Sallyport, measured</h1>
<p class="lead">${escapeHtml(report.startedAt)}, in ${durationText(report.seconds)}</p>
</header>
${missingBox(report)}${doubts(report)}<p>Each figure is the median of its rounds; ± is the round farthest from the median. Subjects were measured
by turns on the same core with the same policy. Compare within this page only: another machine, or the same one
tomorrow, has other numbers.</p>
<table class="facts"><tbody>
${facts.join('')}</tbody></table>
<p>Made by:</p>
<pre><code>${escapeHtml(report.command)}</code></pre>`;
}

function missingBox({ missing }: Report): string {
  if (missing.length === 0) return '';
  const items = missing.map(
    ({ name, why }) => `<li><strong>${escapeHtml(name)}</strong>: ${escapeHtml(why)}</li>\n`,
  );
  return `<section class="warn" aria-label="Missing">
<p><strong>Missing from this run</strong></p>
<ul>
${items.join('')}</ul>
</section>
`;
}

/** The warnings stand at their scenarios; here is how many there are, and where. */
function doubts({ suites }: Report): string {
  const links = suites.flatMap(({ name, scenarios }) =>
    scenarios
      .filter(({ warnings }) => warnings.length > 0)
      .map(({ id, title }) => `<a href="#${idOf(name, id)}">${escapeHtml(title)}</a>`),
  );
  if (links.length === 0) return '';
  const are = links.length === 1 ? 'scenario has a warning' : 'scenarios have warnings';
  return `<section class="warn" aria-label="Warnings">
<p><strong>${links.length} ${are}:</strong> ${links.join(' · ')}</p>
</section>
`;
}

function renderSuite(suite: SuiteResult, looks: Looks): string {
  const plots = suite.plots.map((plot) =>
    renderPlot(plot, looks, idOf(suite.name, 'plot', plot.id)),
  );
  const scenarios = suite.scenarios.map((scenario) =>
    renderScenario(scenario, looks, idOf(suite.name, scenario.id)),
  );
  return `<section>
<h2 id="${idOf(suite.name)}">${escapeHtml(suite.title)}</h2>
<p>${escapeHtml(suite.about)}</p>
${plots.length === 0 ? '' : `<div class="plots">\n${plots.join('')}</div>\n`}${scenarios.join('')}</section>
`;
}

function subjectsSection({ subjects }: Report, looks: Looks): string {
  if (subjects.length === 0) return '';
  return `<section>
<h2 id="subjects">What took part</h2>
${subjects.map((facts) => subjectBox(facts, looks)).join('')}</section>`;
}

function subjectBox({ name, version, commands, files }: SubjectFacts, looks: Looks): string {
  const texts = files.map(
    (file) =>
      `<h4>${escapeHtml(file.name)}</h4>\n<pre><code>${escapeHtml(file.text)}</code></pre>\n`,
  );
  const count = files.length === 1 ? '1 file' : `${files.length} files`;
  return `<article class="subject">
<h3>${swatch(looks.of(name))}${escapeHtml(name)} <span>${escapeHtml(version)}</span></h3>
<details>
<summary>How it was started, and ${count}</summary>
<pre><code>${escapeHtml(commands.join('\n'))}</code></pre>
${texts.join('')}</details>
</article>
`;
}
