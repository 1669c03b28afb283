// What the page does when it may: sorting, filtering, and the choice of light or dark. Without it everything can still be read.
// It runs in a browser under a policy that allows this very text and nothing else: no inline handlers, no styles set.

export const SCRIPT = `
'use strict';
const root = document.documentElement;
const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = document.getElementById('theme');
const isDark = () => (root.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark';
const nameTheme = () => { theme.textContent = isDark() ? 'Light' : 'Dark'; theme.setAttribute('aria-label', 'Show in ' + theme.textContent.toLowerCase()); };
theme.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; nameTheme(); });
dark.addEventListener('change', nameTheme);
nameTheme();

const order = new Intl.Collator('en', { numeric: true });
const valueOf = (cell) => cell.dataset.value ?? cell.textContent.trim().toLowerCase();
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = head.textContent.trim();
    // On paper a browser repeats the text of a header on every page, and no button.
    const printed = document.createElement('span');
    printed.className = 'printed';
    printed.textContent = button.textContent;
    head.replaceChildren(button, printed);
    head.setAttribute('aria-sort', 'none');
    button.addEventListener('click', () => {
      const next = head.getAttribute('aria-sort') === 'ascending' ? 'descending' : 'ascending';
      for (const each of heads) each.setAttribute('aria-sort', each === head ? next : 'none');
      const sign = next === 'ascending' ? 1 : -1;
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [valueOf(row.cells[at]), row]);
      rows.sort(([one], [other]) => sign * order.compare(one, other));
      body.append(...rows.map(([, row]) => row));
      if (table.id === 'findings') filterAnew();
    });
  });
}

const STEP = 250;
const search = document.getElementById('search');
const more = document.getElementById('more');
const choices = [...document.querySelectorAll('select[data-filter]')];
const told = document.getElementById('told');
const findings = document.querySelector('#findings tbody');
const texts = new Map([...(findings?.rows ?? [])].map((row) => [row, row.textContent.toLowerCase()]));
let room = STEP;
function filter() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let fitting = 0;
  for (const row of findings.rows) {
    const isFitting = words.every((word) => texts.get(row).includes(word)) &&
      choices.every((choice) => choice.value === '' || row.dataset[choice.dataset.filter] === choice.value.slice(1));
    if (isFitting) fitting++;
    row.hidden = !isFitting;
    row.classList.toggle('later', isFitting && fitting > room);
  }
  told.textContent = fitting === texts.size ? fitting + ' findings' : fitting + ' of ' + texts.size + ' findings';
  more.hidden = fitting <= room;
}
function filterAnew() {
  room = STEP;
  filter();
}
if (search) {
  for (const each of [search, ...choices]) each.addEventListener('input', filterAnew);
  more.addEventListener('click', () => { room += STEP; filter(); });
  document.getElementById('clear').addEventListener('click', () => {
    search.value = '';
    for (const choice of choices) choice.value = '';
    filterAnew();
    search.focus();
  });
  filter();
}
for (const each of document.querySelectorAll('[data-scripted]')) each.hidden = false;
`;
