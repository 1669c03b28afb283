// pino set up once: one JSON line per event on stdout, and errors reduced to what may be shown.
import { pino, type LogFn, type Logger } from 'pino';
import type { LogLevel } from './log-level.ts';
import { Problem } from './problem.ts';

export type Log = Logger;

interface ShownError {
  code?: string;
  name: string;
  message?: string;
  faults?: readonly string[];
  upstream?: string;
  stack?: string;
  cause?: ShownError;
}

/** Errors that name each other as their cause would go on for ever. */
const MOST_CAUSES = 4;

/** A line of a stack as V8 writes it. */
const FRAME = /^ {4}at .*:\d+:\d+\)?$/;

/** Of our own problems code and message; of anything foreign only name, code and where it was thrown: its message may hold a body. */
export function showError(error: unknown, depth = 0): ShownError {
  const hasCause = error instanceof Error && error.cause !== undefined && depth < MOST_CAUSES;
  const cause = hasCause && { cause: showError(error.cause, depth + 1) };
  if (error instanceof Problem) {
    return {
      code: error.code,
      name: error.name,
      message: error.message,
      ...(error.details.faults && { faults: error.details.faults }),
      ...(error.details.upstream && { upstream: error.details.upstream }),
      ...cause,
    };
  }
  if (!(error instanceof Error)) return { name: typeof error };
  const code = (error as { code?: unknown }).code;
  const frames = error.stack
    ?.replace(error.message, '')
    .split('\n')
    .filter((line) => FRAME.test(line))
    .slice(0, 6)
    .join('\n');
  return {
    name: error.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    ...(frames && !(error.cause instanceof Error) && { stack: frames }),
    ...cause,
  };
}

/** Second lock behind SecretText: field names that must never carry a value. */
const REDACTED = ['token', 'password', 'secret', 'authorization', '*.token', '*.password', '*.authorization'];

const shown = (error: unknown) => showError(error);

/** pino takes the message of an error that stands where a field or a text should, and prints it. */
function showErrors(this: Logger, inputs: unknown[], method: LogFn): void {
  const [first, ...rest] = inputs;
  const texts = rest.map((input) => (input instanceof Error ? input.name : input));
  const fields = first instanceof Error ? { error: first } : first;
  const message = first instanceof Error && texts.length === 0 ? ['failed'] : texts;
  // pino's own types want a format string with its values; both were checked where the log was called.
  method.apply(this, [fields, ...message] as Parameters<LogFn>);
}

/** A logger that writes JSON lines to stdout, or to `destination` (a test's). */
export function createLog(level: LogLevel, destination?: { write(line: string): void }): Log {
  const options = {
    level,
    base: null,
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: shown, err: shown },
    hooks: { logMethod: showErrors },
    redact: { paths: REDACTED, censor: '[secret]' },
  };
  return destination ? pino(options, destination) : pino(options);
}
