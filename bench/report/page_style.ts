/** The page's style sheet: system fonts, one palette for light and one for dark, told apart without red and green. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #fbfbfa; --card: #ffffff; --text: #1c2024; --muted: #62676d; --line: #e2e3e1; --grid: #ebecea;
  --link: #0b62a8; --warn-back: #fff5dc; --warn-edge: #d99a00; --warn-text: #5c4100;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0508f; --c4: #c08a00; --c5: #7a4a1e; --c6: #3f9fdc; --c7: #5b52b5;
  --n0: #55606b; --n1: #8a949e; --n2: #b3bac1; --n3: #383f46;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15181b; --card: #1c2024; --text: #e7e9eb; --muted: #9ba2a9; --line: #32383e; --grid: #2a3036;
    --link: #7cc0f8; --warn-back: #322a14; --warn-edge: #e0ac2b; --warn-text: #f3dfae;
    --c0: #4fb0ee; --c1: #ff9350; --c2: #3fd0a2; --c3: #e08fc6; --c4: #efc04a; --c5: #cf9f70; --c6: #a5dbff; --c7: #aaa2ff;
    --n0: #b4bcc4; --n1: #838c95; --n2: #5f6871; --n3: #dfe3e7;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif;
}
a { color: var(--link); text-underline-offset: 0.15em; }
code, pre { font: 0.86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre {
  margin: 0.5rem 0; padding: 0.75rem 0.9rem; overflow-x: auto; white-space: pre; max-height: 32rem;
  background: var(--page); border: 1px solid var(--line); border-radius: 6px;
}
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; }
h2 { margin: 3.2rem 0 0.6rem; padding-top: 1.2rem; border-top: 2px solid var(--text); font-size: 1.45rem; line-height: 1.25; }
h3 { margin: 0 0 0.6rem; font-size: 1.05rem; line-height: 1.35; }
p { margin: 0.5rem 0 0.9rem; max-width: 46rem; overflow-wrap: anywhere; }
.layout { display: grid; grid-template-columns: minmax(0, 1fr); max-width: 82rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; gap: 2rem; }
nav { font-size: 0.875rem; line-height: 1.4; }
nav ol { list-style: none; margin: 0; padding: 0; }
nav ol ol { padding-left: 0.8rem; margin: 0.15rem 0 0.7rem; border-left: 1px solid var(--line); }
nav li { margin: 0.25rem 0; overflow-wrap: anywhere; }
nav a { color: var(--text); text-decoration: none; }
nav ol ol a { color: var(--muted); }
nav a:hover, nav a:focus-visible { color: var(--link); text-decoration: underline; }
@media (min-width: 68rem) {
  .layout { grid-template-columns: 14.5rem minmax(0, 1fr); gap: 3rem; }
  nav { position: sticky; top: 1.5rem; align-self: start; max-height: calc(100vh - 3rem); overflow-y: auto; padding-right: 0.5rem; }
}
.lead { margin: 0.35rem 0 1.1rem; color: var(--muted); }
.warn {
  margin: 1rem 0; padding: 0.7rem 1rem; border: 1px solid var(--warn-edge); border-left-width: 5px; border-radius: 6px;
  background: var(--warn-back); color: var(--warn-text);
}
.warn p, .warn ul { margin: 0.2rem 0; max-width: none; }
.warn ul { padding-left: 1.2rem; }
.warn li { margin: 0.2rem 0; overflow-wrap: anywhere; }
.warn a { color: inherit; }
.scenario { margin: 1.4rem 0; padding: 1.1rem 1.25rem 0.9rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.scroll { overflow-x: auto; margin: 0 -0.25rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.scenario table { width: 100%; }
th, td { padding: 0.42rem 0.7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0.25rem; }
tbody tr:last-child :is(th, td) { border-bottom: 0; }
thead th { font-size: 0.78rem; font-weight: 600; line-height: 1.3; color: var(--muted); vertical-align: bottom; border-bottom: 1px solid var(--muted); }
thead th small { display: block; font-weight: 400; white-space: nowrap; }
tbody th { font-weight: 600; white-space: nowrap; }
td small { display: block; color: var(--muted); font-size: 0.76rem; line-height: 1.2; white-space: nowrap; }
td.leading { min-width: 8rem; font-weight: 600; }
td.leading small { font-weight: 400; }
td.leading svg { display: block; width: 100%; height: 5px; margin: 0.2rem 0 0.15rem; }
tr.reference { background: color-mix(in srgb, var(--muted) 8%, transparent); }
.swatch { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.5em; vertical-align: -0.05em; }
.facts { width: auto; }
.facts th, .facts td { text-align: left; vertical-align: top; padding: 0.25rem 1.2rem 0.25rem 0; border: 0; font-weight: 400; overflow-wrap: anywhere; }
.facts th { color: var(--muted); white-space: nowrap; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; color: var(--muted); font-size: 0.875rem; }
summary:hover { color: var(--link); }
.subject { margin: 0.9rem 0; padding: 0.8rem 1.25rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.subject h3 { margin: 0 0 0.3rem; }
.subject h3 span { font-weight: 400; color: var(--muted); overflow-wrap: anywhere; }
.subject h4 { margin: 0.9rem 0 0.2rem; font-size: 0.86rem; font-weight: 600; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); gap: 1.25rem; margin: 1.2rem 0; align-items: start; }
.plot { margin: 0; padding: 1rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; min-width: 0; }
figcaption { margin-bottom: 0.5rem; font-weight: 600; line-height: 1.35; overflow-wrap: anywhere; }
.drawing { overflow-x: auto; }
.drawing svg { display: block; width: 100%; min-width: 30rem; max-width: 60rem; height: auto; }
.plot text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; fill: var(--muted); }
.plot text.name { fill: var(--text); }
.plot text.value { fill: var(--text); font-size: 11px; }
.plot text.label { font-size: 12px; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { stroke: var(--muted); stroke-width: 1; }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
.bar { fill: currentColor; }
.mark { fill: currentColor; stroke: var(--card); stroke-width: 1; }
.legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; margin: 0.6rem 0 0; padding: 0; list-style: none; font-size: 0.82rem; }
.legend li { display: flex; align-items: center; gap: 0.4rem; overflow-wrap: anywhere; }
.legend svg { flex: none; width: 30px; height: 12px; }
.note { margin: 0.5rem 0 0; font-size: 0.8rem; color: var(--muted); }
${palette('c', 8)}${palette('n', 4)}
@media print {
  .layout { display: block; padding: 0; }
  nav { display: none; }
  .scenario, .plot, .subject { break-inside: avoid; }
}
`;

function palette(letter: string, count: number): string {
  return Array.from(
    { length: count },
    (_, i) => `.${letter}${i} { color: var(--${letter}${i}); }\n`,
  ).join('');
}
