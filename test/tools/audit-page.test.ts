// audit's HTML page in a real Chromium: sorted, filtered, in light and dark, on paper, without its script, and with names that
// would rather be script.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findParts } from '../../tools/parts.ts';
import { account, deployment, namespace, ownedBy, pod, pullSecret, TEAM } from '../cli/audit/shop.ts';
import { runAudit } from '../cli/audit/run-audit.ts';

const SCRIPT = '"><script>document.title="hacked"</script>';
const HANDLER = '<img src=x onerror="document.title=\'hacked\'">';

let browser: Browser;
let folder: string;
let file: string;

beforeAll(async () => {
  const { chromium: executablePath } = await findParts(['chromium']);
  browser = await chromium.launch({ executablePath });
  folder = mkdtempSync(join(tmpdir(), 'keyless-pull-page-'));
  file = join(folder, 'report.html');
  const objects = [
    namespace('shop', { 'keyless-pull.dev/inject': 'enabled' }),
    account('billing', 'default', {
      secrets: ['regcred'],
      annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::111122223333:role/web' },
    }),
    pullSecret('billing', 'regcred', [TEAM], '2023-01-01T00:00:00Z'),
    deployment('billing', 'invoices'),
    ...[2, 10, 1].flatMap((pods, at) => {
      const [name, wish] = [`web-${at}`, { secrets: [`secret-${at}`] }];
      return [
        deployment('shop', name, wish),
        pullSecret('shop', `secret-${at}`, [TEAM], `2026-0${1 + at}-01T00:00:00Z`),
        ...Array.from({ length: pods }, (_, number) =>
          pod('shop', `${name}-1-${number}`, wish, {
            ...ownedBy('ReplicaSet', `${name}-1`),
            labels: { 'pod-template-hash': '1' },
          }),
        ),
      ];
    }),
    pod(HANDLER, SCRIPT, { secrets: [HANDLER], images: ['quay.io/a:1'] }),
    pullSecret(HANDLER, HANDLER, [SCRIPT, 'quay.io']),
    account(HANDLER, 'default', { secrets: [SCRIPT] }),
  ];
  writeFileSync(file, (await runAudit(objects, { output: 'html' })).io.stdout);
  // Where there is no Chromium yet, it is downloaded.
}, 600_000);
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

interface Opened extends AsyncDisposable {
  readonly page: Page;
  /** What the page asked for beside itself, and what it complained of. */
  readonly trouble: readonly string[];
}

async function open(options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const trouble: string[] = [];
  page.on('request', (request) => {
    if (request.url() !== `file://${file}`) trouble.push(`asked for ${request.url()}`);
  });
  page.on('console', (message) => trouble.push(message.text()));
  page.on('pageerror', (error) => trouble.push(error.message));
  page.on('dialog', (dialog) => {
    trouble.push(dialog.message());
    void dialog.dismiss();
  });
  await page.goto(`file://${file}`);
  return { page, trouble, [Symbol.asyncDispose]: () => context.close() };
}

const column = (page: Page, at: number) =>
  page.locator(`#findings tbody tr:visible > :nth-child(${at})`).allInnerTexts();
const choice = (page: Page, name: string) => page.getByRole('combobox', { name });
const objectsIn = async (page: Page) => (await column(page, 2)).map((text) => text.split('\n')[0]);
const background = (page: Page) => page.evaluate('getComputedStyle(document.body).backgroundColor');

test('it loads without a word, asks for nothing, and shows hostile names as text', async () => {
  await using opened = await open();
  const { page, trouble } = opened;

  expect(await page.title()).toMatch(/^Static pull secrets: audit of 2026-11-21 12:00$/);
  expect(await page.locator('img, iframe, object, link, form').count()).toBe(0);
  expect(await page.locator('script').count()).toBe(1);
  expect(await objectsIn(page)).toContain(SCRIPT);
  expect(await column(page, 1)).toContain(HANDLER);
  expect(trouble).toEqual([]);
});

test('its policy lets no other script, style or request pass', async () => {
  await using opened = await open();
  const { page } = opened;

  const refused = await page.evaluate(`(async () => {
    const refused = [];
    document.addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
    const script = document.createElement('script');
    script.textContent = 'document.title = "hacked"';
    const style = document.createElement('style');
    style.textContent = 'body { display: none }';
    const button = document.createElement('button');
    button.setAttribute('onclick', 'document.title = "hacked"');
    document.body.append(script, style, button);
    button.click();
    const image = new Image();
    image.src = 'https://registry.invalid/x.png';
    await fetch('https://registry.invalid/').catch(() => undefined);
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return refused.sort();
  })()`);

  expect(refused).toEqual(['connect-src', 'img-src', 'script-src-attr', 'script-src-elem', 'style-src-elem']);
  expect(await page.title()).not.toContain('hacked');
});

test('columns sort by number and by name, with the keyboard too, and say so', async () => {
  await using opened = await open();
  const { page } = opened;
  const head = page.locator('#findings thead th', { hasText: 'Pods' });

  await head.getByRole('button').click();
  expect(await head.getAttribute('aria-sort')).toBe('ascending');
  expect((await column(page, 9)).map(Number)).toEqual([0, 0, 0, 1, 1, 2, 10]);

  await head.getByRole('button').press('Enter');
  expect(await head.getAttribute('aria-sort')).toBe('descending');
  expect((await objectsIn(page)).slice(0, 2)).toEqual(['web-1', 'web-0']);

  await page.locator('#findings thead th', { hasText: 'Age' }).getByRole('button').click();
  expect(await head.getAttribute('aria-sort')).toBe('none');
  expect((await column(page, 7)).filter((age) => age !== '-')).toEqual([
    '265d',
    '293d',
    '324d',
    '1420d',
    '1420d',
  ]);
});

test('rows are found by words and choices, and counted aloud', async () => {
  await using opened = await open();
  const { page } = opened;
  const told = page.getByRole('status');
  expect(await told.innerText()).toBe('7 findings');

  await page.getByRole('searchbox').fill('SHOP secret-1');
  expect(await objectsIn(page)).toEqual(['web-1']);
  expect(await told.innerText()).toBe('1 of 7 findings');

  await page.getByRole('button', { name: 'Clear' }).click();
  await choice(page, 'Set').selectOption('inherited');
  expect(await objectsIn(page)).toEqual(['invoices']);
  await choice(page, 'Namespace').selectOption('shop');
  expect(await objectsIn(page)).toEqual([]);

  await page.getByRole('button', { name: 'Clear' }).click();
  await choice(page, 'Namespace').selectOption(HANDLER);
  await choice(page, 'Rule').selectOption('not covered');
  expect(await objectsIn(page)).toEqual([SCRIPT, 'default']);
});

test('of many findings a part is shown, the rest at a click, and all of them on paper', async () => {
  const many = Array.from({ length: 300 }, (_, at) =>
    deployment('shop', `app-${at}`, { secrets: ['regcred'] }),
  );
  writeFileSync(join(folder, 'many.html'), (await runAudit(many, { output: 'html' })).io.stdout);
  await using opened = await open();
  const { page } = opened;
  await page.goto(`file://${join(folder, 'many.html')}`);

  expect(await objectsIn(page)).toHaveLength(250);
  await page.getByRole('searchbox').fill('app-299');
  expect(await objectsIn(page)).toEqual(['app-299']);
  await page.getByRole('searchbox').fill('');
  await page.emulateMedia({ media: 'print' });
  expect(await objectsIn(page)).toHaveLength(300);
  await page.emulateMedia({ media: 'screen' });
  await page.getByRole('button', { name: 'Show more' }).click();
  expect(await objectsIn(page)).toHaveLength(300);
  expect(await page.locator('#more:visible').count()).toBe(0);
});

test('light and dark follow the reader, the button changes them, and text can be read in both', async () => {
  for (const colorScheme of ['light', 'dark'] as const) {
    await using opened = await open({ colorScheme });
    const { page } = opened;
    const [own, other] =
      colorScheme === 'light'
        ? ['rgb(255, 255, 255)', 'rgb(18, 23, 29)']
        : ['rgb(18, 23, 29)', 'rgb(255, 255, 255)'];

    expect(await background(page)).toBe(own);
    expect(await page.evaluate(LEAST_CONTRAST), colorScheme).toBeGreaterThanOrEqual(4.5);
    await page.locator('#theme').click();
    expect(await background(page)).toBe(other);
    expect(await page.evaluate(LEAST_CONTRAST), `not ${colorScheme}`).toBeGreaterThanOrEqual(4.5);
    await page.locator('#theme').click();
    expect(await background(page)).toBe(own);
  }
});

test('on paper it is light, has no controls, and every row', async () => {
  await using opened = await open({ colorScheme: 'dark' });
  const { page } = opened;
  await page.locator('#theme').click();
  await page.locator('#theme').click();
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });

  expect(
    await page.evaluate('getComputedStyle(document.documentElement).getPropertyValue("--paper").trim()'),
  ).toBe('#ffffff');
  expect(
    await page
      .locator('.controls, #theme')
      .evaluateAll((all) => all.map((each) => String(each.checkVisibility()))),
  ).toEqual(['false', 'false']);
  expect(await objectsIn(page)).toHaveLength(7);
  expect((await page.locator('#findings thead').innerText()).split(/\s*\t\s*/).slice(0, 3)).toEqual([
    'Namespace',
    'Object',
    'Secret',
  ]);
  expect(await page.locator('thead button:visible').count()).toBe(0);
  expect((await page.pdf({ preferCSSPageSize: true })).length).toBeGreaterThan(10_000);
});

test.each([
  ['on a wide screen', 1280, 'screen'],
  ['on a phone', 360, 'screen'],
  ['on paper', 720, 'print'],
] as const)('no heading and no badge runs into the next column: %s', async (_, width, media) => {
  await using opened = await open({ viewport: { width, height: 900 } });
  const { page } = opened;
  await page.emulateMedia({ media });

  const wide: unknown =
    await page.evaluate(`[...document.querySelectorAll('thead th, td')].flatMap((cell) => {
    if (cell.matches('td') && cell.querySelector('.badge') === null) return [];
    const content = document.createRange();
    content.selectNodeContents(cell);
    const over = content.getBoundingClientRect().right - cell.getBoundingClientRect().right;
    return over > 0.5 ? [cell.textContent.trim()] : [];
  })`);

  expect(wide).toEqual([]);
});

test('without its script it is the same tables, and nothing that does not work', async () => {
  await using opened = await open({ javaScriptEnabled: false });
  const { page } = opened;

  expect(await objectsIn(page)).toHaveLength(7);
  expect(await page.locator('#registries tbody tr').count()).toBe(2);
  expect(await page.locator('button:visible, input:visible, select:visible').count()).toBe(0);
});

test('tables have captions and headers, charts their numbers in words, and a phone scrolls down only', async () => {
  await using opened = await open({ viewport: { width: 390, height: 800 } });
  const { page } = opened;

  for (const table of await page.locator('table').all()) {
    expect(await table.locator('caption').count()).toBe(1);
    expect(await table.locator('thead th:not([scope=col])').count()).toBe(0);
    expect(await table.locator('tbody tr:not(:has(> th[scope=row]))').count()).toBe(0);
  }
  const charts = page.getByRole('img');
  expect(await charts.count()).toBe(3);
  expect(await charts.nth(1).getAttribute('aria-label')).toContain('Findings by namespace. shop: 3, ');
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
});

/** The smallest contrast (WCAG 2: 1 to 21) of any text with what is behind it. */
const LEAST_CONTRAST = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll('body *')].filter((each) =>
    [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '') && each.checkVisibility() && !each.closest('svg, script'));
  return Math.min(...texts.map((each) => {
    const [one, other] = [light(channels(getComputedStyle(each).color)), light(behind(each))];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }));
})()`;
