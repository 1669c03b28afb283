// pino set up once: one JSON line per event on stdout, and errors reduced to what may be shown.
import { pino, type Logger } from 'pino';
import { Problem } from './problem.ts';

export type Log = Logger;

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

interface ShownError {
  code?: string;
  name: string;
  message?: string;
  faults?: readonly string[];
  upstream?: string;
  stack?: string;
  cause?: ShownError;
}

/** Of our own problems code and message; of anything foreign only name, code and where it was thrown: its message may hold a body. */
export function showError(error: unknown): ShownError {
  if (error instanceof Problem) {
    return {
      code: error.code,
      name: error.name,
      message: error.message,
      ...(error.details.faults && { faults: error.details.faults }),
      ...(error.details.upstream && { upstream: error.details.upstream }),
      ...(error.cause !== undefined && { cause: showError(error.cause) }),
    };
  }
  if (!(error instanceof Error)) return { name: typeof error };
  const code = (error as { code?: unknown }).code;
  const frames = error.stack?.split('\n').filter((line) => line.trimStart().startsWith('at ')).slice(0, 6).join('\n');
  return {
    name: error.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    ...(frames && !(error.cause instanceof Error) && { stack: frames }),
    ...(error.cause !== undefined && { cause: showError(error.cause) }),
  };
}

/** Second lock behind SecretText: field names that must never carry a value. */
const REDACTED = ['token', 'password', 'secret', 'authorization', '*.token', '*.password', '*.authorization'];

/** A logger that writes JSON lines to stdout, or to `destination` (a test's). */
export function createLog(level: LogLevel, destination?: { write(line: string): void }): Log {
  const options = {
    level,
    base: null,
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: showError },
    redact: { paths: REDACTED, censor: '[secret]' },
  };
  return destination ? pino(options, destination) : pino(options);
}
