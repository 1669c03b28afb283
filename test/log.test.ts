// The log: one JSON line per event, and of a foreign error never its words.
import { describe, expect, test } from 'vitest';
import { createLog, showError } from '../src/log.ts';
import { Problem } from '../src/problem.ts';
import type { LogLevel } from '../src/log-level.ts';

type Line = Record<string, unknown>;

function collect(level: LogLevel = 'info') {
  const lines: string[] = [];
  const log = createLog(level, { write: (line) => void lines.push(line) });
  return { log, lines, parsed: () => lines.map((line) => JSON.parse(line) as Line) };
}

/** A foreign error whose message is a body, made to look like a stack too. */
const foreign = new Error(
  '{"token":"marked-token"}\n    at marked-token (file:///x.js:1:1)\nat marked-token',
);

describe('a line', () => {
  test('is JSON with level, time, message and fields', () => {
    const { log, parsed } = collect();

    log.info({ rule: 'team', namespace: 'shop' }, 'credential renewed');

    expect(parsed()).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        rule: 'team',
        namespace: 'shop',
        message: 'credential renewed',
      },
    ]);
  });

  test('below the level is not written', () => {
    const { log, lines } = collect('warn');

    log.info('one');
    log.debug('two');
    log.warn('three');

    expect(lines.length).toBe(1);
  });

  test('keeps its words when fields are absent', () => {
    const { log, parsed } = collect();

    log.info('ready');

    expect(parsed()).toMatchObject([{ message: 'ready' }]);
  });

  test.for(['token', 'password', 'secret', 'authorization'])(
    'never carries a field called %s, at the top or one level down',
    (name) => {
      const { log, lines } = collect();

      log.info({ [name]: 'marked-token' }, 'x');
      log.child({ call: 1 }).info({ request: { [name === 'secret' ? 'token' : name]: 'marked-token' } }, 'x');

      expect(lines.join('')).not.toContain('marked-token');
    },
  );
});

describe('a foreign error', () => {
  test.for<[way: string, write: (log: ReturnType<typeof collect>['log']) => void]>([
    ['under error', (log) => log.error({ error: foreign }, 'failed')],
    ['under err', (log) => log.error({ err: foreign }, 'failed')],
    ['under error, without words', (log) => log.error({ error: foreign })],
    ['in place of fields', (log) => log.error(foreign, 'failed')],
    ['alone', (log) => log.error(foreign)],
    ['as a value of the words', (log) => log.error('failed: %s', foreign)],
    ['under a name of its own', (log) => log.error({ reason: foreign }, 'failed')],
    [
      'two causes down',
      (log) =>
        log.error(
          { error: new Problem('cluster-refused', 'no', { cause: new TypeError('x', { cause: foreign }) }) },
          'failed',
        ),
    ],
    ['in a child', (log) => log.child({ pod: 'p' }).error(foreign)],
  ])('%s shows nothing of its message', ([, write]) => {
    const { log, lines } = collect();

    write(log);

    expect(lines.length).toBe(1);
    expect(lines[0]).not.toContain('marked-token');
  });

  test('in place of fields keeps the words of the line, and is called a failure where there are none', () => {
    const { log, parsed } = collect();

    log.error(foreign, 'certificate not reloaded');
    log.error(foreign);

    expect(parsed().map(({ message }) => message)).toEqual(['certificate not reloaded', 'failed']);
  });

  test('shows its name, its code and where it was thrown', () => {
    const error = Object.assign(new TypeError('fetch failed'), { code: 'UND_ERR_SOCKET' });

    expect(showError(error)).toEqual({
      name: 'TypeError',
      code: 'UND_ERR_SOCKET',
      stack: expect.stringMatching(/^ {4}at .*log\.test\.ts:\d+:\d+/),
    });
  });

  test('that is no error at all is named by its kind', () => {
    expect(showError('marked-token')).toEqual({ name: 'string' });
    expect(showError(undefined)).toEqual({ name: 'undefined' });
  });

  test('that is its own cause is shown all the same', () => {
    const error = new Error('x');
    error.cause = error;

    expect(JSON.stringify(showError(error)).length).toBeLessThan(2000);
  });
});

test('a problem is shown with its code, its sentence, what may be known of it, and its causes', () => {
  const cause = new Problem('cluster-unreachable', 'the API server is away', { cause: foreign });
  const problem = new Problem('config-invalid', 'two faults', {
    cause,
    details: { faults: ['a', 'b'], upstream: '503', retryAfterMs: 5 },
  });

  expect(showError(problem)).toEqual({
    code: 'config-invalid',
    name: 'Problem',
    message: 'two faults',
    faults: ['a', 'b'],
    upstream: '503',
    cause: {
      code: 'cluster-unreachable',
      name: 'Problem',
      message: 'the API server is away',
      cause: { name: 'Error', stack: expect.stringContaining('log.test.ts') },
    },
  });
});
