// How the demo looks: headings, commands, what they answered, and one line per check. Colours only on a terminal.
import { createPaint } from '../../src/cli/output.ts';

/** Where the demo writes; `process.stdout` is one. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** One line of a difference: what came, what went, and what stands around it. */
export interface DifferenceLine {
  readonly kind: 'added' | 'removed' | 'same';
  readonly text: string;
}

export interface Screen {
  heading(title: string, sentence: string): void;
  /** A sentence of the demo's own, wrapped; a line end before it makes room. */
  say(text: string): void;
  /** A command as a user types it, before it runs. */
  command(line: string): void;
  /** A table or a file, as it is. */
  output(text: string): void;
  /** A sentence that a program said, wrapped. */
  quote(text: string): void;
  difference(lines: readonly DifferenceLine[]): void;
  /**
   * Does the work and says in one line whether it went well and how long it took. `detail` says what was found. A failure
   * is counted, shown and thrown again: what comes after it in the same step would only fail too.
   */
  check<Value>(
    title: string,
    work: () => Value | Promise<Value>,
    detail?: (value: Value) => string,
  ): Promise<Value>;
  /** A check of what is known already; a failure is counted and shown, and `found` says what was there instead. */
  expect(title: string, holds: boolean, found?: string): void;
  /** Counts and shows an error, unless `check` has done so already. */
  fail(error: unknown): void;
  counts(): { readonly passed: number; readonly failed: number };
  /** All that was written so far. */
  text(): string;
}

/** A person who watches begins to wonder after this long. */
const PROGRESS_MS = 2_000;
/** Shorter times say nothing. */
const SHORTEST_SHOWN_MS = 50;
/** Prose is broken after at most 108 characters: with the deepest indent that fits into 112 columns. */
const LONG_LINE = /(?=.{109})(.{0,107}\S) +/g;
const CLEAR_LINE = '\r\u001B[2K';

/** `colours` also allows a line that is overwritten; both only make sense on a terminal. */
export function createScreen(out: Output, colours = out.isTTY === true): Screen {
  const paint = createPaint(colours);
  const told = new WeakSet<object>();
  let written = '';
  let passed = 0;
  let failed = 0;
  let hasProgress = false;

  function print(line: string): void {
    written += `${line}\n`;
    out.write(`${hasProgress ? CLEAR_LINE : ''}${line}\n`);
    hasProgress = false;
  }

  function showPass(title: string, detail: string, tookMs = 0): void {
    passed += 1;
    const time = tookMs >= SHORTEST_SHOWN_MS ? paint.faint(`  ${seconds(tookMs)}`) : '';
    print(`  ${paint.added('✓')} ${title}${detail ? paint.faint(` (${detail})`) : ''}${time}`);
  }

  function showFailure(title: string, found: string): void {
    failed += 1;
    print(`  ${paint.removed(`✗ ${title}`)}`);
    if (found) print(indent(wrap(found)));
  }

  /** On a terminal one line that counts the seconds; elsewhere one line, once. */
  function showProgress(title: string): Disposable {
    const startedAt = performance.now();
    const text = () => {
      const time = ` (${Math.floor((performance.now() - startedAt) / 1000)} s)`;
      // A line that wraps could not be overwritten.
      return `  … ${title}`.slice(0, (out.columns ?? 80) - time.length - 1) + time;
    };
    const timer = setInterval(
      () => {
        if (performance.now() - startedAt < PROGRESS_MS) return;
        if (!colours) {
          clearInterval(timer);
          return print(`  … ${title}`);
        }
        out.write(`${CLEAR_LINE}${paint.faint(text())}`);
        hasProgress = true;
      },
      colours ? 500 : PROGRESS_MS,
    );
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }

  return {
    heading(title, sentence) {
      print(`${written.endsWith('\n\n') ? '' : '\n'}${paint.strong(title)}`);
      print(`${paint.faint(wrap(sentence))}\n`);
    },
    say: (text) => print(indent(wrap(text), '  ')),
    command: (line) => print(`  ${paint.strong(`$ ${line}`)}`),
    output(text) {
      if (text.trim()) print(indent(text));
    },
    quote(text) {
      if (text.trim()) print(indent(wrap(text)));
    },
    difference(lines) {
      const signs = { added: '+', removed: '-', same: ' ' };
      const paints = { added: paint.added, removed: paint.removed, same: paint.faint };
      for (const { kind, text } of lines) print(`    ${paints[kind](`${signs[kind]} ${text}`.trimEnd())}`);
    },
    async check(title, work, detail = () => '') {
      const startedAt = performance.now();
      try {
        using _progress = showProgress(title);
        const value = await work();
        showPass(title, detail(value), performance.now() - startedAt);
        return value;
      } catch (error) {
        showFailure(title, messageOf(error));
        if (error instanceof Error) told.add(error);
        throw error;
      }
    },
    expect(title, holds, found = '') {
      if (holds) showPass(title, '');
      else showFailure(title, found);
    },
    fail(error) {
      if (!(error instanceof Error && told.has(error)))
        showFailure('this step could not go on', messageOf(error));
    },
    counts: () => ({ passed, failed }),
    text: () => written,
  };
}

function indent(text: string, by = '    '): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `${by}${line}`.trimEnd())
    .join('\n');
}

/** Longer lines are broken at blanks; words that are longer than a line stay whole. */
function wrap(text: string): string {
  return text.replaceAll(LONG_LINE, '$1\n');
}

/** "0.4 s", "12.0 s". */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
