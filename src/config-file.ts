// The config file while the program runs: read again when it changes, and never exchanged for a broken one.
import { parseConfig, type Config } from './config.ts';
import { readText } from './text-file.ts';
import { isProblem, type Problem } from './problem.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

export interface ConfigFile {
  current(): Config;
  /** Looks at the file now. Resolves to true if a new config was taken. */
  reload(): boolean;
  /** Looks every few seconds until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** A mounted ConfigMap changes by renamed links, which file watches miss; a look costs a page of reading. */
const LOOK_MS = 5_000;

export interface ConfigFileTools {
  readonly clock: Clock;
  readonly log: Log;
  /** What the schema cannot know: throws Problem config-invalid. */
  check(config: Config): void;
  /** Told once of each new content: why it was refused, or nothing if it was taken. A file that cannot be read counts as one. */
  onReload?(refusal: Problem | undefined): void;
}

/** @throws Problem config-invalid or file-unreadable, for the first reading alone */
export function createConfigFile(path: string, { clock, log, check, onReload }: ConfigFileTools): ConfigFile {
  let text = readText(path);
  let refused: string | undefined;
  /** Until something good is read, be it what is in use: the file on disk is another one. */
  let isBroken = false;
  let isUnreadable = false;
  let current = parseConfig(text, path);
  check(current);

  function reload(): boolean {
    try {
      const next = readText(path);
      isUnreadable = false;
      if (next === refused || (next === text && !isBroken)) return false;
      refused = next;
      const config = parseConfig(next, path);
      check(config);
      [text, current, refused, isBroken] = [next, config, undefined, false];
      log.info({ path }, 'config reloaded');
      onReload?.(undefined);
      return true;
    } catch (error) {
      if (!isProblem(error)) throw error;
      if (isUnreadable) return false;
      isUnreadable = error.code === 'file-unreadable';
      isBroken = true;
      log.error({ path, error }, 'config not reloaded, the old one stays');
      onReload?.(error);
      return false;
    }
  }

  return {
    current: () => current,
    reload,
    async run(signal) {
      while (!signal.aborted) {
        await clock.sleep(LOOK_MS, signal).catch(() => undefined);
        if (!signal.aborted) reload();
      }
    },
  };
}
