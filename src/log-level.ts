// The levels of the log, apart from the logger: the command line names them without loading it.
export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];
