// How far a long look has come, on a terminal's stderr: nothing for the first two seconds, nothing anywhere else.
import { spanText } from '../printable.ts';
import type { Clock } from '../../clock.ts';
import type { CommandIo } from '../output.ts';

export interface Progress {
  /** @param done of `total`; a total of 0 is not known. */
  show(what: string, done: number, total: number): void;
  /** Takes the bar away. */
  clear(): void;
}

const QUIET_MS = 2_000;
/** A bar that changes oftener costs more than it tells. */
const REPAINT_MS = 100;
const WIDTH = 24;
const ERASE_LINE = '\r\u001B[K';

/** @param isWanted false: nothing is ever shown */
export function createProgress(
  io: Pick<CommandIo, 'err'>,
  clock: Pick<Clock, 'monotonic'>,
  isWanted: boolean,
): Progress {
  const startedAt = clock.monotonic();
  let paintedAt = -Infinity;
  let isPainted = false;
  return {
    show(what, done, total) {
      const now = clock.monotonic();
      if (!isWanted || now - startedAt < QUIET_MS || now - paintedAt < REPAINT_MS) return;
      paintedAt = now;
      isPainted = true;
      io.err(`${ERASE_LINE}${barOf(done, total)} ${what}, ${spanText(now - startedAt)}`);
    },
    clear() {
      if (isPainted) io.err(ERASE_LINE);
      isPainted = false;
    },
  };
}

function barOf(done: number, total: number): string {
  if (total <= 0) return '';
  const share = Math.min(1, done / total);
  const full = Math.floor(share * WIDTH);
  return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${Math.floor(share * 100)} %`;
}
