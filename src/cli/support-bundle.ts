// keyless-pull support-bundle: one file with all that somebody else needs to understand an installation, and nothing that opens
// anything. Read with the user's rights; nothing is changed, and nothing is sent anywhere.
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { Problem } from '../problem.ts';
import { errnoText } from '../text-file.ts';
import { examine } from './doctor-system.ts';
import { alignColumns, writeResult, type CommandIo, type ExitCode } from './output.ts';
import { printable } from './printable.ts';
import { collect, type Taken } from './support/collect.ts';
import { tarOf } from './support/tar.ts';
import { createLook } from './system/step.ts';
import { openTools, type ClusterOptions, type ReplacedTools } from './user-choice.ts';

export interface SupportBundleOptions extends Omit<ClusterOptions, 'namespace' | 'output'> {
  readonly ownNamespace: string;
  readonly file?: string;
  readonly output: ClusterOptions['output'];
  /** Of this program. */
  readonly version: string;
}

/** @param replaced for tests */
export async function supportBundle(
  options: SupportBundleOptions,
  io: CommandIo,
  replaced: ReplacedTools = {},
): Promise<ExitCode> {
  await using tools = await openTools(options, io, replaced);
  const { cluster, clock } = tools;
  const takenAt = new Date(clock.now()).toISOString();
  const file = options.file ?? `keyless-pull-support-${takenAt.replaceAll(/[-:]|\.\d+/g, '')}.tar.gz`;
  const { ownNamespace } = options;
  const server = await cluster.read('/version');
  const { files, contents } = await collect(cluster, ownNamespace, [
    {
      file: 'versions.json',
      what: 'of this program, Node and the API server',
      take: () => Promise.resolve({ takenAt, program: options.version, node: process.version, server }),
    },
    {
      file: 'doctor.json',
      what: 'what "doctor system" says',
      take: async () => ({
        steps: await examine(
          createLook({ ownNamespace, readsCertificate: false }, { cluster, clock, signal: io.signal }),
        ),
      }),
    },
  ]);
  const manifest = { takenAt, ownNamespace, contents };
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
  write(file, gzipSync(tarOf([{ name: 'manifest.json', text }, ...files], clock.now())));
  writeResult(io, options.output, { file, contents }, () => tableOf(file, contents));
  return 0;
}

/** Nobody else may read it, and no file that is there is written over. */
function write(file: string, content: Buffer): void {
  try {
    writeFileSync(file, content, { mode: 0o600, flag: 'wx' });
  } catch (cause) {
    throw new Problem('file-unreadable', `cannot write ${file}: ${errnoText(cause)}`, { cause });
  }
}

function tableOf(file: string, contents: readonly Taken[]): string {
  const rows = contents.map(({ file: name, what, bytes, missing }) =>
    [
      missing === undefined ? '✓' : '–',
      name,
      missing === undefined ? `${bytes} bytes` : 'not there',
      missing ?? what,
    ].map(printable),
  );
  return `${alignColumns(rows)}\nwritten to ${printable(file)}: look through it before you send it\n`;
}
