// How the page looks: light and dark by the reader's own setting or the button, and on paper.

const LIGHT = `
  --paper: #ffffff; --card: #f6f7f9; --ink: #1b2430; --soft: #56616f; --line: #d7dce2; --accent: #0b5cad;
  --explicit: #b93815; --inherited: #c98a00; --none: #7b8694; --ours: #0f7b6c; --mark: #fff3d1;`;
const DARK = `
  --paper: #12171d; --card: #1b222b; --ink: #e6ebf1; --soft: #a3aebb; --line: #323c48; --accent: #7cb8ff;
  --explicit: #ff8a65; --inherited: #f2c14e; --none: #8d99a8; --ours: #4fd1b8; --mark: #3a3320;`;

export const STYLE = `
:root { color-scheme: light; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { color-scheme: dark; ${DARK} } }
:root[data-theme=dark] { color-scheme: dark; ${DARK} }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 1440px; margin: 0 auto; padding: 0 24px; }
header { display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start; justify-content: space-between; padding-top: 28px; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; }
h2 { margin: 36px 0 4px; font-size: 19px; }
h3 { margin: 0 0 8px; font-size: 15px; }
p { margin: 4px 0; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0; padding: 0; list-style: none; }
.tiles li, .chart, .notes { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 16px; }
.tiles b { display: block; font-size: 28px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.notes { background: var(--mark); margin: 16px 0; padding: 8px 16px 8px 34px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); gap: 16px; align-items: start; margin-top: 12px; }
.chart { margin: 0; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart text { fill: var(--ink); font: 12px system-ui, sans-serif; }
.chart text.count { fill: var(--soft); font-variant-numeric: tabular-nums; }
.track { fill: var(--line); opacity: .45; }
.fill-explicit { fill: var(--explicit); } .fill-inherited { fill: var(--inherited); }
.fill-none { fill: var(--none); } .fill-ours { fill: var(--ours); } .fill-accent { fill: var(--accent); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 10px 0 0; padding: 0; list-style: none; font-size: 13px; color: var(--soft); }
.legend svg { display: inline-block; width: 11px; height: 11px; margin-right: 6px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; margin-top: 12px; }
table { width: 100%; min-width: 90em; table-layout: fixed; border-collapse: collapse; font-size: 13.5px; }
.w6 { width: 5.8%; } .w7 { width: 7.2%; } .w9 { width: 9.2%; } .w12 { width: 11.5%; } .w15 { width: 15%; } .w21 { width: 21%; }
caption { text-align: left; padding: 10px 12px; color: var(--soft); }
th, td { padding: 8px 10px; border-top: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { background: var(--card); overflow-wrap: normal; }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button:focus-visible, button:focus-visible, input:focus-visible, select:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
thead button::after { content: " \\2195"; color: var(--soft); }
th[aria-sort=ascending] button::after { content: " \\2191"; color: var(--accent); }
th[aria-sort=descending] button::after { content: " \\2193"; color: var(--accent); }
tbody th { font-weight: 600; }
tbody tr:hover { background: var(--card); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.todo ul { margin: 0; padding-left: 16px; }
.small { display: block; font-size: 12px; font-weight: 400; color: var(--soft); }
.badge { display: inline-block; padding: 0 5px; border: 1px solid currentColor; border-radius: 999px; font-size: 12px; font-weight: 600; white-space: nowrap; }
.explicit { color: var(--explicit); } .inherited { color: var(--inherited); } .yes { color: var(--ours); } .no { color: var(--explicit); } .none { color: var(--soft); }
:root:not([data-theme=dark]) .inherited { color: #8a5d00; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) .inherited { color: var(--inherited); } }
.controls { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: end; margin-top: 12px; }
.controls label { display: grid; font-size: 12px; color: var(--soft); }
.controls [role=status] { margin-left: auto; color: var(--soft); padding-bottom: 6px; }
input, select, .button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 5px 10px; min-height: 36px; }
input[type=search] { min-width: 18em; }
select { max-width: 16em; }
.button { cursor: pointer; }
[hidden] { display: none !important; }
@media screen { .later, .printed { display: none; } }
#more { margin: 12px 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; }
dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
footer { padding-top: 24px; padding-bottom: 40px; color: var(--soft); font-size: 13px; }
@media (max-width: 640px) { header, main, footer { padding-left: 14px; padding-right: 14px; } dl { grid-template-columns: 1fr; } }
@media print {
  :root:root:root { color-scheme: light; ${LIGHT} }
  :root:root:root .inherited { color: #8a5d00; }
  @page { size: A4 landscape; margin: 12mm; }
  body { font-size: 10px; background: none; }
  header, main, footer { max-width: none; padding: 0; }
  .controls, .button, thead button { display: none !important; }
  h2 { margin-top: 18px; break-after: avoid; }
  table { font-size: 8.5px; } th, td { padding: 3px 5px; } .small { font-size: 7.5px; } .badge { font-size: 7.5px; padding: 0 2px; }
  .scroll { overflow: visible; border: 0; }
  .tiles { grid-template-columns: repeat(6, 1fr); gap: 6px; } .tiles li { padding: 6px 10px; } .tiles b { font-size: 20px; }
  .charts { grid-template-columns: repeat(3, 1fr); gap: 8px; }
  .tiles li, .chart, .fill-explicit, .fill-inherited, .fill-none, .fill-ours, .fill-accent, thead th { print-color-adjust: exact; }
  thead { display: table-header-group; } tr, .chart, .tiles li { break-inside: avoid; }
  .legend, .soft { font-size: 8px; } h3 { font-size: 10px; } .legend svg { width: 8px; height: 8px; }
  table { min-width: 0; } thead th { white-space: normal; }
}
`;
