// What the demo writes: one line per check, and the count of them that its last line is made of.
import { expect, test } from 'vitest';
import { createScreen } from '../../tools/demo/screen.ts';
import { quoted } from '../../tools/demo/shell.ts';

function createTestScreen(colours = false) {
  const written: string[] = [];
  const screen = createScreen({ write: (text) => written.push(text) }, colours);
  return { screen, text: () => written.join('') };
}

test('a check that goes well is one line with what it found, and gives back its value', async () => {
  const { screen, text } = createTestScreen();

  const value = await screen.check(
    'the pod is there',
    () => 'app',
    (name) => name,
  );

  expect(value).toBe('app');
  expect(text()).toBe('  ✓ the pod is there (app)\n');
  expect(screen.counts()).toEqual({ passed: 1, failed: 0 });
});

test('a check that fails is counted once, however far its error travels', async () => {
  const { screen, text } = createTestScreen();
  const error = new Error('no such pod');

  await expect(screen.check('the pod is there', () => Promise.reject(error))).rejects.toBe(error);
  screen.fail(error);

  expect(text()).toBe('  ✗ the pod is there\n    no such pod\n');
  expect(screen.counts()).toEqual({ passed: 0, failed: 1 });
});

test('an error that no check has shown is a failure of its own', () => {
  const { screen, text } = createTestScreen();

  screen.fail(new Error('unforeseen'));

  expect(text()).toContain('unforeseen');
  expect(screen.counts().failed).toBe(1);
});

test('what was found instead is shown only where it matters', () => {
  const { screen, text } = createTestScreen();

  screen.expect('two pods', true, 'there are 3');
  screen.expect('two tokens', false, 'there are 5');

  expect(text()).toBe('  ✓ two pods\n  ✗ two tokens\n    there are 5\n');
});

test('sentences are wrapped, tables are not', () => {
  const { screen, text } = createTestScreen();
  const sentence = 'word '.repeat(60).trim();

  screen.quote(sentence);
  screen.output(sentence);

  const lines = text().trimEnd().split('\n');
  expect(lines.at(-1)).toBe(`    ${sentence}`);
  expect(lines.slice(0, -1).join(' ').replaceAll(/ +/g, ' ').trim()).toBe(sentence);
  for (const line of lines.slice(0, -1)) expect(line.length).toBeLessThanOrEqual(112);
});

test('colours are there only when they are asked for', () => {
  const plain = createTestScreen(false);
  const coloured = createTestScreen(true);

  for (const { screen } of [plain, coloured]) screen.heading('1  Parts', 'All real.');

  expect(plain.text()).toBe('\n1  Parts\nAll real.\n\n');
  expect(coloured.text()).toContain('\u001B[1m');
});

test.for([
  ['-n', '-n'],
  ['--audience=https://registry.example', '--audience=https://registry.example'],
  [String.raw`jsonpath={.data.\.x}`, String.raw`'jsonpath={.data.\.x}'`],
  ["it's", String.raw`'it'\''s'`],
])('the word %s stands in a command line as %s', ([word = '', shown]) => {
  expect(quoted(word)).toBe(shown);
});
