// keyless-pull status: every credential, every pod that waits for one, and whether a worker works; once, or again and again.
import { describeProblem, createPaint, writeResult, type CommandIo, type ExitCode } from './output.ts';
import { isProblem } from '../problem.ts';
import { namespaceOf, openTools, type ClusterOptions, type ReplacedTools } from './user-choice.ts';
import { takeSnapshot, type Snapshot } from './status/snapshot.ts';
import { tableOf } from './status/table.ts';

export interface StatusOptions extends ClusterOptions {
  readonly allNamespaces?: boolean;
  readonly watch?: boolean;
  /** Where keyless-pull itself runs. */
  readonly ownNamespace: string;
}

const LOOK_MS = 2_000;
/** Cursor home, and what is below it gone: the screen does not flicker as with a whole clear. */
const REPAINT = '\u001B[H\u001B[J';

/** @param replaced for tests */
export async function status(
  options: StatusOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  await using tools = await openTools(options, io, replaced);
  const { cluster, clock } = tools;
  const namespace = namespaceOf(options, cluster);
  const look = () =>
    takeSnapshot(cluster, { namespace, ownNamespace: options.ownNamespace, now: () => clock.now() });
  const paint = createPaint(options.color);
  const isLive = options.watch === true && io.isTerminal && options.output === 'table';
  let shown: string | undefined;
  let trouble = '';
  let code: ExitCode = 2;

  function show(snapshot: Snapshot): void {
    const table = tableOf(snapshot, { allNamespaces: namespace === undefined }, clock.now(), paint);
    // Spans of time change with every look: on a screen they are worth it, in a file they are not.
    const mark = isLive ? table : markOf(snapshot);
    if (mark === shown) return;
    const isNext = shown !== undefined && options.output === 'table';
    shown = mark;
    writeResult(io, options.output, snapshot, () => (isLive ? REPAINT : isNext ? '\n' : '') + table);
  }

  do {
    try {
      const snapshot = await look();
      show(snapshot);
      code = snapshot.summary.ok ? 0 : 1;
      trouble = '';
    } catch (error) {
      if (io.signal.aborted) break;
      // Once it has worked, an API server that is away for a while ends no watch.
      if (shown === undefined || !isProblem(error)) throw error;
      const told = describeProblem(error);
      if (told !== trouble) io.err(told);
      trouble = told;
      code = 2;
    }
    if (options.watch) await clock.sleep(LOOK_MS, io.signal).catch(() => undefined);
  } while (options.watch && !io.signal.aborted);
  return code;
}

/** All of it but what only time has changed. */
function markOf(snapshot: Snapshot): string {
  return JSON.stringify(snapshot, (key, value: unknown) =>
    key === 'waitedSeconds' || key === 'renewedSecondsAgo' ? undefined : value,
  );
}
